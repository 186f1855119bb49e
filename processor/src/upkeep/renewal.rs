//! When Redis is asked to make its append-only file anew.

use std::time::{Duration, Instant};

use evp_shared::redis::LogState;

/// Wait after the first attempt that failed; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// An attempt writes all that Redis holds: on a disk that stays full, no more often than this.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Paces the attempts. Other processors ask too; one that comes while another's is under way is
/// none.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// Not before this, and the wait after it; `None` while none has failed.
    again: Option<(Instant, Duration)>,
}

impl Renewal {
    /// Whether to ask for it at `now`, which then counts as asked.
    pub(super) fn is_due(&mut self, state: LogState, now: Instant) -> bool {
        match state {
            LogState::Renewed => {
                self.again = None;
                false
            }
            LogState::UnderWay => false,
            LogState::Old => true,
            LogState::Failed => {
                let (not_before, wait) = self.again.unwrap_or((now, FIRST_WAIT));
                let is_due = now >= not_before;
                if is_due {
                    self.again = Some((now + wait, (wait * 2).min(WAIT_MAX)));
                }
                is_due
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::clock::Clock;

    use super::*;

    /// Seconds at which it is asked for within `seconds`, looking every second.
    fn asked(renewal: &mut Renewal, state: LogState, seconds: u64) -> Vec<u64> {
        let clock = Clock::manual(0);
        let mut asked = Vec::new();
        for second in 0..seconds {
            if renewal.is_due(state, clock.now()) {
                asked.push(second);
            }
            clock.advance(Duration::from_secs(1));
        }
        asked
    }

    #[test]
    fn a_log_is_asked_for_until_it_is_made() {
        let mut renewal = Renewal::default();
        assert_eq!(asked(&mut renewal, LogState::Old, 2), [0, 1]);
        for state in [LogState::UnderWay, LogState::Renewed] {
            assert!(asked(&mut renewal, state, 2).is_empty());
        }
    }

    #[test]
    fn after_failures_it_is_asked_for_ever_more_rarely() {
        let mut renewal = Renewal::default();
        let seconds = asked(&mut renewal, LogState::Failed, 2_500);
        assert_eq!(seconds, [0, 10, 30, 70, 150, 310, 630, 1_230, 1_830, 2_430]);
    }

    #[test]
    fn an_attempt_under_way_keeps_the_pace_and_one_that_succeeds_ends_it() {
        let mut renewal = Renewal::default();
        let clock = Clock::manual(0);
        assert!(renewal.is_due(LogState::Failed, clock.now()));
        assert!(!renewal.is_due(LogState::UnderWay, clock.now()));
        assert!(!renewal.is_due(LogState::Failed, clock.now()));
        assert!(!renewal.is_due(LogState::Renewed, clock.now()));
        assert!(renewal.is_due(LogState::Failed, clock.now()));
    }
}
