//! What may be wrong, and whether it is: pure decisions over the vitals of the pipeline.

use std::time::{Duration, Instant};

use evp_shared::config::DeadLetterLimits;

use crate::admin::pipeline::Vitals;

/// Events that wait longer are behind, as the alert has it; from the half on they are not any more.
const BEHIND: Duration = Duration::from_secs(60);

/// Nobody who reads is silent for longer while something waits: a read takes half a second at most, and
/// what is read is worked on.
const SILENT: Duration = Duration::from_secs(15);

/// Percent of Redis' memory limit: at 80 processors keep nothing for live readers, at 90 ingest refuses.
const MEMORY_PERCENT: Band = Band { bad: 80, good: 75 };

/// Percent of what dead letters may be.
const LETTERS_PERCENT: Band = Band { bad: 80, good: 75 };

/// What is bad for a shorter time is told to nobody.
const PATIENCE: Duration = Duration::from_secs(30);

/// Dead letters are no news any more when none came for so long.
const LETTERS_NEWS: Duration = Duration::from_secs(600);

evp_shared::choices! {
    /// What may be wrong.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Source {
        /// Redis does not answer.
        RedisAway = "redis_away",
        /// MongoDB does not answer.
        MongodbAway = "mongodb_away",
        /// Nobody reads what waits.
        NoProcessor = "no_processor",
        /// What is accepted is not stored soon.
        StorageBehind = "storage_behind",
        /// Redis nears its memory limit.
        RedisMemory = "redis_memory",
        /// There are more dead letters than there were.
        DeadLettersAppear = "dead_letters_appear",
        /// The dead letters near their cap.
        DeadLettersNearlyFull = "dead_letters_nearly_full",
        /// No canary was stored for too long.
        CanaryLate = "canary_late",
    }
}

impl Source {
    /// What is bad for a shorter time is told to nobody.
    pub fn patience(self) -> Duration {
        match self {
            // That it does not come is what was waited for.
            Self::CanaryLate => Duration::ZERO,
            _ => PATIENCE,
        }
    }

    /// Those it follows from: while one of them is told, it is no news.
    pub fn follows_from(self) -> &'static [Self] {
        match self {
            Self::NoProcessor => &[Self::MongodbAway],
            Self::StorageBehind => &[Self::MongodbAway, Self::NoProcessor],
            Self::CanaryLate => &[Self::MongodbAway, Self::NoProcessor, Self::StorageBehind],
            Self::RedisAway
            | Self::MongodbAway
            | Self::RedisMemory
            | Self::DeadLettersAppear
            | Self::DeadLettersNearlyFull => &[],
        }
    }
}

/// Whether a source is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It is.
    Good,
    /// It is not, by this number.
    Bad(u64),
    /// That cannot be seen, or it is neither one nor the other.
    Unknown,
}

/// The signs of all sources, in their order.
pub type Signs = [Sign; Source::ALL.len()];

/// From where on something is bad, and below what it is good again: at the bound it would be both in turn.
#[derive(Debug, Clone, Copy)]
struct Band {
    bad: u64,
    good: u64,
}

impl Band {
    fn judge(self, number: u64) -> Sign {
        if number >= self.bad {
            Sign::Bad(number)
        } else if number < self.good {
            Sign::Good
        } else {
            Sign::Unknown
        }
    }
}

/// Judges, and remembers what it takes to: how many dead letters there were.
#[derive(Debug)]
pub struct Judge {
    limits: DeadLetterLimits,
    letters: Option<u64>,
    /// How many came since they are news, and when the last ones did.
    news: Option<(u64, Instant)>,
}

impl Judge {
    /// For dead letters of so many at most.
    pub fn new(limits: DeadLetterLimits) -> Self {
        Self {
            limits,
            letters: None,
            news: None,
        }
    }

    /// For dead letters of so many at most from now on.
    pub fn bound(&mut self, limits: DeadLetterLimits) {
        self.limits = limits;
    }

    /// What `vitals` say, which are none while Redis does not answer, and the `canary`.
    pub fn judge(&mut self, vitals: Option<&Vitals>, canary: Sign, now: Instant) -> Signs {
        Source::ALL.map(|source| match (source, vitals) {
            (Source::RedisAway, None) => Sign::Bad(0),
            (Source::RedisAway, Some(_)) => Sign::Good,
            (_, None) => Sign::Unknown,
            (Source::CanaryLate, Some(_)) => canary,
            (_, Some(vitals)) => self.of(source, vitals, now),
        })
    }

    fn of(&mut self, source: Source, vitals: &Vitals, now: Instant) -> Sign {
        match source {
            Source::RedisAway | Source::CanaryLate => Sign::Good,
            Source::MongodbAway if vitals.letters.is_none() => Sign::Bad(0),
            Source::MongodbAway => Sign::Good,
            Source::NoProcessor => silence(vitals),
            Source::StorageBehind => vitals.behind_ms.map_or(Sign::Unknown, behind),
            Source::RedisMemory => MEMORY_PERCENT.judge(vitals.memory_permille / 10),
            Source::DeadLettersAppear => vitals
                .letters
                .map_or(Sign::Unknown, |size| self.news(size.events, now)),
            Source::DeadLettersNearlyFull => vitals
                .letters_percent(self.limits)
                .map_or(Sign::Unknown, |percent| LETTERS_PERCENT.judge(percent)),
        }
    }

    fn news(&mut self, letters: u64, now: Instant) -> Sign {
        let before = self.letters.replace(letters).unwrap_or(letters);
        if letters > before {
            let known = self.news.map_or(0, |(count, _)| count);
            self.news = Some((known + letters - before, now));
        }
        let is_news = |(_, last): &(u64, Instant)| now.duration_since(*last) < LETTERS_NEWS;
        self.news = self.news.filter(is_news);
        self.news.map_or(Sign::Good, |(count, _)| Sign::Bad(count))
    }
}

fn behind(ms: u64) -> Sign {
    let bad = BEHIND.as_secs();
    let band = Band { bad, good: bad / 2 };
    band.judge(ms / 1_000)
}

/// To Redis 7.0 a consumer that finds nothing to read gives no sign, so silence alone says nothing.
fn silence(vitals: &Vitals) -> Sign {
    let silent_s = vitals.silent_ms.map_or(u64::MAX, |ms| ms / 1_000);
    if vitals.backlog <= 0 || silent_s < SILENT.as_secs() {
        Sign::Good
    } else {
        Sign::Bad(vitals.backlog.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::clock::Clock;
    use evp_shared::dead_letters::Size;

    use super::*;

    const LIMITS: DeadLetterLimits = DeadLetterLimits {
        events: 1_000,
        bytes: 1_000_000,
    };

    fn healthy() -> Vitals {
        Vitals {
            behind_ms: Some(20),
            silent_ms: Some(10),
            letters: Some(Size::default()),
            ..Vitals::default()
        }
    }

    /// What is not as it should be.
    fn signs(vitals: Option<&Vitals>) -> Vec<(Source, Sign)> {
        let signs = Judge::new(LIMITS).judge(vitals, Sign::Good, Clock::manual(0).now());
        let all = Source::ALL.into_iter().zip(signs);
        all.filter(|(_, sign)| *sign != Sign::Good).collect()
    }

    #[test]
    fn each_source_goes_by_its_own_figure() {
        assert_eq!(signs(Some(&healthy())), []);
        let bad = |vitals: Vitals, source: Source, number: u64| {
            let found = signs(Some(&vitals));
            assert_eq!(found, [(source, Sign::Bad(number))], "{vitals:?}");
        };
        let behind_ms = Some(61_000);
        bad(
            Vitals {
                behind_ms,
                ..healthy()
            },
            Source::StorageBehind,
            61,
        );
        let memory_permille = 805;
        bad(
            Vitals {
                memory_permille,
                ..healthy()
            },
            Source::RedisMemory,
            80,
        );
        for silent_ms in [None, Some(15_000)] {
            let backlog = 7;
            let vitals = Vitals {
                backlog,
                silent_ms,
                ..healthy()
            };
            bad(vitals, Source::NoProcessor, 7);
        }
        for (events, bytes) in [(800, 0), (0, 800_000)] {
            let letters = Some(Size { events, bytes });
            bad(
                Vitals {
                    letters,
                    ..healthy()
                },
                Source::DeadLettersNearlyFull,
                80,
            );
        }
    }

    #[test]
    fn nobody_who_reads_is_no_fault_while_nothing_waits() {
        let silent_ms = None;
        assert_eq!(
            signs(Some(&Vitals {
                silent_ms,
                ..healthy()
            })),
            []
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_judged() {
        let found = signs(None);
        assert_eq!(found[0], (Source::RedisAway, Sign::Bad(0)));
        assert!(found[1..].iter().all(|(_, sign)| *sign == Sign::Unknown));
        assert_eq!(found.len(), Source::ALL.len());
        let letters = None;
        let found = signs(Some(&Vitals {
            letters,
            ..healthy()
        }));
        let expected = [
            (Source::MongodbAway, Sign::Bad(0)),
            (Source::DeadLettersAppear, Sign::Unknown),
            (Source::DeadLettersNearlyFull, Sign::Unknown),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn at_a_bound_a_source_is_not_bad_and_good_in_turn() {
        let of = |behind_ms| {
            signs(Some(&Vitals {
                behind_ms: Some(behind_ms),
                ..healthy()
            }))
        };
        assert_eq!(of(45_000), [(Source::StorageBehind, Sign::Unknown)]);
        assert_eq!(of(29_000), []);
        let of = |memory_permille| {
            signs(Some(&Vitals {
                memory_permille,
                ..healthy()
            }))
        };
        assert_eq!(of(780), [(Source::RedisMemory, Sign::Unknown)]);
    }

    #[test]
    fn a_canary_is_judged_by_who_looks_for_it_while_redis_answers() {
        let now = Clock::manual(0).now();
        let of = |vitals: Option<&Vitals>| {
            let signs = Judge::new(LIMITS).judge(vitals, Sign::Bad(40), now);
            signs[Source::CanaryLate as usize]
        };
        assert_eq!(of(Some(&healthy())), Sign::Bad(40));
        assert_eq!(of(None), Sign::Unknown);
    }

    #[test]
    fn dead_letters_are_news_for_ten_minutes_after_the_last() {
        let clock = Clock::manual(0);
        let mut judge = Judge::new(LIMITS);
        let mut of = |events| {
            let letters = Some(Size { events, bytes: 0 });
            let signs = judge.judge(
                Some(&Vitals {
                    letters,
                    ..healthy()
                }),
                Sign::Good,
                clock.now(),
            );
            signs[Source::DeadLettersAppear as usize]
        };
        // What was there before is none.
        assert_eq!(of(3), Sign::Good);
        assert_eq!(of(5), Sign::Bad(2));
        clock.advance(LETTERS_NEWS / 2);
        assert_eq!(of(6), Sign::Bad(3));
        clock.advance(LETTERS_NEWS * 3 / 4);
        // Some were purged.
        assert_eq!(of(1), Sign::Bad(3));
        clock.advance(LETTERS_NEWS / 4);
        assert_eq!(of(1), Sign::Good);
        assert_eq!(of(2), Sign::Bad(1));
    }
}
