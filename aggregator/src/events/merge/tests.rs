//! The merge against a sorted vector: whatever the spans hold, and however they are read.

use std::collections::{BTreeSet, VecDeque};

use bson::Uuid;
use evp_shared::event::span::{Calendar, Span, SpanUnit};
use evp_shared::store::Outside;
use evp_shared::store::{Row, State};
use proptest::prelude::*;

use super::super::filter::Window;
use super::super::pieces::Pieces;
use super::super::position::Order;
use super::*;

const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 6;

/// A span that is made up.
#[derive(Debug)]
struct Part {
    events: Vec<Position>,
    pieces: Pieces,
    read: VecDeque<Position>,
}

impl Part {
    fn front(&self) -> Front {
        Front {
            head: self.read.front().copied(),
            passed: self.pieces.passed(),
        }
    }

    /// Reads on: up to `most` events, and no further than `step_ms` in time.
    fn read(&mut self, most: usize, step_ms: i64, direction: Direction) {
        let (piece, after) = self.pieces.current().expect("something is left");
        let is_in = |place: &&Position| (piece.from_ms..piece.to_ms).contains(&place.time_ms);
        let is_after =
            |place: &&Position| after.is_none_or(|after| direction.compare(&after, *place).is_lt());
        let mut found: Vec<Position> = self
            .events
            .iter()
            .filter(is_in)
            .filter(is_after)
            .copied()
            .collect();
        found.sort_unstable_by(|one, other| direction.compare(one, other));
        let Some(first) = found.first().copied() else {
            return self.pieces.pass_piece();
        };
        let is_near = |place: &Position| (place.time_ms - first.time_ms).abs() <= step_ms;
        let near: Vec<Position> = found.into_iter().take_while(is_near).take(most).collect();
        self.read.extend(&near);
        self.pieces.pass(*near.last().expect("the first is near"));
    }
}

/// A day of the id (the last one is none), a day and a time of the timestamp.
type Made = (i64, i64, i64);

fn parts(
    made: &[Made],
    direction: Direction,
    window: Window,
    after: Option<Position>,
) -> Vec<Part> {
    let calendar = Calendar {
        birth_ms: 0,
        unit: SpanUnit::Day,
    };
    let part = |day: i64| {
        let own = (0_u64..).zip(made).filter(|(_, made)| made.0 == day);
        let events: Vec<Position> = own.map(|(n, made)| place(n, *made)).collect();
        let time_ms = (day < DAYS).then(|| u64::try_from(day * DAY_MS).unwrap());
        let mut row = Row {
            span: calendar.span_of(time_ms),
            uuid: Uuid::from_bytes([1; 16]),
            state: State::Hot,
            indexes: Vec::new(),
            outside: Outside::default(),
        };
        let noted = events
            .iter()
            .filter_map(|event| row.unnoted_day(event.time_ms));
        let days: BTreeSet<i32> = noted.collect();
        row.outside.days = days.into_iter().collect();
        let pieces = Pieces::of(&row, window, (Order::Timestamp, direction), after);
        assert!(day < DAYS || row.span == Span::Undated);
        assert!(
            events
                .iter()
                .all(|event| row.unnoted_day(event.time_ms).is_none())
        );
        Part {
            events,
            pieces,
            read: VecDeque::new(),
        }
    };
    (0..=DAYS).map(part).collect()
}

fn place(n: u64, (_, day, ms): Made) -> Position {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_be_bytes());
    Position {
        time_ms: day * DAY_MS + ms,
        id,
    }
}

proptest! {
    #[test]
    fn pages_are_the_list_each_event_once_and_in_order(
        made in prop::collection::vec(
            (0..=DAYS, 0..DAYS, 0..5_i64).prop_map(|(id, outlier, ms)| {
                // Most lie on the day of their id.
                let day = if ms > 2 || id == DAYS { outlier } else { id };
                (id, day, ms)
            }),
            0..60,
        ),
        is_back in any::<bool>(),
        limit in 1..9_usize,
        reads in prop::collection::vec((1..5_usize, 0..2 * DAY_MS), 1..8),
        from in 0..DAYS,
        length in 1..=DAYS,
    ) {
        let direction = if is_back { Direction::Newer } else { Direction::Older };
        let window = Window { from_ms: from * DAY_MS + 1, to_ms: (from + length) * DAY_MS };
        let mut expected: Vec<Position> = (0..).zip(&made).map(|(n, made)| place(n, *made)).collect();
        expected.retain(|place| (window.from_ms..window.to_ms).contains(&place.time_ms));
        expected.sort_unstable_by(|one, other| direction.compare(one, other));

        let (mut listed, mut after, mut turn) = (Vec::new(), None, reads.iter().cycle());
        loop {
            let mut parts = parts(&made, direction, window, after);
            let before = listed.len();
            let is_over = loop {
                match next(parts.iter().map(Part::front), direction) {
                    Next::End => break true,
                    Next::Take(_) if listed.len() - before == limit => break false,
                    Next::Take(at) => listed.extend(parts[at].read.pop_front()),
                    Next::Read(which) => {
                        prop_assert!(which.len() <= AT_ONCE);
                        for at in which {
                            let (most, step_ms) = *turn.next().expect("without end");
                            parts[at].read(most, step_ms, direction);
                        }
                    }
                }
                // A page may end anywhere for lack of time: what is before it was taken.
                let now = reached(parts.iter().map(Part::front), direction);
                if let (Next::Read(_), Some(now)) = (next(parts.iter().map(Part::front), direction), now) {
                    let is_taken = |place: &&Position| direction.compare(*place, &now).is_le();
                    prop_assert_eq!(expected.iter().filter(is_taken).count(), listed.len());
                }
            };
            if is_over {
                break;
            }
            after = listed.last().copied();
        }
        prop_assert_eq!(listed, expected);
    }
}

#[test]
fn a_span_that_can_hold_nothing_before_what_was_read_is_left_closed() {
    let part = |head, passed| Front { head, passed };
    let at = |ms| Some(Position::first_of(ms));
    let parts = [part(at(50), at(10)), part(None, at(40)), part(None, None)];
    let older = next(parts.iter().copied(), Direction::Older);
    assert_eq!(older, Next::Take(0));
    let newer = next(parts.iter().copied(), Direction::Newer);
    assert_eq!(newer, Next::Read(vec![1]));
    let closed: Vec<Front> = (0..9).map(|ms| part(None, at(ms))).collect();
    let older = next(closed.iter().copied(), Direction::Older);
    assert_eq!(older, Next::Read(vec![5, 6, 7, 8]));
    assert_eq!(reached(closed.iter().copied(), Direction::Older), at(8));
}
