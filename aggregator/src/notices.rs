//! Tells people by itself when something is wrong, for those who run no Prometheus.
//!
//! Every few seconds the vitals of the pipeline ([`Vitals`]) are read and
//! judged ([`source`]); [`watch`] decides whom to tell of what, [`courier`] takes it there. Of several
//! aggregators one tells: who holds the lease in Redis, where what was [`told`] stands too, so that another
//! goes on from there. Of Redis itself each tells by itself, and tells the end as well.

pub mod courier;
pub mod notice;
pub mod source;
pub mod told;
pub mod watch;
mod webhook;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::config::DeadLetterLimits;
use evp_shared::health::{Beat, Health};
use evp_shared::service::Chain;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{NoticesLease, Stream, StreamError};
use futures::StreamExt as _;
use parking_lot::Mutex;

use self::courier::Channels;
use self::notice::Notice;
use self::source::{Judge, Seen, Sign, Source};
use self::told::Told;
use self::watch::{Moment, Watch};
use crate::admin::Admin;
use crate::admin::pipeline::Vitals;
use crate::canary::CanarySight;
use crate::counters::Counters;
use crate::error::QueryError;

/// As often as the dependencies are asked for a sign of life.
const EVERY: Duration = Duration::from_secs(2);

/// Who does not ask for so long has the lease no more: the longest look takes 6 s.
const LEASE: Duration = Duration::from_secs(15);

/// Three of the longest looks.
const BEAT_MAX: Duration = Duration::from_secs(30);

/// What notices go by.
#[derive(Debug)]
pub struct Sight {
    /// Reads the vitals.
    pub admin: Arc<Admin>,
    /// Knows what is stored.
    pub counters: Arc<Counters>,
    /// Where the lease is.
    pub stream: Stream,
    /// What is known of canaries, where there are any.
    pub canary: Option<CanarySight>,
    /// The time.
    pub clock: Clock,
}

/// What is taken over from a changed configuration.
#[derive(Debug)]
pub struct Settings {
    /// Whom to tell.
    pub channels: Channels,
    /// How soon again.
    pub repeat: Duration,
    /// How many dead letters there may be.
    pub dead_letters: DeadLetterLimits,
}

/// Tells notices, for one aggregator.
#[derive(Debug)]
pub struct Notices {
    sight: Sight,
    /// Who asks for the lease.
    name: String,
    judge: Judge,
    watch: Watch,
    told: Told,
    settings: Arc<Mutex<Settings>>,
    beat: Beat,
    /// What Redis and MongoDB refuse, which is said once.
    refused: Refused,
}

/// What is refused.
#[derive(Debug, Default)]
struct Refused {
    lease: bool,
    vitals: bool,
}

/// What became of asking for the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Who asked has it, or nobody can.
    Held,
    /// Another one has it.
    Taken,
    /// There was no answer: what was handed over may be there.
    Unknown,
}

impl Notices {
    /// As configured.
    pub fn new(sight: Sight, settings: Arc<Mutex<Settings>>, health: &Health) -> Self {
        Self {
            sight,
            name: format!("{:016x}", rand::random::<u64>()),
            judge: Judge::default(),
            watch: Watch::default(),
            told: Told::default(),
            settings,
            beat: health.loop_beat("notices", BEAT_MAX),
            refused: Refused::default(),
        }
    }

    /// Tells until the shutdown.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut ticks = shutdown.every(EVERY);
        while ticks.next().await.is_some() {
            // On the heap: it holds many commands of Redis and MongoDB.
            Box::pin(self.look()).await;
            self.beat.beat();
        }
        Ok(())
    }

    async fn look(&mut self) {
        let (limits, repeat) = {
            let settings = self.settings.lock();
            (settings.dead_letters, settings.repeat)
        };
        let stored_through = self.sight.counters.stored_through_ms().await.ok();
        let vitals = self.sight.admin.vitals(stored_through).await;
        self.warn(&vitals);
        let clock = &self.sight.clock;
        let (now, now_ms) = (clock.now(), clock.now_ms());
        let signs = self.judge.judge(&Seen {
            vitals: vitals.as_ref(),
            canary: self.canary(now_ms),
            limits,
            now,
        });
        let may_tell = vitals.is_ok() && self.asks(None).await == Asked::Held;
        if self.sight.canary.is_none() {
            // That they were switched off is no end anybody has to be told of.
            self.told.forget(Source::CanaryLate);
        }
        let moment = Moment {
            now,
            now_ms,
            repeat,
        };
        let notices = self.watch.look(&signs, &self.told, moment);
        let (shared, own): (Vec<Notice>, _) = notices
            .into_iter()
            .partition(|notice| is_shared(notice.source));
        let mut due = own;
        if may_tell && !shared.is_empty() {
            let mut told = self.told.clone();
            shared.iter().for_each(|notice| told.note(notice, now_ms));
            // First, so that nobody tells it again. Where that may have worked nobody else will.
            if self.asks(Some(&told.hand_over(is_shared))).await != Asked::Taken {
                due.extend(shared);
            }
        }
        for notice in due {
            self.told.note(&notice, now_ms);
            self.settings.lock().channels.tell(notice);
        }
    }

    /// Says once that the vitals cannot be seen, where that is not for who is away.
    fn warn(&mut self, vitals: &Result<Vitals, QueryError>) {
        let error = match vitals {
            Ok(vitals) => vitals.letters.as_ref().err(),
            Err(error) => Some(error),
        };
        let error = error.filter(|error| !error.is_away());
        if let Some(error) = error
            && !self.refused.vitals
        {
            let error = Chain(error).to_string();
            tracing::warn!(error, "what notices go by cannot be seen");
        }
        self.refused.vitals = error.is_some();
    }

    fn canary(&self, now_ms: u64) -> Sign {
        let Some(sight) = &self.sight.canary else {
            return Sign::Good;
        };
        match sight.age(now_ms) {
            None => Sign::Unknown,
            Some((age, true)) => Sign::Bad(age.as_secs()),
            Some((_, false)) => Sign::Good,
        }
    }

    /// Asks for the lease, and goes on from what was told.
    async fn asks(&mut self, told: Option<&str>) -> Asked {
        let asked = self.sight.stream.lease_notices(&self.name, LEASE, told);
        let asked = asked.await;
        let outcome = Asked::from(&asked);
        match asked {
            Ok(NoticesLease { told, .. }) => {
                self.refused.lease = false;
                self.told.go_on(&told, is_shared);
            }
            Err(error) => {
                let is_refused = outcome == Asked::Held;
                if is_refused && !std::mem::replace(&mut self.refused.lease, true) {
                    let error = Chain(&error).to_string();
                    tracing::warn!(
                        error,
                        "redis refuses the lease of notices: each aggregator tells"
                    );
                }
            }
        }
        outcome
    }
}

impl From<&Result<NoticesLease, StreamError>> for Asked {
    fn from(asked: &Result<NoticesLease, StreamError>) -> Self {
        match asked {
            Ok(NoticesLease { is_held: true, .. }) => Self::Held,
            Ok(NoticesLease { is_held: false, .. }) => Self::Taken,
            // An aggregator that may not ask tells all the same: rather twice than not at all.
            Err(StreamError::Refused { .. } | StreamError::Protocol { .. }) => Self::Held,
            Err(_) => Self::Unknown,
        }
    }
}

/// Whether one aggregator tells of it for all; of a Redis that is away, who should is not known.
fn is_shared(source: Source) -> bool {
    source != Source::RedisAway
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_handed_over_without_an_answer_tells() {
        let lease = |is_held| {
            let told = String::new();
            Ok(NoticesLease { is_held, told })
        };
        let found = String::new();
        for (asked, outcome) in [
            (lease(true), Asked::Held),
            (lease(false), Asked::Taken),
            (Err(StreamError::Protocol { found }), Asked::Held),
            (Err(StreamError::Unknown { source: None }), Asked::Unknown),
        ] {
            assert_eq!(Asked::from(&asked), outcome, "{asked:?}");
        }
    }
}
