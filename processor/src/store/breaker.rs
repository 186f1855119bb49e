//! The breaker: a systemic failure pauses reading instead of filling the dead letters.
//!
//! Open, it admits one read per delay as a probe; the first bulk that goes through closes it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

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

#[derive(Debug)]
struct Open {
    pause: Duration,
    until: Instant,
}

/// The breaker between reading and storing; closed where it holds nothing.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<Open>>);

impl Breaker {
    /// Asks whether reading may go on.
    pub fn admit(&self, now: Instant) -> Admit {
        match &mut *self.0.lock() {
            None => Admit::Read,
            Some(open) if now < open.until => Admit::Wait(open.until - now),
            Some(open) => {
                open.until = now + open.pause;
                Admit::Probe
            }
        }
    }

    /// A bulk failed for a reason that is not its events'.
    pub fn fail(&self, now: Instant) {
        let mut state = self.0.lock();
        let longer = |open: &Open| (open.pause * 2).min(PAUSE.1);
        let pause = state.as_ref().map_or(PAUSE.0, longer);
        let until = now + pause;
        *state = Some(Open { pause, until });
    }

    /// A bulk went through.
    pub fn succeed(&self) {
        *self.0.lock() = None;
    }

    /// Whether reading is paused.
    pub fn is_open(&self) -> bool {
        self.0.lock().is_some()
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
