//! Looks for the canaries that every ingest hands on ([`evp_shared::canary`]): how old the newest one is
//! that is stored, and how many are missing between those that are.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use evp_shared::canary::{self, CanaryId};
use evp_shared::clock::Clock;
use evp_shared::shutdown::Shutdown;
use evp_shared::telemetry::as_f64;
use futures::StreamExt as _;
use parking_lot::Mutex;

use crate::auth::Tenant;
use crate::error::QueryError;
use crate::events::Events;
use crate::events::filter::{Filter, Window};
use crate::metrics::CanaryMetrics;

/// Canaries are looked for among those of so many intervals: an hour at 15 s.
const LOOKED_AT: u32 = 240;

/// Looks within an interval.
const LOOKS: u32 = 3;

/// The longest wait between two of them.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// Canaries of a page, and pages at most: those of a hundred ingests in an hour. Of more, the oldest are
/// not looked at.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 24;

/// The newest ones, which are looked at each time: one of each of a hundred ingests.
const NEWEST: usize = 100;

/// Looks of which one is at all of them.
const ALL_EVERY: u32 = 4 * LOOKS;

/// Canaries as they are found in MongoDB.
#[derive(Debug)]
pub struct Canaries {
    events: Arc<Events>,
    clock: Clock,
    metrics: CanaryMetrics,
    sight: CanarySight,
}

/// What is known of them; clones share it.
#[derive(Debug, Clone)]
pub struct CanarySight {
    interval: Duration,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    /// When the newest one was sent, or since when they are looked for: Unix ms.
    newest_ms: u64,
    /// When they were last looked at: Unix ms.
    looked_ms: u64,
    /// The highest number of each ingest.
    numbers: BTreeMap<String, u64>,
}

impl Seen {
    /// These were found at `now_ms`. By a clock that runs ahead one was sent when it was found first: it
    /// would be young for long after its ingest has ended.
    fn note(&mut self, found: &[(u64, CanaryId)], now_ms: u64) {
        for (sent_ms, id) in found {
            let highest = self.numbers.entry(id.ingest.clone()).or_default();
            if id.number > *highest {
                *highest = id.number;
                self.newest_ms = self.newest_ms.max((*sent_ms).min(now_ms));
            }
        }
        self.looked_ms = now_ms;
    }

    /// Nobody else is there any more.
    fn keep_only(&mut self, found: &[(u64, CanaryId)]) {
        let there: BTreeSet<&str> = found.iter().map(|(_, id)| &*id.ingest).collect();
        self.numbers.retain(|ingest, _| there.contains(&**ingest));
    }
}

impl Canaries {
    /// Those of an ingest each `interval`, among `events`; and what is known of them.
    pub fn new(events: Arc<Events>, interval: Duration, clock: Clock) -> (Self, CanarySight) {
        let seen = Seen {
            newest_ms: clock.now_ms(),
            ..Seen::default()
        };
        let sight = CanarySight {
            interval,
            seen: Arc::new(Mutex::new(seen)),
        };
        let one = Self {
            events,
            clock,
            metrics: CanaryMetrics::resolve(),
            sight: sight.clone(),
        };
        (one, sight)
    }

    /// Looks for them until the shutdown.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let (mut failed, mut looks) = (false, 0_u32);
        let mut ticks = shutdown.every((self.sight.interval / LOOKS).min(LOOK_MAX));
        while ticks.next().await.is_some() {
            let of_all = looks % ALL_EVERY == 0 || self.is_old();
            looks = looks.wrapping_add(1);
            let looked = Box::pin(self.look(of_all)).await;
            if let Err(error) = &looked
                && !failed
            {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "canaries cannot be looked for");
            }
            failed = looked.is_err();
            let age_ms = self
                .clock
                .now_ms()
                .saturating_sub(self.sight.seen.lock().newest_ms);
            self.metrics
                .age
                .set(Duration::from_millis(age_ms).as_secs_f64());
        }
        Ok(())
    }

    /// Whether the next one should be there: those of an ingest whose clock runs ahead may hide it.
    fn is_old(&self) -> bool {
        let age_ms = self
            .clock
            .now_ms()
            .saturating_sub(self.sight.seen.lock().newest_ms);
        Duration::from_millis(age_ms) > self.sight.interval * 3 / 2
    }

    async fn look(&self, of_all: bool) -> Result<(), QueryError> {
        let now_ms = self.clock.now_ms();
        let (page, pages) = if of_all {
            (PAGE, PAGES_MAX)
        } else {
            (NEWEST, 1)
        };
        let found = self.stored(now_ms, page, pages).await?;
        let mut seen = self.sight.seen.lock();
        seen.note(&found, now_ms);
        if of_all {
            seen.keep_only(&found);
            self.metrics.missing.set(as_f64(missing(&found)));
        }
        Ok(())
    }

    /// The newest canaries that are stored, so many pages at most, with when they were sent.
    async fn stored(
        &self,
        now_ms: u64,
        page: usize,
        pages: usize,
    ) -> Result<Vec<(u64, CanaryId)>, QueryError> {
        let before = self.sight.interval * LOOKED_AT;
        let before_ms = u64::try_from(before.as_millis()).unwrap_or(u64::MAX);
        let from_ms = now_ms.saturating_sub(before_ms);
        let filter = Filter {
            tenant: Tenant::of_canaries(),
            types: vec![canary::EVENT_TYPE.to_owned()],
            user_id: None,
            session_id: None,
            window: Window {
                from_ms: i64::try_from(from_ms).unwrap_or(i64::MAX),
                to_ms: i64::MAX,
            },
            written_window: Default::default(),
        };
        let (mut found, mut cursor) = (Vec::new(), None);
        for _ in 0..pages {
            let read = self.events.page(&filter, cursor, page).await?;
            found.extend(read.documents.iter().filter_map(canary_of));
            cursor = read.next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
        // Without an index of types they may lie behind too many other events.
        if found.is_empty() {
            return Err(QueryError::Timeout);
        }
        Ok(found)
    }
}

impl CanarySight {
    /// For how long none was stored, and whether that is too long; `None` where that cannot be seen.
    pub fn age(&self, now_ms: u64) -> Option<(Duration, bool)> {
        let seen = self.seen.lock();
        let since = |ms: u64| Duration::from_millis(now_ms.saturating_sub(ms));
        let age = since(seen.newest_ms);
        // One that did not come, and half of the time of the next: so it is told before the third is due.
        let is_late = age > self.interval * 5 / 2;
        (since(seen.looked_ms) <= self.interval * 2).then_some((age, is_late))
    }
}

/// A canary, and when it was sent.
fn canary_of(document: &RawDocumentBuf) -> Option<(u64, CanaryId)> {
    let sent_ms = document.get_datetime("timestamp").ok()?.timestamp_millis();
    let id = document.get_str("eventId").ok()?.parse().ok()?;
    Some((u64::try_from(sent_ms).ok()?, id))
}

/// How many numbers lack between those that are there, of each ingest.
fn missing(found: &[(u64, CanaryId)]) -> u64 {
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (_, id) in found {
        numbers.entry(&id.ingest).or_default().push(id.number);
    }
    let lacking = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        // One that was sent again after an answer was lost may be there twice.
        numbers.dedup();
        let apart = numbers.windows(2).map(|two| match two {
            [one, next] => next - one - 1,
            _ => 0,
        });
        apart.fold(0_u64, u64::saturating_add)
    };
    let all = numbers.into_values().map(lacking);
    all.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: &[(&str, u64)]) -> Vec<(u64, CanaryId)> {
        let canary = |(ingest, number): &(&str, u64)| {
            let (ingest, number) = ((*ingest).to_owned(), *number);
            (0, CanaryId { ingest, number })
        };
        ids.iter().map(canary).collect()
    }

    #[test]
    fn what_lacks_between_two_of_one_ingest_is_missing() {
        assert_eq!(missing(&[]), 0);
        // Each has its own numbers, in any order, and those before the first are too old to be looked at.
        assert_eq!(
            missing(&found(&[("a", 7), ("b", 9), ("a", 8), ("b", 10)])),
            0
        );
        assert_eq!(
            missing(&found(&[("a", 9), ("a", 7), ("a", 9), ("b", 3)])),
            1
        );
        assert_eq!(
            missing(&found(&[("a", 1), ("a", 5), ("b", 3), ("b", 5)])),
            4
        );
    }

    #[test]
    fn a_clock_that_runs_ahead_does_not_keep_a_canary_young() {
        let ahead = |number: u64, now_ms: u64| {
            let ingest = "a".to_owned();
            (now_ms + 600_000, CanaryId { ingest, number })
        };
        let mut seen = Seen::default();
        seen.note(&[ahead(1, 1_000_000)], 1_000_000);
        assert_eq!((seen.newest_ms, seen.looked_ms), (1_000_000, 1_000_000));
        seen.note(&[ahead(1, 1_000_000), ahead(2, 1_015_000)], 1_015_000);
        assert_eq!(seen.newest_ms, 1_015_000);
        // It has ended, and its last ones are there for long.
        seen.note(&[ahead(1, 1_000_000), ahead(2, 1_015_000)], 1_900_000);
        assert_eq!((seen.newest_ms, seen.looked_ms), (1_015_000, 1_900_000));
        // One that is late was sent when it was sent.
        let ingest = "b".to_owned();
        seen.note(&[(1_020_000, CanaryId { ingest, number: 9 })], 1_950_000);
        assert_eq!(seen.newest_ms, 1_020_000);
        seen.keep_only(&[ahead(2, 1_015_000)]);
        assert_eq!(seen.numbers.into_keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_canary_is_late_before_the_third_one_in_a_row_is_due() {
        let sight = |newest_ms, looked_ms| CanarySight {
            interval: Duration::from_secs(15),
            seen: Arc::new(Mutex::new(Seen {
                newest_ms,
                looked_ms,
                ..Seen::default()
            })),
        };
        let now_ms = 1_000_000;
        for (age_ms, is_late) in [(0, false), (37_500, false), (37_501, true), (60_000, true)] {
            let age = sight(now_ms - age_ms, now_ms).age(now_ms);
            assert_eq!(age, Some((Duration::from_millis(age_ms), is_late)));
        }
        // Whoever has not looked does not know.
        assert_eq!(sight(now_ms, now_ms - 31_000).age(now_ms), None);
        assert_eq!(sight(now_ms, 0).age(now_ms), None);
    }
}
