//! How long to wait before the next attempt.

use std::time::Duration;

/// Grows the longest wait from `first` by `factor` up to `max`, and draws each wait at random
/// between zero and that ("full jitter"): instances that failed together do not come back together.
///
/// It bounds the pace, not the number of attempts: the caller's deadline does that.
///
/// # Source
/// Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter needs
/// the fewest calls of the variants compared there.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    factor: u32,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Starts at `first`; a `factor` of 1 keeps the pace constant.
    pub const fn new(first: Duration, factor: u32, max: Duration) -> Self {
        Self {
            first,
            factor,
            max,
            ceiling: first,
        }
    }

    /// Returns the next wait, and raises the longest possible one for the wait after it.
    pub fn next_delay(&mut self) -> Duration {
        self.draw(rand::random::<f64>())
    }

    /// Begins again at `first`; called after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }

    fn draw(&mut self, share: f64) -> Duration {
        let ceiling = self.ceiling.min(self.max);
        self.ceiling = ceiling.saturating_mul(self.factor).min(self.max);
        ceiling.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn longest_wait_grows_to_the_maximum_and_stays() {
        let mut backoff = Backoff::new(10 * MS, 2, 50 * MS);
        let waits: Vec<Duration> = (0..5).map(|_| backoff.draw(1.0)).collect();
        assert_eq!(waits, [10 * MS, 20 * MS, 40 * MS, 50 * MS, 50 * MS]);
    }

    #[test]
    fn reset_begins_again() {
        let mut backoff = Backoff::new(10 * MS, 10, 1_000 * MS);
        backoff.next_delay();
        backoff.next_delay();
        backoff.reset();
        assert_eq!(backoff.draw(1.0), 10 * MS);
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let mut backoff = Backoff::new(1_000 * MS, 1, 1_000 * MS);
        let waits: Vec<Duration> = (0..1_000).map(|_| backoff.next_delay()).collect();
        assert!(waits.iter().all(|wait| *wait <= 1_000 * MS));
        assert!(waits.iter().any(|wait| *wait < 250 * MS));
        assert!(waits.iter().any(|wait| *wait > 750 * MS));
    }

    #[test]
    fn a_first_wait_above_the_maximum_is_cut() {
        assert_eq!(Backoff::new(20 * MS, 2, 5 * MS).draw(1.0), 5 * MS);
    }
}
