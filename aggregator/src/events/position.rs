//! Places in a list, and the part of it that lies between two of them. Pure.

use std::cmp::Ordering;

use bson::{Bson, DateTime, Document, doc};
use serde::{Deserialize, Serialize};

/// What a list is ordered by, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By `timestamp`, events of the same time by `_id`.
    Timestamp = 0,
    /// By the time in `_id`, events of the same time by `_id`; undated ones by their `timestamp`.
    Id = 1,
}

/// Which way a list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From new to old, as lists are answered.
    Older = 0,
    /// Back, from old to new.
    Newer = 1,
}

impl Direction {
    /// The operators for what lies beyond a place, before a place, and before or at it.
    const fn operators(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Older => ("$lt", "$gt", "$gte"),
            Self::Newer => ("$gt", "$lt", "$lte"),
        }
    }

    /// Which of two comes first this way.
    pub fn compare<T: Ord>(self, one: &T, other: &T) -> Ordering {
        match self {
            Self::Older => other.cmp(one),
            Self::Newer => one.cmp(other),
        }
    }

    /// This way along an index, as a sort document has it.
    pub const fn sign(self) -> i32 {
        match self {
            Self::Older => -1,
            Self::Newer => 1,
        }
    }

    /// The sort document for what fulfils `piece`, one of the conditions of [`Self::between`]. Where
    /// all of it has one time, it does not name that: mongod merges no types by a constant.
    pub fn sort(self, piece: &Document) -> Document {
        let sign = self.sign();
        match piece.get("timestamp") {
            Some(Bson::DateTime(_)) => doc! { "_id": sign },
            _ => doc! { "timestamp": sign, "_id": sign },
        }
    }

    /// The conditions, by `timestamp` and `_id`, of the events after `after` up to and with `until`:
    /// first all that fulfil the first one, then all that fulfil the second...
    ///
    /// One condition for all of it would need an `$or`, which a merge of 200 types cannot afford:
    /// each of these is one range of the index per type.
    pub fn between(self, after: Option<Position>, until: Option<Position>) -> Vec<Document> {
        let (beyond, before, up_to) = self.operators();
        if let (Some(after), Some(until)) = (after, until)
            && after.time_ms == until.time_ms
        {
            let range = doc! { beyond: id(after), up_to: id(until) };
            return vec![doc! { "timestamp": time(after), "_id": range }];
        }
        let edge = |operator: &str, place: Position| doc! { "timestamp": time(place), "_id": { operator: id(place) } };
        let bounds = [(beyond, after), (before, until)];
        let bounds = bounds.map(|(operator, place)| Some((operator, time(place?).into())));
        let pieces = [
            after.map(|after| edge(beyond, after)),
            Some(range_of("timestamp", bounds)),
            until.map(|until| edge(up_to, until)),
        ];
        pieces.into_iter().flatten().collect()
    }
}

/// The place of one event: what is older is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Its time as the list is ordered, Unix ms.
    #[serde(with = "postcard::fixint::be")]
    pub time_ms: i64,
    /// Its `_id`.
    pub id: [u8; 16],
}

impl Position {
    /// The first place of a time.
    pub const fn first_of(time_ms: i64) -> Self {
        let id = [0; 16];
        Self { time_ms, id }
    }

    /// The last place of a time.
    pub const fn last_of(time_ms: i64) -> Self {
        let id = [0xFF; 16];
        Self { time_ms, id }
    }

    /// The place beside it against `direction`: reading on from there finds this one again.
    pub fn before(self, direction: Direction) -> Self {
        let number = u128::from_be_bytes(self.id);
        let number = match direction {
            Direction::Older => number.saturating_add(1),
            Direction::Newer => number.saturating_sub(1),
        };
        Self {
            id: number.to_be_bytes(),
            ..self
        }
    }
}

/// A condition on `field` of those of the bounds that there are; empty without any.
pub(super) fn range_of(field: &str, bounds: [Option<(&str, Bson)>; 2]) -> Document {
    let bounds = bounds.into_iter().flatten();
    let range: Document = bounds
        .map(|(operator, bound)| (operator.to_owned(), bound))
        .collect();
    if range.is_empty() {
        range
    } else {
        doc! { field: range }
    }
}

fn time(position: Position) -> DateTime {
    DateTime::from_millis(position.time_ms)
}

fn id(position: Position) -> Bson {
    stored_id(position.id)
}

/// A canonical id as it is stored.
pub fn stored_id(id: [u8; 16]) -> Bson {
    bson::Uuid::from_bytes(id).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Key = (i64, u8);

    fn position((time_ms, last): Key) -> Position {
        let mut id = [0; 16];
        id[15] = last;
        Position { time_ms, id }
    }

    fn holds(condition: &Document, key: Key) -> bool {
        let here = position(key);
        condition.iter().all(|(field, condition)| {
            let value = match field.as_str() {
                "timestamp" => time(here).into(),
                _ => id(here),
            };
            match condition {
                Bson::Document(range) => range.iter().all(|(operator, bound)| {
                    let order = compare(&value, bound);
                    match operator.as_str() {
                        "$lt" => order.is_lt(),
                        "$gt" => order.is_gt(),
                        "$lte" => order.is_le(),
                        _ => order.is_ge(),
                    }
                }),
                equal => &value == equal,
            }
        })
    }

    fn compare(one: &Bson, other: &Bson) -> std::cmp::Ordering {
        match (one, other) {
            (Bson::DateTime(one), Bson::DateTime(other)) => one.cmp(other),
            (Bson::Binary(one), Bson::Binary(other)) => one.bytes.cmp(&other.bytes),
            other => panic!("compares {other:?}"),
        }
    }

    proptest! {
        #[test]
        fn the_pieces_cover_each_place_between_once_and_in_order(
            is_back in any::<bool>(),
            after in proptest::option::of((0..4_i64, 0..4_u8)),
            until in proptest::option::of((0..4_i64, 0..4_u8)),
        ) {
            let direction = if is_back { Direction::Newer } else { Direction::Older };
            // Of two places the one that is read first, where older is what comes later.
            let is_beyond = |one: Key, other: Key| if is_back { one > other } else { one < other };
            prop_assume!(match (after, until) {
                (Some(after), Some(until)) => is_beyond(until, after),
                _ => true,
            });
            let mut keys: Vec<Key> = (0..4).flat_map(|t| (0..4).map(move |i| (t, i))).collect();
            keys.sort_unstable();
            if !is_back {
                keys.reverse();
            }
            let expected: Vec<Key> = keys
                .iter()
                .copied()
                .filter(|key| after.is_none_or(|after| is_beyond(*key, after)))
                .filter(|key| until.is_none_or(|until| !is_beyond(*key, until)))
                .collect();
            let pieces = direction.between(after.map(position), until.map(position));
            let found: Vec<Key> = pieces
                .iter()
                .flat_map(|piece| keys.iter().copied().filter(|key| holds(piece, *key)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_place_before_one_leads_to_it_again() {
        for direction in [Direction::Older, Direction::Newer] {
            let here = position((1, 9));
            let pieces = direction.between(Some(here.before(direction)), None);
            assert!(pieces.iter().any(|piece| holds(piece, (1, 9))));
            let pieces = direction.between(Some(here), None);
            assert!(!pieces.iter().any(|piece| holds(piece, (1, 9))));
        }
    }
}
