//! How much passes in a second: GCRA, a token bucket that is one number. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

const SECOND_NS: u128 = 1_000_000_000;

/// How much passes in the long run, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Units a second; at least one.
    pub per_second: u64,
    /// Units that pass at once after a while without any.
    pub burst: u64,
}

/// What a key or a tenant may send; everything where nothing is said. Each instance counts for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    /// Events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Rate>,
    /// Bytes of bodies, decompressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Rate>,
}

/// What has passed of a rate.
///
/// A request passes while the bucket is not overdrawn, however large it is: so at most rate x time +
/// burst + one request pass.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    /// When all that has passed would have passed at the rate, in ns of the caller's clock.
    paid_until_ns: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            paid_until_ns: AtomicU64::new(0),
        }
    }

    /// What it holds to.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How long at `now_ns` nothing passes; `None` when something does.
    pub fn wait(&self, now_ns: u64) -> Option<Duration> {
        self.overdrawn(self.paid_until_ns.load(Ordering::Relaxed), now_ns)
    }

    /// Has `units` pass.
    ///
    /// # Errors
    /// It is overdrawn, for so long: nothing was taken.
    pub fn take(&self, units: u64, now_ns: u64) -> Result<(), Duration> {
        let cost_ns = self.time_of(units);
        let mut wait = Duration::ZERO;
        let taken =
            self.paid_until_ns
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until_ns| match self
                    .overdrawn(until_ns, now_ns)
                {
                    Some(over) => {
                        wait = over;
                        None
                    }
                    None => Some(until_ns.max(now_ns).saturating_add(cost_ns)),
                });
        taken.map(drop).map_err(|_| wait)
    }

    fn overdrawn(&self, until_ns: u64, now_ns: u64) -> Option<Duration> {
        let most_ns = now_ns.saturating_add(self.time_of(self.rate.burst));
        let over_ns = until_ns.saturating_sub(most_ns);
        (over_ns > 0).then(|| Duration::from_nanos(over_ns))
    }

    fn time_of(&self, units: u64) -> u64 {
        let ns = u128::from(units) * SECOND_NS / u128::from(self.rate.per_second.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// The buckets of a key or a tenant.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Of events.
    pub events: Option<Arc<Bucket>>,
    /// Of bytes.
    pub bytes: Option<Arc<Bucket>>,
}

impl Buckets {
    /// Buckets of `limits`; those of `before` that hold to the same go on as they are.
    pub fn new(limits: RateLimits, before: Option<&Self>) -> Self {
        let of = |rate: Option<Rate>, before: Option<&Arc<Bucket>>| {
            let rate = rate?;
            let same = before.filter(|bucket| bucket.rate == rate);
            Some(same.map_or_else(|| Arc::new(Bucket::new(rate)), Arc::clone))
        };
        Self {
            events: of(limits.events, before.and_then(|it| it.events.as_ref())),
            bytes: of(limits.bytes, before.and_then(|it| it.bytes.as_ref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        per_second: 100,
        burst: 50,
    };
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let bucket = Bucket::new(RATE);
        let now = 7 * SECOND;
        assert_eq!(bucket.wait(now), None);
        bucket.take(50, now).unwrap();
        // It is empty, not overdrawn: one request more, of any size.
        bucket.take(200, now).unwrap();
        let wait = bucket.take(1, now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        assert_eq!(bucket.wait(now + SECOND), Some(Duration::from_secs(1)));
        assert_eq!(bucket.wait(now + 2 * SECOND), None);
        bucket.take(1, now + 2 * SECOND).unwrap();
    }

    #[test]
    fn a_bucket_goes_on_where_its_rate_stays() {
        let limits = |rate| RateLimits {
            events: Some(rate),
            bytes: None,
        };
        let first = Buckets::new(limits(RATE), None);
        first.events.as_ref().unwrap().take(1_000, 0).unwrap();
        let same = Buckets::new(limits(RATE), Some(&first));
        assert!(same.events.as_ref().unwrap().wait(0).is_some());
        let other = Rate { burst: 51, ..RATE };
        let other = Buckets::new(limits(other), Some(&first));
        assert!(other.events.as_ref().unwrap().wait(0).is_none());
        assert!(
            Buckets::new(RateLimits::default(), Some(&first))
                .events
                .is_none()
        );
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_rate_the_burst_and_one_request(
            per_second in 1..2_000_u64,
            burst in 0..2_000_u64,
            requests in prop::collection::vec((0..200_000_000_u64, 1..500_u64), 1..200),
        ) {
            let bucket = Bucket::new(Rate { per_second, burst });
            let (mut now, mut passed, mut largest) = (SECOND, 0, 0);
            for (after, units) in requests {
                now += after;
                if bucket.take(units, now).is_ok() {
                    passed += units;
                    largest = largest.max(units);
                }
            }
            let time_s = (now - SECOND) as f64 / SECOND as f64;
            let most = per_second as f64 * time_s + (burst + largest) as f64;
            prop_assert!(passed as f64 <= most + 1.0, "{passed} of {most}");
        }
    }
}
