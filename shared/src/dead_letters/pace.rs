//! How fast a replay may go.

use std::num::NonZeroU32;
use std::time::Duration;

/// Keeps an average rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    per_second: NonZeroU32,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { per_second }
    }

    /// Events to send at once: a tenth of a second's, at most `most`.
    pub(super) fn at_once(self, most: u64) -> u64 {
        u64::from(self.per_second.get() / 10).clamp(1, most)
    }

    /// How long to wait when `sent` events took `elapsed`.
    pub(super) fn wait(self, sent: u64, elapsed: Duration) -> Duration {
        let due_ms = sent.saturating_mul(1_000) / u64::from(self.per_second.get());
        Duration::from_millis(due_ms).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_on_average() {
        let pace = |rate| Pace::new(NonZeroU32::new(rate).unwrap());
        assert_eq!(pace(1).at_once(100), 1);
        assert_eq!(pace(500).at_once(100), 50);
        assert_eq!(pace(50_000).at_once(100), 100);
        let ms = Duration::from_millis;
        assert_eq!(pace(10).wait(5, ms(100)), ms(400));
        assert_eq!(pace(10).wait(5, ms(700)), ms(0));
    }
}
