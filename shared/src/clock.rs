//! Where time comes from: the system, or a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time; clones share one source, so advancing one advances all.
///
/// The only place that reads the system clocks. It does not drive tokio's timers: a test that
/// needs those pauses tokio's own clock.
#[derive(Debug, Clone)]
pub struct Clock(
    /// `None` reads the clocks of the machine.
    Option<Arc<Manual>>,
);

#[derive(Debug)]
struct Manual {
    start_ms: u64,
    start: Instant,
    elapsed_us: AtomicU64,
}

impl Clock {
    /// Reads the clocks of the machine.
    pub const fn system() -> Self {
        Self(None)
    }

    /// Stands still at `ms` (Unix milliseconds) until [`advance`](Self::advance) moves it.
    pub fn manual(ms: u64) -> Self {
        Self(Some(Arc::new(Manual {
            start_ms: ms,
            start: instant_now(),
            elapsed_us: AtomicU64::new(0),
        })))
    }

    /// Wall-clock time as Unix milliseconds; may jump when the machine's clock is set.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            None => system_ms(),
            Some(manual) => manual.start_ms + manual.elapsed_us.load(Ordering::SeqCst) / 1_000,
        }
    }

    /// Monotonic time, for measuring spans; never goes back.
    pub fn now(&self) -> Instant {
        match &self.0 {
            None => instant_now(),
            Some(manual) => {
                manual.start + Duration::from_micros(manual.elapsed_us.load(Ordering::SeqCst))
            }
        }
    }

    /// Moves a manual clock and all its clones forward, in whole microseconds.
    ///
    /// # Panics
    /// On the system clock, which nobody may move.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            None => unreachable!("invariant: only a manual clock is advanced"),
            Some(manual) => {
                let by_us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
                manual.elapsed_us.fetch_add(by_us, Ordering::SeqCst);
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn system_ms() -> u64 {
    // A machine whose clock stands before 1970 is told by event timestamps, not by a panic here.
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
fn instant_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = Clock::manual(1_700_000_000_000);
        let other = clock.clone();
        let before = other.now();
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(other.now_ms(), 1_700_000_001_500);
        assert_eq!(other.now() - before, Duration::from_millis(1_500));
    }

    #[test]
    fn advances_below_a_millisecond_add_up() {
        let clock = Clock::manual(10);
        for _ in 0..4 {
            clock.advance(Duration::from_micros(250));
        }
        assert_eq!(clock.now_ms(), 11);
    }

    #[test]
    fn the_system_clock_is_past_2020_and_does_not_go_back() {
        let clock = Clock::system();
        let before = clock.now();
        assert!(clock.now_ms() > 1_577_836_800_000);
        assert!(clock.now() >= before);
    }
}
