//! When events end. Pure.
//!
//! The *floor* rises to what may end, and ingest refuses what lies below it. *Gone* follows when
//! the floor has stood for a while, so that every ingest knows of it, and when every entry that was
//! appended until then is acknowledged: nothing accepted is dropped before it was stored. Times are
//! MongoDB's, and what was appended is told by entry ids: no clock of a processor's decides.

use std::time::Duration;

use evp_shared::event::span::{Calendar, Span};
use evp_shared::stream::{EntryId, Life};
use serde::{Deserialize, Serialize};

use super::waits::ms;

/// Clocks of MongoDB and Redis further apart than this end nothing.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(3_600);

/// Until when there are spans without a gap, from `now_ms` on, Unix ms; they come oldest first.
pub fn made_until<'a>(spans: impl Iterator<Item = &'a Span>, now_ms: u64) -> u64 {
    let ranges = spans.filter_map(Span::range_ms);
    ranges.fold(now_ms, |until, range| {
        let goes_on = range.contains(&until);
        if goes_on { range.end } else { until }
    })
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tide {
    /// Its life.
    pub life: Life,
    /// The id it gave last.
    pub last: EntryId,
    /// The oldest entry that is not acknowledged.
    pub oldest: Option<EntryId>,
}

impl Tide {
    /// How far the oldest entry that is not committed lies behind the newest one.
    pub fn backlog(&self) -> Duration {
        let oldest = self.oldest.unwrap_or(self.last);
        Duration::from_millis(self.last.ms.saturating_sub(oldest.ms))
    }
}

/// A floor that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Hold {
    /// The floor, Unix ms.
    floor: u64,
    /// Since when, Unix ms by MongoDB.
    since: u64,
}

/// A floor that has stood for long enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stood {
    floor: u64,
    /// The last entry of each partition by then.
    last: Vec<EntryId>,
}

/// What is remembered of the floor from round to round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The partitions' lives in the last round.
    lives: Vec<u64>,
    /// Lowest floor first. Bounded: those that have stood are one, and the others rose by a unit
    /// each within the time they have to stand.
    holds: Vec<Hold>,
    stood: Option<Stood>,
}

/// Marks as of this round, and what may become of them. Unix ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// By MongoDB.
    pub now: u64,
    /// The floor.
    pub floor: u64,
    /// The mark below which spans are dropped.
    pub gone: u64,
    /// What is below it may end, as things are; a floor may have risen further before.
    pub goal: u64,
}

/// What is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is to end.
    Nothing,
    /// The floor must stand until this Unix ms.
    Stand(u64),
    /// An entry that was appended before is not acknowledged.
    Pending {
        /// Its partition.
        partition: usize,
        /// Which one it is.
        entry: EntryId,
    },
    /// The mark may rise to this Unix ms.
    Gone(u64),
}

/// What may end at `now_ms`: the last end of a span that lies `keep` back; or what was `asked` for
/// by hand.
pub fn goal(calendar: &Calendar, now_ms: u64, keep: Option<Duration>, asked: u64) -> u64 {
    let kept = keep.and_then(|keep| {
        let span = calendar.span_of(Some(now_ms.checked_sub(ms(keep))?));
        Some(span.range_ms()?.start)
    });
    kept.unwrap_or(0).max(asked)
}

/// How far the clocks of Redis and MongoDB are apart, where that is too far: one of them is wrong, and
/// what it made end would not come back.
pub fn too_far_apart(redis_ms: u64, mongo_ms: u64) -> Option<Duration> {
    let apart = Duration::from_millis(redis_ms.abs_diff(mongo_ms));
    (apart > CLOCKS_APART_MAX).then_some(apart)
}

impl Ending {
    /// Whether a floor has stood, and only entries are waited for.
    pub fn has_stood(&self) -> bool {
        self.stood.is_some()
    }

    /// Takes note of what is seen, and says what is next.
    pub fn look(&mut self, sight: Sight, tides: &[Tide], hold: Duration) -> Next {
        let lives: Vec<u64> = tides.iter().map(|tide| tide.life.0).collect();
        if self.lives != lives {
            // An old copy of Redis has an old floor, which an ingest that starts believes.
            self.holds.clear();
            self.stood = None;
            self.lives = lives;
        }
        self.holds.retain(|hold| hold.floor > sight.gone);
        self.stood.take_if(|stood| stood.floor <= sight.gone);
        self.note(sight);
        self.ripen(sight, tides, hold);
        let Some(stood) = &self.stood else {
            let first = self.holds.first().filter(|_| sight.goal > sight.gone);
            let until = first.map(|first| first.since.saturating_add(ms(hold)));
            return until.map_or(Next::Nothing, Next::Stand);
        };
        let gone = stood.floor.min(sight.goal);
        if gone <= sight.gone {
            return Next::Nothing;
        }
        let oldest: Vec<Option<EntryId>> = tides.iter().map(|tide| tide.oldest).collect();
        match self.held_by(&oldest) {
            Some((partition, entry)) => Next::Pending { partition, entry },
            None => Next::Gone(gone),
        }
    }

    /// The partition and the entry that a floor which has stood waits for; `oldest` are those of each
    /// partition that are not acknowledged.
    pub fn held_by(&self, oldest: &[Option<EntryId>]) -> Option<(usize, EntryId)> {
        let stood = self.stood.as_ref()?;
        let mut held = oldest.iter().zip(&stood.last).enumerate();
        held.find_map(|(partition, (oldest, last))| {
            let entry = oldest.filter(|oldest| oldest <= last)?;
            Some((partition, entry))
        })
    }

    /// A floor that was not seen before stands from here on.
    fn note(&mut self, sight: Sight) {
        let stood = self.stood.as_ref().map_or(0, |stood| stood.floor);
        let highest = self.holds.last().map_or(0, |hold| hold.floor);
        if sight.floor > sight.gone.max(stood).max(highest) {
            self.holds.push(Hold {
                floor: sight.floor,
                since: sight.now,
            });
        }
    }

    /// Of the floors that have stood for `hold` the highest is the one that counts, unless one is
    /// being waited for: else a backlog that is worked off slowly would never be over.
    fn ripen(&mut self, sight: Sight, tides: &[Tide], hold: Duration) {
        let is_ripe = |one: &Hold| one.since.saturating_add(ms(hold)) <= sight.now;
        let ripe = self.holds.iter().filter(|one| is_ripe(one)).count();
        self.holds.drain(..ripe.saturating_sub(1));
        if ripe > 0 && self.stood.is_none() {
            let floor = self.holds.remove(0).floor;
            let last = tides.iter().map(|tide| tide.last).collect();
            self.stood = Some(Stood { floor, last });
        }
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::event::span::SpanUnit;

    use super::*;

    const HOLD: Duration = Duration::from_millis(100);

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    fn tide(life: u64, last: u64, oldest: Option<u64>) -> [Tide; 1] {
        [Tide {
            life: Life(life),
            last: id(last),
            oldest: oldest.map(id),
        }]
    }

    fn sight(now: u64, floor: u64, gone: u64) -> Sight {
        Sight {
            now,
            floor,
            gone,
            goal: floor,
        }
    }

    #[test]
    fn spans_are_made_until_the_first_gap() {
        const DAY_MS: u64 = 86_400_000;
        let calendar = Calendar {
            birth_ms: 0,
            unit: SpanUnit::Day,
        };
        let of_days = |days: &[u64]| -> Vec<Span> {
            let times = days.iter().map(|day| day * DAY_MS);
            times.map(|ms| calendar.span_of(Some(ms))).collect()
        };
        let until = |days: &[u64]| made_until(of_days(days).iter(), 7 * DAY_MS + 1) / DAY_MS;
        assert_eq!(until(&[6, 7, 8]), 9);
        assert_eq!(until(&[6, 7, 9]), 8, "the ninth is behind a gap");
        assert_eq!(until(&[5, 6, 8]), 7, "nothing is made for now");
        assert_eq!(made_until([&calendar.span_of(None)].into_iter(), 3), 3);
    }

    #[test]
    fn what_ends_is_whole_spans_that_lie_back_far_enough() {
        const DAY_MS: u64 = 86_400_000;
        let now_ms = 20_700 * DAY_MS + 5;
        let calendar = Calendar::born(now_ms, SpanUnit::Day);
        let goal = |keep, asked| goal(&calendar, now_ms, keep, asked);
        let days = |days| Some(Duration::from_millis(days * DAY_MS));
        let since_birth = (now_ms - calendar.birth_ms) / DAY_MS;
        assert_eq!(goal(None, 0), 0);
        assert_eq!(goal(None, 7), 7);
        assert_eq!(goal(days(0), 7), 20_700 * DAY_MS);
        // Before the birth there are years alone.
        let year = goal(days(since_birth + 2), 0);
        assert_eq!(
            calendar.span_of(Some(year - 1)).range_ms().unwrap().end,
            year
        );
        assert!(year < calendar.birth_ms);
        assert_eq!(goal(days(30_000), 0), 0);
    }

    #[test]
    fn nothing_ends_by_a_clock_that_another_one_contradicts() {
        const HOUR_MS: u64 = 3_600_000;
        assert_eq!(too_far_apart(5 * HOUR_MS, 6 * HOUR_MS), None);
        let more = Some(Duration::from_millis(HOUR_MS + 1));
        assert_eq!(too_far_apart(5 * HOUR_MS, 6 * HOUR_MS + 1), more);
        assert_eq!(too_far_apart(6 * HOUR_MS + 1, 5 * HOUR_MS), more);
    }

    #[test]
    fn gone_follows_a_floor_that_has_stood() {
        let mut ending = Ending::default();
        let tide = tide(1, 50, None);
        assert_eq!(ending.look(sight(0, 0, 0), &tide, HOLD), Next::Nothing);
        assert_eq!(ending.look(sight(10, 7, 0), &tide, HOLD), Next::Stand(110));
        assert_eq!(ending.look(sight(109, 7, 0), &tide, HOLD), Next::Stand(110));
        assert_eq!(ending.look(sight(110, 7, 0), &tide, HOLD), Next::Gone(7));
        assert_eq!(ending.look(sight(120, 7, 7), &tide, HOLD), Next::Nothing);
    }

    #[test]
    fn what_was_appended_while_the_floor_stood_is_acknowledged_first() {
        let mut ending = Ending::default();
        ending.look(sight(0, 7, 0), &tide(1, 10, None), HOLD);
        let pending = Next::Pending {
            partition: 0,
            entry: id(40),
        };
        let look = |ending: &mut Ending, now, last, oldest| {
            ending.look(sight(now, 7, 0), &tide(1, last, oldest), HOLD)
        };
        assert_eq!(look(&mut ending, 100, 90, Some(40)), pending);
        // What comes later does not count.
        assert_eq!(look(&mut ending, 200, 190, Some(40)), pending);
        assert_eq!(look(&mut ending, 300, 290, Some(91)), Next::Gone(7));
    }

    #[test]
    fn a_new_life_begins_anew() {
        let mut ending = Ending::default();
        ending.look(sight(0, 7, 0), &tide(1, 10, None), HOLD);
        let next = ending.look(sight(100, 7, 0), &tide(2, 5, None), HOLD);
        assert_eq!(next, Next::Stand(200));
        // And so it does while an entry is waited for, or with another number of partitions.
        ending.look(sight(200, 7, 0), &tide(2, 15, Some(9)), HOLD);
        let next = ending.look(sight(210, 7, 0), &tide(3, 5, None), HOLD);
        assert_eq!(next, Next::Stand(310));
        let two = [tide(3, 5, None)[0], tide(1, 5, None)[0]];
        assert_eq!(ending.look(sight(320, 7, 0), &two, HOLD), Next::Stand(420));
    }

    #[test]
    fn a_floor_that_keeps_rising_holds_nothing_up() {
        let mut ending = Ending::default();
        let mut gone = 0;
        for now in (0..1_000).step_by(10) {
            let next = ending.look(sight(now, now, gone), &tide(1, now, None), HOLD);
            if let Next::Gone(ms) = next {
                assert!(ms + 100 <= now, "{ms} at {now}");
                gone = ms;
            }
            assert!(ending.holds.len() <= 12, "{ending:?}");
        }
        assert_eq!(gone, 890);
    }

    #[test]
    fn an_entry_that_is_never_acknowledged_holds_all_and_grows_nothing() {
        let mut ending = Ending::default();
        for now in (0..10_000).step_by(10) {
            let next = ending.look(sight(now, now, 0), &tide(1, now, Some(5)), HOLD);
            assert!(!matches!(next, Next::Gone(_)));
            assert!(ending.holds.len() <= 12, "{ending:?}");
        }
    }

    #[test]
    fn a_keep_that_was_raised_stops_what_had_begun() {
        let mut ending = Ending::default();
        let tide = tide(1, 10, None);
        let with_goal = |now, goal, gone| Sight {
            now,
            floor: 70,
            gone,
            goal,
        };
        ending.look(with_goal(0, 70, 0), &tide, HOLD);
        assert_eq!(
            ending.look(with_goal(100, 0, 0), &tide, HOLD),
            Next::Nothing
        );
        // As time goes on, spans below the floor come to end one by one.
        assert_eq!(
            ending.look(with_goal(200, 30, 0), &tide, HOLD),
            Next::Gone(30)
        );
        assert_eq!(
            ending.look(with_goal(300, 70, 30), &tide, HOLD),
            Next::Gone(70)
        );
    }

    #[test]
    fn what_is_remembered_survives_a_restart() {
        let mut ending = Ending::default();
        ending.look(sight(0, 7, 0), &tide(1, 10, None), HOLD);
        ending.look(sight(100, 8, 0), &tide(1, 10, Some(3)), HOLD);
        let written = bson::serialize_to_document(&ending).unwrap();
        let read: Ending = bson::deserialize_from_document(written).unwrap();
        assert_eq!(read, ending);
        assert!(read.stood.is_some() && !read.holds.is_empty());
    }
}
