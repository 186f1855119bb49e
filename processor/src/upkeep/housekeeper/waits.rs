//! How long sealing and dropping wait: all of it in one place, so that tests can shorten it.

use std::time::Duration;

use evp_shared::event::span::{Cut, SpanUnit};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A shortened round still leaves time for what it does.
const ROUND_MIN: Duration = Duration::from_millis(50);

/// The waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Between two rounds.
    pub round: Duration,
    /// From the end of a span of an hour to its sealing.
    pub seal_hour: Duration,
    /// From the end of any other span to its sealing.
    pub seal: Duration,
    /// In this time a span must hardly have grown to be sealed.
    pub quiet: Duration,
    /// The oldest entry that is not committed must be younger than this, beside the newest one, while
    /// indexes are built.
    pub backlog: Duration,
    /// Spans are there this long before their first event.
    pub ahead: Duration,
    /// From the rise of the floor until spans below it may be dropped.
    pub hold: Duration,
}

impl Waits {
    /// As they are, shortened by the factor `hurry`.
    pub fn new(hurry: u32) -> Self {
        let hurry = hurry.max(1);
        Self {
            round: (MINUTE / hurry).max(ROUND_MIN),
            seal_hour: HOUR / hurry,
            seal: 6 * HOUR / hurry,
            quiet: HOUR / hurry,
            // Tests shorten waits; how busy it is they do not change.
            backlog: MINUTE,
            ahead: 26 * HOUR / hurry,
            hold: 24 * HOUR / hurry,
        }
    }

    /// From the end of a span of `cut` to its sealing.
    pub fn before_sealing(&self, cut: Cut) -> Duration {
        match cut {
            Cut::Unit(SpanUnit::Hour) => self.seal_hour,
            _ => self.seal,
        }
    }

    /// How long the lease holds: three rounds may fail before another one works. It stays below the
    /// life of the mark of a full disk, or that would vanish with a processor.
    pub fn lease(&self) -> Duration {
        (self.round * 5 / 2).max(Duration::from_secs(2))
    }
}

/// In whole milliseconds, as marks are.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
