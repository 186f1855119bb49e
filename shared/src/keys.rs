//! Every Redis key EVP uses, in one place.
//!
//! All keys of a partition carry the hash tag `{p}`, so that they lie in one slot of a Redis
//! Cluster and one script may touch them together.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `evp:{p}:events` | stream | the frames; consumer group [`GROUP`] |
//! | `evp:{p}:life` | hash | the life of this data, the replication id it was seen under, past cuts |
//! | `evp:{p}:totals` | hash | events and bytes appended, acknowledged, counted, lost |
//! | `evp:{p}:kept` | list | acknowledged entries still on the stream for live readers |
//! | `evp:{p}:producer:<id>` | string | who registered a producer id |
//! | `evp:{p}:settled:<producer>:<block>` | string | one bit per frame: its counts are in |
//! | `evp:{p}:c:s:<second>`, `c:m:<minute>`, `c:h:<hour>` | hash | events per tenant and type |
//! | `evp:{p}:c:total` | hash | the same over all time |
//! | `evp:{p}:types:<tenant>` | set | the event types counted by name |
//! | `evp:{sketch}:users:m:<minute>:<tenant>`, `users:h:<hour>:`, `sessions:` | string | HyperLogLog of the ids |
//! | `evp:{sketch}:top:m:<minute>:<tenant>`, `top:h:<hour>:` | hash | per processor a sketch of its top users |
//! | `evp:{sketch}:erasures` | string | how many erasures there were of late |
//! | `evp:identity` | string | the fingerprint of what fixes identity |
//! | `evp:access` | hash | who may come in: version, digest, content |
//! | `evp:tenants` | hash | the tenants of that, without keys |
//! | `evp:quota:<day>` | hash | events given out of each tenant's quota of that UTC day; expires |
//! | `evp:usage:<hour>:<tenant>` | hash | what became of the tenant's events, by name; expires |
//! | `evp:used` | hash | when each key was used last, Unix ms |
//! | `evp:floor` | string | ids below it are taken no more: Unix ms, decimal; there with `storage.keep` |
//! | `evp:notices` | hash | which aggregator tells notices, until when, and what was told |
//! | `evp:full` | string | the disk of MongoDB is almost full: its used share in thousandths; expires |

use std::sync::Arc;

/// Name of the one consumer group of every partition's stream.
pub const GROUP: &str = "evp";

/// The prefix all keys of one deployment share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// Names the keys of the deployment called `prefix` (`evp` unless configured otherwise).
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The prefix itself.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of the fingerprint of what fixes identity. It belongs to no partition.
    pub fn identity(&self) -> String {
        format!("{}:identity", self.prefix)
    }

    /// The key of the floor of storage. It belongs to no partition, and never expires.
    pub fn floor(&self) -> String {
        format!("{}:floor", self.prefix)
    }

    /// The key of who may come in. It belongs to no partition, and never expires.
    pub fn access(&self) -> String {
        format!("{}:access", self.prefix)
    }

    /// The key of the tenants alone, for who has no business with keys. It belongs to no partition, and
    /// never expires.
    pub fn tenants(&self) -> String {
        format!("{}:tenants", self.prefix)
    }

    /// The key of what is given out of the quotas of `day`, counted from 1970. It belongs to no
    /// partition, and expires.
    pub fn quotas(&self, day: u64) -> String {
        format!("{}:quota:{day}", self.prefix)
    }

    /// The key of what became of the events of `tenant` in `hour`, counted from 1970. It belongs to no
    /// partition, and expires.
    pub fn usage(&self, tenant: &str, hour: u64) -> String {
        format!("{}:usage:{hour}:{tenant}", self.prefix)
    }

    /// The key of when each key was used last. It belongs to no partition.
    pub fn used(&self) -> String {
        format!("{}:used", self.prefix)
    }

    /// The key of who tells notices, and what was told. It belongs to no partition.
    pub fn notices(&self) -> String {
        format!("{}:notices", self.prefix)
    }

    /// The key that is there while the disk of MongoDB is almost full. It belongs to no partition,
    /// and expires, so that it goes when nobody looks at the disk any more.
    pub fn full(&self) -> String {
        format!("{}:full", self.prefix)
    }

    /// The sketch of a bucket, `unit` one of `m`, `h` and `number` the bucket's. It belongs to no
    /// partition, and all share a hash tag of their own: they are merged.
    pub fn sketch(&self, kind: SketchKind, unit: &str, number: u64, tenant: &str) -> String {
        format!("{}{unit}:{number}:{tenant}", self.sketches(kind))
    }

    /// Counts the erasures that processors have to begin their sketches anew for.
    pub fn erasures(&self) -> String {
        format!("{}:{{sketch}}:erasures", self.prefix)
    }

    /// What the key of every sketch of `kind` begins with.
    pub fn sketches(&self, kind: SketchKind) -> String {
        format!("{}:{{sketch}}:{kind}:", self.prefix)
    }

    /// The keys of partition `partition`.
    pub fn partition(&self, partition: u16) -> PartitionKeys {
        let base = format!("{}:{{{partition}}}:", self.prefix);
        let key = |name: &str| format!("{base}{name}");
        PartitionKeys {
            partition,
            events: key("events"),
            life: key("life"),
            totals: key("totals"),
            kept: key("kept"),
            never: key("never"),
            count_total: key("c:total"),
            base: base.clone().into(),
        }
    }
}

crate::choices! {
    /// What a sketch is of.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum SketchKind {
        /// Unique users.
        Users = "users",
        /// Unique sessions.
        Sessions = "sessions",
        /// The users with most events.
        TopUsers = "top",
    }
}

/// The keys of one partition, formatted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionKeys {
    /// Start of every key of the partition, `evp:{p}:`.
    pub base: Arc<str>,
    /// Which partition this is.
    pub partition: u16,
    /// Stream of frames.
    pub events: String,
    /// Hash of the current life and the past cuts.
    pub life: String,
    /// Hash of totals.
    pub totals: String,
    /// List of acknowledged entries still on the stream.
    pub kept: String,
    /// A key that never exists: deleting it is a script's first write where memory may be full.
    pub never: String,
    /// Hash of counts over all time.
    pub count_total: String,
}

impl PartitionKeys {
    /// Registration of a producer id, `producer` in its textual form.
    pub fn producer(&self, producer: &str) -> String {
        format!("{}producer:{producer}", self.base)
    }

    /// Bucket of counts, `unit` one of `s`, `m`, `h` and `start` the bucket's number.
    pub fn count_bucket(&self, unit: &str, start: u64) -> String {
        format!("{}c:{unit}:{start}", self.base)
    }

    /// Block of settled bits.
    pub fn settled(&self, producer: &str, block: u32) -> String {
        format!("{}settled:{producer}:{block}", self.base)
    }

    /// Set of the types of `tenant` that are counted by name.
    pub fn types(&self, tenant: &str) -> String {
        format!("{}types:{tenant}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_partition_share_its_hash_tag() {
        let keys = Keys::new("evp").partition(3);
        assert_eq!(keys.events, "evp:{3}:events");
        assert_eq!(keys.count_bucket("s", 12), "evp:{3}:c:s:12");
        assert_eq!(
            keys.settled("0003abcdef", 1),
            "evp:{3}:settled:0003abcdef:1"
        );
        assert_eq!(Keys::new("evp").identity(), "evp:identity");
        let keys = Keys::new("evp");
        assert_eq!(
            keys.sketch(SketchKind::TopUsers, "m", 12, "default"),
            "evp:{sketch}:top:m:12:default"
        );
    }
}
