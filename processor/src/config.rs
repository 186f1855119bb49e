//! The processor's configuration.

pub(crate) mod limits;
mod storage;

use std::time::Duration;

use evp_shared::config::{
    ByteSize, DeadLetterLimits, MongoConfig, ProcessConfig, RedisConfig, Source, identity,
};
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::SpanUnit;
use evp_shared::service::ServiceConfig;
use evp_shared::store::Index;

pub use limits::BulkLimits;
pub use storage::StorageConfig;

evp_shared::config_section! {
    /// The resolved configuration.
    pub struct ProcessorConfig: keys(source) in "processor" {
        /// Name of this consumer in the group, unique among running processors. A stable name (the
        /// index of a stateful set) lets a restarted processor go on with its own pending entries
        /// at once; without one, host and process id are used and others claim them after
        /// `processor.claim_idle`.
        name: Option<String> = "";
        /// Documents in one bulk of insert commands. Fewer cost MongoDB more per document; more make
        /// one failure redo more. While events of many spans come, so that a bulk takes many
        /// commands, up to four times as many are in a bulk.
        bulk_events: usize = "2000", "1"..="100000";
        /// Bulks on their way at once. Fewer leave MongoDB idle between commands; more only queue
        /// there and hold memory.
        bulks_in_flight: usize = "4", "1"..="64";
        /// Longest wait for an answer of MongoDB; after it the outcome is unknown and the events
        /// are delivered again. Lower repeats work when MongoDB is merely slow; it stays below
        /// `processor.claim_idle`.
        insert_deadline: Duration = "10s", "100ms"..="5m";
        /// How long an entry stays with a consumer that does not finish it. Lower makes two
        /// processors work on the same entries when one is merely slow, which is harmless and costs
        /// work; higher delays the events of a killed processor.
        claim_idle: Duration = "15s", "1s"..="1h";
        /// Wait between two passes over the pending entries of others.
        claim_interval: Duration = "5s", "50ms"..="10m";
        /// Longest wait of one read for new entries. It bounds how long a shutdown waits for the
        /// read.
        read_block: Duration = "500ms", "10ms"..="10s";
        /// Whether unique users and sessions and top users are sketched for `/analytics`. `off`
        /// saves up to 0.3 CPU seconds per million events, and keeps user ids out of Redis, where
        /// those of top users are kept for 8 days.
        sketches: SketchMode = "on";
        /// How long acknowledged entries stay on the stream for live readers: a reader that was
        /// away for less resumes without a gap. Costs Redis memory.
        kept_age["live.kept_age"]: Duration = "30s", "0s"..="1h";
        /// Bytes of acknowledged entries that stay on one partition's stream at most.
        kept_bytes["live.kept_bytes"]: u64 as ByteSize = "64MiB", "0B"..="16GiB";
        /// Secondary indexes of each span: `type`, `user`, `session`, or none. Each costs MongoDB 2
        /// to 4 CPU seconds per million events and serves the lists by that field. Users are
        /// indexed by 256 buckets while events come in, and exactly once the span is sealed.
        indexes["storage.indexes"]: Vec<Index> = "type,user";
        /// How long a span is: `hour`, `day` or `month`. It is fixed with the first start on a
        /// database. At most some 100 million events should lie in one, as a list of a rare user
        /// reads a 256th of one that is not sealed: `day` up to 1,000 events/s sustained per shard,
        /// else `hour`, which asks for a `storage.keep` of at most 20 days.
        span["storage.span"]: SpanUnit = "day";
    } with {
        /// How many dead letters there may be.
        dead_letters: DeadLetterLimits = DeadLetterLimits::read(source);
        /// What fixes identity.
        identity: IdentityConfig = identity(source);
        /// Redis.
        redis: RedisConfig = RedisConfig::read(source);
        /// MongoDB.
        mongo: MongoConfig = MongoConfig::read(source);
        /// How long events are kept.
        storage: StorageConfig = StorageConfig::read(source);
        /// What every service has.
        process: ProcessConfig = ProcessConfig::read(source, "127.0.0.1:9181");
    }
}

evp_shared::choices! {
    /// Whether users and sessions are sketched.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SketchMode {
        /// They are.
        On = "on",
        /// They are not.
        Off = "off",
    }
}

/// Bytes of documents in one insert command: MongoDB drops a connection that sends 48 MB.
const BULK_BYTES: usize = 8 << 20;

/// Bulks that go with what is there: one is stored while the next one is filled.
const EAGER_BULKS: usize = 2;

/// Fewer events than that wait for the bulk in flight, some 5 ms, rather than be one themselves: with
/// half of it, bulks of single events cost the processor and mongod a fifth more (docs/BENCHMARKS.md).
const EAGER_EVENTS: usize = 256;

impl ProcessorConfig {
    /// The fingerprint of the identity frames must have been made under.
    pub fn fingerprint(&self) -> u32 {
        self.identity.fingerprint()
    }

    /// The bounds of one bulk.
    pub fn bulk(&self) -> BulkLimits {
        BulkLimits {
            events: self.bulk_events,
            bytes: BULK_BYTES,
            eager: EAGER_BULKS.min(self.bulks_in_flight),
            eager_events: EAGER_EVENTS,
            in_flight: self.bulks_in_flight,
        }
    }
}

impl ServiceConfig for ProcessorConfig {
    fn read(source: &mut Source) -> Self {
        let config = Self::keys(source);
        if config.insert_deadline >= config.claim_idle {
            source.problem(
                "processor.insert_deadline",
                "is not below processor.claim_idle: entries would be claimed while they are still \
                 being stored; lower it or raise processor.claim_idle",
            );
        }
        config.judge_storage(source);
        config
    }

    fn process(&self) -> &ProcessConfig {
        &self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ProcessorConfig, String> {
        let mut source = Source::from_text(text, &[]).map_err(|problems| problems.to_string())?;
        let config = ProcessorConfig::read(&mut source);
        source
            .finish(config)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let config = read("").unwrap();
        assert_eq!(
            (config.bulk().events, config.bulk().bytes),
            (2_000, 8 << 20)
        );
        assert_eq!(config.indexes, [Index::Type, Index::User]);
        assert_eq!(read("[storage]\nindexes = []").unwrap().indexes, []);
    }

    #[test]
    fn an_insert_that_outlasts_the_claim_idle_time_is_refused() {
        let problem = read("[processor]\ninsert_deadline = \"20s\"").unwrap_err();
        assert!(problem.contains("processor.insert_deadline"), "{problem}");
    }
}
