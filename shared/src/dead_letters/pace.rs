//! How fast a replay may go.

use std::num::NonZeroU32;
use std::time::Duration;

/// Events to send at once: a tenth of a second's, at most `most`.
pub(super) fn at_once(per_second: NonZeroU32, most: u64) -> u64 {
    u64::from(per_second.get() / 10).clamp(1, most)
}

/// How long to wait when `sent` events took `elapsed`.
pub(super) fn wait(per_second: NonZeroU32, sent: u64, elapsed: Duration) -> Duration {
    let due_ms = sent.saturating_mul(1_000) / u64::from(per_second.get());
    Duration::from_millis(due_ms).saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_on_average() {
        let rate = |rate| NonZeroU32::new(rate).unwrap();
        assert_eq!(at_once(rate(1), 100), 1);
        assert_eq!(at_once(rate(500), 100), 50);
        assert_eq!(at_once(rate(50_000), 100), 100);
        let ms = Duration::from_millis;
        assert_eq!(wait(rate(10), 5, ms(100)), ms(400));
        assert_eq!(wait(rate(10), 5, ms(700)), ms(0));
    }
}
