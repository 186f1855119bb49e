//! What may be wrong, and whether it is: pure decisions over the vitals of the pipeline.

use std::time::{Duration, Instant};

use evp_shared::config::DeadLetterLimits;

use crate::admin::pipeline::Vitals;
use crate::error::QueryError;

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

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'v> {
    /// What Redis and MongoDB say.
    pub vitals: Result<&'v Vitals, &'v QueryError>,
    /// Whether canaries are late.
    pub canary: Sign,
    /// How many dead letters there may be.
    pub limits: DeadLetterLimits,
    /// The time.
    pub now: Instant,
}

/// Judges, and remembers what it takes to: how many dead letters there were.
#[derive(Debug, Default)]
pub struct Judge {
    /// How many there were last, and since when they are watched.
    letters: Option<(u64, Instant)>,
    /// How many came since they are news, and when the last ones did.
    news: Option<(u64, Instant)>,
}

impl Judge {
    /// What is `seen`, in signs.
    pub fn judge(&mut self, seen: &Seen<'_>) -> Signs {
        Source::ALL.map(|source| match (source, seen.vitals) {
            (Source::RedisAway, Err(error)) => away(error),
            (Source::RedisAway, Ok(_)) => Sign::Good,
            (_, Err(_)) => Sign::Unknown,
            (Source::CanaryLate, Ok(_)) => seen.canary,
            (_, Ok(vitals)) => self.of(source, vitals, seen),
        })
    }

    fn of(&mut self, source: Source, vitals: &Vitals, seen: &Seen<'_>) -> Sign {
        match source {
            Source::RedisAway | Source::CanaryLate => Sign::Good,
            Source::MongodbAway => vitals.letters.as_ref().map_or_else(away, |_| Sign::Good),
            Source::NoProcessor => silence(vitals, seen.limits),
            Source::StorageBehind => vitals.behind_ms.map_or(Sign::Unknown, behind),
            Source::RedisMemory => MEMORY_PERCENT.judge(vitals.memory_permille / 10),
            Source::DeadLettersAppear => vitals
                .letters
                .as_ref()
                .map_or(Sign::Unknown, |size| self.news(size.events, seen.now)),
            Source::DeadLettersNearlyFull => vitals
                .letters_percent(seen.limits)
                .map_or(Sign::Unknown, |percent| LETTERS_PERCENT.judge(percent)),
        }
    }

    fn news(&mut self, letters: u64, now: Instant) -> Sign {
        let (before, since) = self.letters.unwrap_or((letters, now));
        self.letters = Some((letters, since));
        if letters > before {
            let known = self.news.map_or(0, |(count, _)| count);
            self.news = Some((known + letters - before, now));
        }
        let is_news = |last: Instant| now.duration_since(last) < LETTERS_NEWS;
        self.news = self.news.filter(|(_, last)| is_news(*last));
        match self.news {
            Some((count, _)) => Sign::Bad(count),
            // Those of before the start may be news yet.
            None if is_news(since) => Sign::Unknown,
            None => Sign::Good,
        }
    }
}

/// Who refuses a command is not away by that.
fn away(error: &QueryError) -> Sign {
    if error.is_away() {
        Sign::Bad(0)
    } else {
        Sign::Unknown
    }
}

fn behind(ms: u64) -> Sign {
    let bad = BEHIND.as_secs();
    let band = Band { bad, good: bad / 2 };
    band.judge(ms / 1_000)
}

/// To Redis 7.0 a consumer that finds nothing to read gives no sign, so silence alone says nothing. Nor does
/// it at the cap of dead letters, where reading pauses.
fn silence(vitals: &Vitals, limits: DeadLetterLimits) -> Sign {
    let silent_s = vitals.silent_ms.map_or(u64::MAX, |ms| ms / 1_000);
    if vitals.backlog <= 0 || silent_s < SILENT.as_secs() {
        Sign::Good
    } else if vitals.letters_percent(limits) >= Some(100) {
        Sign::Unknown
    } else {
        Sign::Bad(vitals.backlog.unsigned_abs())
    }
}

#[cfg(test)]
mod tests;
