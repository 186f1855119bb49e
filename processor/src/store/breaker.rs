//! The breaker: a systemic failure pauses reading instead of filling the dead letters.
//!
//! Open, it admits one read per delay as a probe; the first bulk that goes through closes it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// First and longest pause. Source: a MongoDB fail-over takes seconds, and a probe every 5 s costs
/// nothing.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Whether reading may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Read on.
    Read,
    /// Read a little, to see whether the failure is over.
    Probe,
    /// Ask again after this long.
    Wait(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Closed,
    Open {
        pause: Duration,
        until: Instant,
    },
}

impl State {
    fn admit(&mut self, now: Instant) -> Admit {
        match self {
            Self::Closed => Admit::Read,
            Self::Open { until, .. } if now < *until => Admit::Wait(*until - now),
            Self::Open { until, pause } => {
                *until = now + *pause;
                Admit::Probe
            }
        }
    }

    fn fail(&mut self, now: Instant) {
        let pause = match self {
            Self::Closed => PAUSE.0,
            Self::Open { pause, .. } => (*pause * 2).min(PAUSE.1),
        };
        *self = Self::Open {
            pause,
            until: now + pause,
        };
    }
}

/// The breaker between reading and storing.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

impl Breaker {
    /// Asks whether reading may go on.
    pub fn admit(&self, now: Instant) -> Admit {
        self.state().admit(now)
    }

    /// A bulk failed for a reason that is not its events'.
    pub fn fail(&self, now: Instant) {
        self.state().fail(now);
    }

    /// A bulk went through.
    pub fn succeed(&self) {
        *self.state() = State::Closed;
    }

    /// Whether reading is paused.
    pub fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open { .. })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is a plain value, whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evp_shared::clock::Clock;

    #[test]
    fn open_it_admits_one_probe_per_pause_until_one_succeeds() {
        let clock = Clock::system();
        let start = clock.now();
        let at = |ms| start + Duration::from_millis(ms);
        let breaker = Breaker::default();
        assert_eq!(breaker.admit(at(0)), Admit::Read);
        breaker.fail(at(0));
        assert_eq!(
            breaker.admit(at(100)),
            Admit::Wait(Duration::from_millis(150))
        );
        assert_eq!(breaker.admit(at(250)), Admit::Probe);
        assert_eq!(
            breaker.admit(at(300)),
            Admit::Wait(Duration::from_millis(200))
        );
        breaker.fail(at(300));
        assert_eq!(
            breaker.admit(at(300)),
            Admit::Wait(Duration::from_millis(500))
        );
        assert!(breaker.is_open());
        breaker.succeed();
        assert_eq!(breaker.admit(at(300)), Admit::Read);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let now = Clock::system().now();
        let breaker = Breaker::default();
        for _ in 0..20 {
            breaker.fail(now);
        }
        assert_eq!(breaker.admit(now), Admit::Wait(PAUSE.1));
    }
}
