//! Moments, as MongoDB keeps them. Pure.

use std::time::Duration;

use bson::{Bson, DateTime};

/// The Unix ms `ms`.
pub(super) fn at(ms: u64) -> Bson {
    i64::try_from(ms).unwrap_or(i64::MAX).into()
}

/// `time` in milliseconds.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// When MongoDB may delete what ends `after` the Unix ms `now_ms`.
pub(super) fn ends(now_ms: u64, after: Duration) -> DateTime {
    let at_ms = now_ms.saturating_add(ms(after));
    DateTime::from_millis(i64::try_from(at_ms).unwrap_or(i64::MAX))
}
