//! Places in a list, and the part of it that lies between two of them. Pure.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc};

/// What a list is ordered by, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By `timestamp`, events of the same time by `_id`.
    Timestamp,
    /// By `_id`, which is time order but for undated ids and between salts.
    Id,
}

/// The place of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its `timestamp`, Unix ms.
    pub timestamp_ms: i64,
    /// Its `_id`.
    pub id: [u8; 16],
}

impl Order {
    /// The order as a sort document.
    pub fn sort(self) -> Document {
        match self {
            Self::Timestamp => doc! { "timestamp": -1, "_id": -1 },
            Self::Id => doc! { "_id": -1 },
        }
    }

    /// The conditions of the events after `after` up to and with `until`, in list order: first all
    /// that fulfil the first one, then all that fulfil the second...
    ///
    /// One condition for all of it would need an `$or`, which a merge of 200 types cannot afford:
    /// each of these is one range of the index per type.
    pub fn between(self, after: Option<Position>, until: Option<Position>) -> Vec<Document> {
        match self {
            Self::Timestamp => by_timestamp(after, until),
            Self::Id => {
                let mut range = Document::new();
                if let Some(after) = after {
                    range.insert("$lt", id(after));
                }
                if let Some(until) = until {
                    range.insert("$gte", id(until));
                }
                vec![if range.is_empty() {
                    range
                } else {
                    doc! { "_id": range }
                }]
            }
        }
    }
}

fn by_timestamp(after: Option<Position>, until: Option<Position>) -> Vec<Document> {
    if let (Some(after), Some(until)) = (after, until)
        && after.timestamp_ms == until.timestamp_ms
    {
        let range = doc! { "$lt": id(after), "$gte": id(until) };
        return vec![doc! { "timestamp": time(after), "_id": range }];
    }
    let mut pieces = Vec::with_capacity(3);
    let mut between = Document::new();
    if let Some(after) = after {
        pieces.push(doc! { "timestamp": time(after), "_id": { "$lt": id(after) } });
        between.insert("$lt", time(after));
    }
    if let Some(until) = until {
        between.insert("$gt", time(until));
    }
    pieces.push(if between.is_empty() {
        between
    } else {
        doc! { "timestamp": between }
    });
    if let Some(until) = until {
        pieces.push(doc! { "timestamp": time(until), "_id": { "$gte": id(until) } });
    }
    pieces
}

fn time(position: Position) -> DateTime {
    DateTime::from_millis(position.timestamp_ms)
}

fn id(position: Position) -> Bson {
    stored_id(position.id)
}

/// A canonical id as it is stored.
pub fn stored_id(id: [u8; 16]) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Uuid,
        bytes: id.to_vec(),
    })
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
            after in proptest::option::of((0..4_i64, 0..4_u8)),
            until in proptest::option::of((0..4_i64, 0..4_u8)),
        ) {
            // A place to stop at lies after the place to begin at: newest first, that is below.
            prop_assume!(match (after, until) {
                (Some(after), Some(until)) => until < after,
                _ => true,
            });
            let mut keys: Vec<Key> = (0..4).flat_map(|t| (0..4).map(move |i| (t, i))).collect();
            keys.sort_unstable_by(|one, other| other.cmp(one));
            let expected: Vec<Key> = keys
                .iter()
                .copied()
                .filter(|key| after.is_none_or(|after| *key < after))
                .filter(|key| until.is_none_or(|until| *key >= until))
                .collect();
            let pieces = Order::Timestamp.between(after.map(position), until.map(position));
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
        let pieces = Order::Id.between(Some(after), Some(until));
        let kept: Vec<u8> = (0..12)
            .filter(|last| pieces.iter().all(|piece| holds(piece, (0, *last))))
            .collect();
        assert_eq!((pieces.len(), kept), (1, (3..9).collect()));
        assert_eq!(Order::Id.between(None, None), [Document::new()]);
    }
}
