//! Rolling counters: which bucket an event is counted in, and how a counter's field is named.
//!
//! Counters are kept per partition in hashes, one per second, minute and hour, and one over all
//! time; the field is `tenant \x1f type`. The time is the frame's received-at, so that a late
//! commit lands in the bucket its events arrived in.

mod caps;

use std::time::Duration;

pub use caps::TypeCaps;

/// Separates tenant and type in a counter's field. Neither may contain it.
pub const FIELD_SEPARATOR: char = '\u{1f}';

/// Counts the types of a tenant beyond those that are counted by name.
pub const OTHER_TYPE: &str = "__other__";

/// Types of the tenant `default` that are counted by name on each partition, unless its record says
/// otherwise; the rest count as [`OTHER_TYPE`].
pub const TYPES_MAX: u32 = 1_000;

/// Those of every other tenant.
pub const TYPES_NEW: u32 = 200;

/// Those of all tenants together. Source: a cell takes 75 bytes in each bucket, so that 7,200 seconds
/// of them take at most 11 GB, and one second of all 20,000 takes Redis 3.8 ms to read whole.
pub const TYPES_ALL_MAX: u32 = 20_000;

/// Types of `tenant` that are counted by name, where its record does not say.
pub fn types_unless_said(tenant: &str) -> u32 {
    if tenant == "default" {
        TYPES_MAX
    } else {
        TYPES_NEW
    }
}

crate::choices! {
    /// Width of a bucket, by its letter in a counter's key; finest first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Step {
        /// One second; kept for two hours.
        Second = "s",
        /// One minute; kept for 48 hours.
        Minute = "m",
        /// One hour; kept for 400 days.
        Hour = "h",
    }
}

impl Step {
    /// Seconds per bucket.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// How long a bucket is kept after its last change.
    pub const fn kept(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(2 * 3_600),
            Self::Minute => Duration::from_secs(48 * 3_600),
            Self::Hour => Duration::from_secs(400 * 86_400),
        }
    }

    /// Number of the bucket that holds Unix second `second`.
    pub const fn bucket(self, second: u64) -> u64 {
        second / self.seconds()
    }
}

/// Events of one tenant and type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountRow {
    /// Whose events.
    pub tenant: Box<str>,
    /// Their type.
    pub event_type: Box<str>,
    /// How many.
    pub count: u32,
}

/// Field of a counter.
pub fn field(tenant: &str, event_type: &str) -> String {
    format!("{tenant}{FIELD_SEPARATOR}{event_type}")
}

/// Tenant and type of a counter's field; `None` when it is no such field.
pub fn split_field(field: &str) -> Option<(&str, &str)> {
    field.split_once(FIELD_SEPARATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lies_in_one_bucket_of_each_step() {
        let second = 3_600 * 7 + 61;
        assert_eq!(Step::ALL.map(|step| step.bucket(second)), [25_261, 421, 7]);
    }

    #[test]
    fn a_field_splits_into_what_it_was_made_of() {
        assert_eq!(
            split_field(&field("default", "page.view")),
            Some(("default", "page.view"))
        );
        assert_eq!(split_field("nothing"), None);
    }
}
