//! When somebody is told: pure decisions over signs, what was told, and the time.

use std::time::{Duration, Instant};

use super::notice::{Notice, State};
use super::source::{Sign, Signs, Source};
use super::told::Told;

/// A source is told of once in this time at most, however often it comes and goes.
const QUIET: Duration = Duration::from_secs(60);

/// A moment, by both clocks, and what holds at it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Of this process.
    pub now: Instant,
    /// Of everybody, Unix ms.
    pub now_ms: u64,
    /// How soon it is told again what was told.
    pub repeat: Duration,
}

/// Watches the signs.
#[derive(Debug, Default)]
pub struct Watch {
    /// Since when each source is bad.
    since: [Option<Instant>; Source::ALL.len()],
}

impl Watch {
    /// What is to be told at `moment`, after what was `told`.
    pub fn look(&mut self, signs: &Signs, told: &Told, moment: Moment) -> Vec<Notice> {
        let sources = Source::ALL.into_iter();
        let notices = sources.filter_map(|source| self.of(source, signs, told, moment));
        notices.collect()
    }

    fn of(&mut self, source: Source, signs: &Signs, told: &Told, at: Moment) -> Option<Notice> {
        let since = &mut self.since[source as usize];
        let causes = source.follows_from();
        // It began anew, if it is there when its cause is over.
        if causes.iter().any(|cause| told.is_told(*cause)) {
            *since = None;
            return None;
        }
        let last = told.of(source);
        let age = last.map_or(Duration::MAX, |last| {
            Duration::from_millis(at.now_ms.abs_diff(last.at_ms))
        });
        let standing = last.filter(|_| told.is_told(source));
        let notice = |state, number, lasts| Notice {
            source,
            state,
            number,
            lasts,
        };
        match signs[source as usize] {
            Sign::Bad(number) => {
                let lasts = at.now.duration_since(*since.get_or_insert(at.now));
                let is_bad = |cause: &Source| matches!(signs[*cause as usize], Sign::Bad(_));
                if causes.iter().any(is_bad) {
                    return None;
                }
                match standing {
                    Some(last) if age >= at.repeat => {
                        Some(notice(State::Lasts, number, last.lasts(at.now_ms)))
                    }
                    None if lasts >= source.patience() && age >= QUIET => {
                        Some(notice(State::Begun, number, lasts))
                    }
                    _ => None,
                }
            }
            Sign::Good => {
                *since = None;
                let last = standing.filter(|_| age >= QUIET)?;
                Some(notice(State::Over, 0, last.lasts(at.now_ms)))
            }
            Sign::Unknown => {
                *since = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
