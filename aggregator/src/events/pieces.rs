//! Which pieces of time a list reads a span in, one after another. Pure.

use std::collections::VecDeque;

use evp_shared::store::Row;

use super::filter::Window;
use super::position::{Direction, Order, Position};

/// What is left to read of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces {
    direction: Direction,
    /// In the order in which they are read; no two of them touch.
    left: VecDeque<Window>,
    /// How far the first one is read; `None` where it is to be begun.
    after: Option<Position>,
}

impl Pieces {
    /// Those of the span of `row` in which a list of `window` may have events after `after`.
    pub(super) fn of(
        row: &Row,
        window: Window,
        (order, direction): (Order, Direction),
        after: Option<Position>,
    ) -> Self {
        let held = row.holds_ms().into_iter();
        let mut held = joined(held.filter_map(|range| window.of(range)).collect());
        if let (Order::Id, Some(range), false) = (order, row.span.range_ms(), held.is_empty()) {
            // Whatever timestamps they have, in this order they stand where their ids put them.
            let ms = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
            let (from_ms, to_ms) = (ms(range.start), ms(range.end));
            held = VecDeque::from([Window { from_ms, to_ms }]);
        }
        if direction == Direction::Older {
            held.make_contiguous().reverse();
        }
        let mut pieces = Self {
            direction,
            left: held,
            after: None,
        };
        if let Some(after) = after {
            pieces.skip_to(after);
        }
        pieces
    }

    fn skip_to(&mut self, after: Position) {
        let ms = after.time_ms;
        let is_passed = |piece: &Window| match self.direction {
            Direction::Older => piece.from_ms > ms,
            Direction::Newer => piece.to_ms <= ms,
        };
        while self.left.front().is_some_and(is_passed) {
            self.left.pop_front();
        }
        let is_in = |piece: &Window| (piece.from_ms..piece.to_ms).contains(&ms);
        self.after = self.left.front().is_some_and(is_in).then_some(after);
    }

    /// The piece that is being read, and the place in it up to which that was done.
    pub(super) fn current(&self) -> Option<(Window, Option<Position>)> {
        Some((*self.left.front()?, self.after))
    }

    /// Notes that the current piece is read up to and with `place`.
    pub(super) fn pass(&mut self, place: Position) {
        self.after = Some(place);
    }

    /// Notes that the current piece is read.
    pub(super) fn pass_piece(&mut self) {
        self.left.pop_front();
        self.after = None;
    }

    /// Notes that there is nothing more in it.
    pub(super) fn pass_all(&mut self) {
        self.left.clear();
        self.after = None;
    }

    /// The place up to and with which everything is read; `None` when nothing is left.
    pub(super) fn passed(&self) -> Option<Position> {
        let (piece, after) = self.current()?;
        Some(after.unwrap_or_else(|| match self.direction {
            Direction::Older => Position::first_of(piece.to_ms),
            Direction::Newer => Position::last_of(piece.from_ms.saturating_sub(1)),
        }))
    }
}

/// `pieces` in the order of time, those that touch as one.
fn joined(mut pieces: Vec<Window>) -> VecDeque<Window> {
    pieces.sort_unstable_by_key(|piece| piece.from_ms);
    let mut joined: VecDeque<Window> = VecDeque::new();
    for piece in pieces {
        match joined.back_mut() {
            Some(last) if piece.from_ms <= last.to_ms => last.to_ms = last.to_ms.max(piece.to_ms),
            _ => joined.push_back(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use evp_shared::event::span::{Calendar, Span, SpanUnit};
    use evp_shared::store::Outside;
    use evp_shared::store::State;

    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const SLACK_MS: i64 = 600_000;

    /// Of the day 100, with events of the days 3 and 101.
    fn row() -> Row {
        let day = Calendar {
            birth_ms: 0,
            unit: SpanUnit::Day,
        };
        Row {
            span: day.span_of(Some(u64::try_from(100 * DAY_MS).unwrap())),
            uuid: bson::Uuid::from_bytes([1; 16]),
            state: State::Hot,
            indexes: Vec::new(),
            outside: Outside {
                days: vec![101, 3],
                edges: Some((3, 101)),
            },
        }
    }

    fn read(mut pieces: Pieces) -> Vec<(i64, i64)> {
        let mut read = Vec::new();
        while let Some((piece, _)) = pieces.current() {
            read.push((piece.from_ms, piece.to_ms));
            pieces.pass_piece();
        }
        assert_eq!(pieces.passed(), None);
        read
    }

    #[test]
    fn a_span_is_read_where_it_holds_events() {
        let pieces = |window, way, after| Pieces::of(&row(), window, way, after);
        let older = (Order::Timestamp, Direction::Older);
        let newer = (Order::Timestamp, Direction::Newer);
        let (day, own) = ((3 * DAY_MS, 4 * DAY_MS), (100 * DAY_MS, 102 * DAY_MS));
        assert_eq!(read(pieces(Window::ALL, older, None)), [own, day]);
        assert_eq!(read(pieces(Window::ALL, newer, None)), [day, own]);
        let window = Window {
            from_ms: 5 * DAY_MS,
            to_ms: 101 * DAY_MS + SLACK_MS / 2,
        };
        let cut = [(100 * DAY_MS, 101 * DAY_MS + SLACK_MS / 2)];
        assert_eq!(read(pieces(window, older, None)), cut);

        let within = Position::last_of(3 * DAY_MS + 5);
        let behind = pieces(Window::ALL, older, Some(within));
        assert_eq!(behind.passed(), Some(within));
        assert_eq!(read(behind), [day]);
        let between = Some(Position::first_of(50 * DAY_MS));
        let forth = pieces(Window::ALL, newer, between);
        assert_eq!(forth.passed(), Some(Position::last_of(own.0 - 1)));
        assert_eq!(read(forth), [own]);
        let back = pieces(Window::ALL, older, between);
        assert_eq!(back.passed(), Some(Position::first_of(day.1)));
        assert_eq!(read(back), [day]);
        let before = Some(Position::first_of(1));
        assert_eq!(read(pieces(Window::ALL, older, before)), []);
    }

    #[test]
    fn by_id_a_span_is_read_in_its_own_time_if_it_holds_any_of_the_window() {
        let by_id = (Order::Id, Direction::Older);
        let day = |day: i64| Window {
            from_ms: day * DAY_MS,
            to_ms: (day + 1) * DAY_MS,
        };
        let own = [(100 * DAY_MS, 101 * DAY_MS)];
        assert_eq!(read(Pieces::of(&row(), day(3), by_id, None)), own);
        assert_eq!(read(Pieces::of(&row(), day(4), by_id, None)), []);
        let undated = Row {
            span: Span::Undated,
            ..row()
        };
        let all = [(i64::MIN, i64::MAX)];
        assert_eq!(read(Pieces::of(&undated, Window::ALL, by_id, None)), all);
    }
}
