//! Which spans may be sealed, and what becomes of a span's indexes. Pure.

use std::collections::BTreeMap;

use evp_shared::event::span::Span;
use evp_shared::store::{Index, Row, SpanIndex, State};
use serde::{Deserialize, Serialize};

use super::waits::{Waits, ms};

/// A span counts as quiet when it grew by less than one part in this.
const GROWN_MAX: u64 = 100;

/// Bytes that building an index takes for a document, sorted on disk and written: two copies of a key
/// of some 100 bytes.
const BUILD_BYTES: u64 = 250;

/// What mongod wants free in any case. Source: `indexBuildMinAvailableDiskSpaceMB`, 500.
const SPARE_BYTES: u64 = 500 << 20;

/// How many events a span had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// So many.
    events: u64,
    /// Unix ms by MongoDB.
    at: u64,
}

/// The sizes of spans that wait for being sealed, by their names.
pub type Sizes = BTreeMap<String, Seen>;

/// Why a span is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotYet {
    /// It is, or never is.
    Never,
    /// It has not ended.
    Open,
    /// It ended a short while ago.
    Fresh,
}

/// Whether `row` has ended long enough ago.
///
/// # Errors
/// Why not.
pub fn has_ended(row: &Row, now_ms: u64, waits: &Waits) -> Result<(), NotYet> {
    let (Span::Dated { to_ms, cut, .. }, State::Hot) = (row.span, row.state) else {
        return Err(NotYet::Never);
    };
    if now_ms < to_ms {
        return Err(NotYet::Open);
    }
    if now_ms < to_ms.saturating_add(ms(waits.before_sealing(cut))) {
        return Err(NotYet::Fresh);
    }
    Ok(())
}

/// Takes note that the span `name` has `events`, and says whether it hardly grew.
pub fn is_quiet(sizes: &mut Sizes, name: &str, events: u64, now_ms: u64, waits: &Waits) -> bool {
    let seen = Seen { events, at: now_ms };
    let Some(before) = sizes.get_mut(name) else {
        sizes.insert(name.to_owned(), seen);
        return false;
    };
    // A clock that was set back begins anew.
    if before.at > now_ms {
        *before = seen;
    }
    if now_ms - before.at < ms(waits.quiet) {
        return false;
    }
    let grown = events.saturating_sub(before.events);
    let is_quiet = grown == 0 || grown.saturating_mul(GROWN_MAX) < before.events;
    if !is_quiet {
        *before = seen;
    }
    is_quiet
}

/// Whether a disk with `free` bytes has room to build an index over `events`.
pub fn has_room(events: u64, free: u64) -> bool {
    free >= events
        .saturating_mul(BUILD_BYTES)
        .saturating_add(SPARE_BYTES)
}

/// What is to be done with a span's indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What it becomes.
    pub state: State,
    /// What is built.
    pub build: Vec<SpanIndex>,
    /// What its row names then.
    pub wanted: Vec<SpanIndex>,
    /// What is dropped after that.
    pub drop: Vec<SpanIndex>,
}

impl Work {
    /// What makes the indexes of `row`, which names only what is there, those of a span in `state`;
    /// `there` are those of its collection that EVP knows. What has another name is left alone.
    pub fn of(row: &Row, there: &[SpanIndex], state: State, indexes: &[Index]) -> Option<Self> {
        let wanted = SpanIndex::wanted(indexes, state);
        let but = |these: &[SpanIndex], those: &[SpanIndex]| -> Vec<SpanIndex> {
            let these = these.iter().filter(|one| !those.contains(one));
            these.copied().collect()
        };
        let work = Self {
            state,
            build: but(&wanted, &row.indexes),
            drop: but(there, &wanted),
            wanted,
        };
        let is_done = row.state == state
            && work.build.is_empty()
            && work.drop.is_empty()
            && but(&row.indexes, &work.wanted).is_empty();
        (!is_done).then_some(work)
    }
}

#[cfg(test)]
mod tests {
    use bson::Uuid;
    use evp_shared::event::span::{Calendar, SpanUnit};
    use evp_shared::store::Outside;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const NOW_MS: u64 = 1_795_971_900_000;
    const BOTH: [Index; 2] = [Index::Type, Index::User];

    fn row(unit: SpanUnit, time_ms: Option<u64>, state: State) -> Row {
        Row {
            span: Calendar::born(NOW_MS, unit).span_of(time_ms),
            uuid: Uuid::from_bytes([1; 16]),
            state,
            indexes: SpanIndex::wanted(&BOTH, state),
            outside: Outside::default(),
        }
    }

    #[test]
    fn a_span_is_sealed_a_while_after_its_end_and_undated_never() {
        let waits = Waits::new(1);
        for (unit, hours) in [
            (SpanUnit::Hour, 1),
            (SpanUnit::Day, 6),
            (SpanUnit::Month, 6),
        ] {
            let hot = row(unit, Some(NOW_MS), State::Hot);
            let end = hot.span.range_ms().unwrap().end;
            let at = |now_ms| has_ended(&hot, now_ms, &waits);
            assert_eq!(at(end - 1), Err(NotYet::Open));
            assert_eq!(at(end + hours * HOUR_MS - 1), Err(NotYet::Fresh));
            assert_eq!(at(end + hours * HOUR_MS), Ok(()));
        }
        for (time, state) in [(Some(0), State::Sealed), (None, State::Undated)] {
            let row = row(SpanUnit::Day, time, state);
            assert_eq!(has_ended(&row, u64::MAX, &waits), Err(NotYet::Never));
        }
        // Past years begin hot, and ended long ago.
        let year = row(SpanUnit::Day, Some(0), State::Hot);
        assert_eq!(has_ended(&year, NOW_MS, &waits), Ok(()));
    }

    #[test]
    fn a_span_that_grows_waits_for_a_quiet_hour() {
        let waits = Waits::new(1);
        let mut sizes = Sizes::new();
        let mut at = |hours: u64, events| {
            is_quiet(
                &mut sizes,
                "events_2013",
                events,
                NOW_MS + hours * HOUR_MS,
                &waits,
            )
        };
        assert!(!at(0, 1_000));
        assert!(!at(1, 1_010));
        assert!(at(2, 1_019));
        assert!(!at(3, 2_000));
        assert!(at(4, 2_000));
        // Nothing of nothing is quiet.
        assert!(!is_quiet(&mut sizes, "a", 0, 0, &waits));
        assert!(is_quiet(&mut sizes, "a", 0, HOUR_MS, &waits));
        assert!(!is_quiet(&mut sizes, "b", 1, 2 * HOUR_MS, &waits));
        assert!(!is_quiet(&mut sizes, "b", 1, HOUR_MS, &waits));
        assert!(is_quiet(&mut sizes, "b", 1, 2 * HOUR_MS, &waits));
    }

    #[test]
    fn shortened_waits_are_all_shorter() {
        let (long, short) = (Waits::new(1), Waits::new(3_600));
        assert_eq!(short.hold * 3_600, long.hold);
        assert_eq!(short.seal, std::time::Duration::from_secs(6));
        assert!(long.lease() < std::time::Duration::from_secs(180));
    }

    #[test]
    fn an_index_is_built_before_the_row_names_it_and_dropped_after_it_does_not() {
        use SpanIndex::{Type, User, UserRecent};
        let hot = row(SpanUnit::Day, Some(0), State::Hot);
        let work = |there: &[SpanIndex], state| Work::of(&hot, there, state, &BOTH);
        assert_eq!(work(&[Type, UserRecent], State::Hot), None);
        let seal = work(&[Type, UserRecent], State::Sealed).unwrap();
        assert_eq!(seal.build, [User]);
        assert_eq!(seal.wanted, [Type, User]);
        assert_eq!(seal.drop, [UserRecent]);
        // One that was begun before, and may be building still, is asked for again.
        let again = work(&[Type, UserRecent, User], State::Sealed).unwrap();
        assert_eq!(again.build, [User]);
        // One dropped by hand, which the row does not name any more.
        let mut lost = hot.clone();
        lost.indexes = vec![UserRecent];
        let lost = Work::of(&lost, &[UserRecent], State::Hot, &BOTH).unwrap();
        assert_eq!((lost.build, lost.drop), (vec![Type], vec![]));
        // One that is not wanted any more.
        let fewer = Work::of(&hot, &[Type, UserRecent], State::Hot, &[Index::User]).unwrap();
        assert_eq!((fewer.build, fewer.drop), (vec![], vec![Type]));
    }

    #[test]
    fn an_index_is_not_begun_without_room_for_it() {
        assert!(has_room(0, SPARE_BYTES));
        assert!(!has_room(1, SPARE_BYTES));
        assert!(!has_room(u64::MAX, u64::MAX - 1));
        assert!(has_room(10_000_000, 4 << 30));
    }
}
