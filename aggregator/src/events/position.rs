//! Places in a list, and the part of it that lies between two of them. Pure.

use bson::{Bson, DateTime, Document, doc};
use serde::{Deserialize, Serialize};

/// What a list is ordered by, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By `timestamp`, events of the same time by `_id`.
    Timestamp = 0,
    /// By `_id`, which is time order but for undated ids and between salts.
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
}

/// The place of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its `timestamp`, Unix ms.
    #[serde(with = "postcard::fixint::be")]
    pub timestamp_ms: i64,
    /// Its `_id`.
    pub id: [u8; 16],
}

impl Position {
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

impl Order {
    /// The order as a sort document.
    pub fn sort(self, direction: Direction) -> Document {
        let sign = match direction {
            Direction::Older => -1,
            Direction::Newer => 1,
        };
        match self {
            Self::Timestamp => doc! { "timestamp": sign, "_id": sign },
            Self::Id => doc! { "_id": sign },
        }
    }

    /// The conditions of the events after `after` up to and with `until`, in list order: first all
    /// that fulfil the first one, then all that fulfil the second...
    ///
    /// One condition for all of it would need an `$or`, which a merge of 200 types cannot afford:
    /// each of these is one range of the index per type.
    pub fn between(
        self,
        direction: Direction,
        after: Option<Position>,
        until: Option<Position>,
    ) -> Vec<Document> {
        match self {
            Self::Timestamp => by_timestamp(direction, after, until),
            Self::Id => {
                let (beyond, _, up_to) = direction.operators();
                let bounds = [(beyond, after), (up_to, until)];
                let bounds = bounds.map(|(operator, place)| Some((operator, id(place?))));
                vec![range_of("_id", bounds)]
            }
        }
    }
}

fn by_timestamp(
    direction: Direction,
    after: Option<Position>,
    until: Option<Position>,
) -> Vec<Document> {
    let (beyond, before, up_to) = direction.operators();
    if let (Some(after), Some(until)) = (after, until)
        && after.timestamp_ms == until.timestamp_ms
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
    DateTime::from_millis(position.timestamp_ms)
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

    fn position((timestamp_ms, last): Key) -> Position {
        let mut id = [0; 16];
        id[15] = last;
        Position { timestamp_ms, id }
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
            let pieces = Order::Timestamp.between(direction, after.map(position), until.map(position));
            let found: Vec<Key> = pieces
                .iter()
                .flat_map(|piece| keys.iter().copied().filter(|key| holds(piece, *key)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_order_by_id_needs_one_range() {
        let (after, until) = (position((1, 9)), position((5, 3)));
        let pieces = Order::Id.between(Direction::Older, Some(after), Some(until));
        let kept: Vec<u8> = (0..12)
            .filter(|last| pieces.iter().all(|piece| holds(piece, (0, *last))))
            .collect();
        assert_eq!((pieces.len(), kept), (1, (3..9).collect()));
        assert_eq!(
            Order::Id.between(Direction::Older, None, None),
            [Document::new()]
        );
    }

    #[test]
    fn the_place_before_one_leads_to_it_again() {
        for direction in [Direction::Older, Direction::Newer] {
            let here = position((1, 9));
            let pieces = Order::Timestamp.between(direction, Some(here.before(direction)), None);
            assert!(pieces.iter().any(|piece| holds(piece, (1, 9))));
            let pieces = Order::Timestamp.between(direction, Some(here), None);
            assert!(!pieces.iter().any(|piece| holds(piece, (1, 9))));
        }
    }
}
