//! Where a part of a list by the time in `_id` lies in a span: a range of ids per salt. Pure.

use bson::{Bson, Document, doc};
use evp_shared::event::id::IdentityConfig;

use super::position::{Direction, Position, stored_id};

/// The condition of the events after `after` up to and with `until`, read in `direction`; `None` when
/// there is no id between them.
///
/// It is one scan of the `_id` index, in its order: of what has one time, and only of that, the order
/// of the list.
pub(super) fn between(
    identity: &IdentityConfig,
    direction: Direction,
    [after, until]: [Position; 2],
) -> Option<Document> {
    let (from, to) = match direction {
        Direction::Older => ((until, 0), (after, 0)),
        Direction::Newer => ((after, 1), (until, 1)),
    };
    let salts = 0..1_u16 << identity.salt_bits;
    let ranges = salts.filter_map(|salt| {
        let edge = |(place, beyond)| edge(identity, salt, place, beyond);
        let (from, to) = (edge(from), edge(to));
        (from < to).then(|| doc! { "_id": { "$gte": id(from), "$lt": id(to) } })
    });
    let ranges: Vec<_> = ranges.collect();
    (!ranges.is_empty()).then(|| doc! { "$or": ranges })
}

/// The first id of `salt` that is `beyond` steps from `place` or lies after it.
fn edge(identity: &IdentityConfig, salt: u16, place: Position, beyond: u128) -> u128 {
    let first = |ms: i64| {
        let ms = u64::try_from(ms).unwrap_or(0);
        u128::from_be_bytes(*identity.first_id(salt, ms).as_bytes())
    };
    let id = u128::from_be_bytes(place.id).saturating_add(beyond);
    let time_ms = place.time_ms;
    // What is of another salt lies outside of its range of that time, before it or behind it.
    id.clamp(first(time_ms), first(time_ms.saturating_add(1)))
}

fn id(number: u128) -> Bson {
    stored_id(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use evp_shared::event::id::{Identity, IdentityMode};
    use proptest::prelude::*;

    use super::*;

    fn holds(condition: Option<&Document>, id: [u8; 16]) -> bool {
        let ranges = condition.map(|condition| condition.get_array("$or").unwrap());
        ranges.into_iter().flatten().any(|range| {
            let range = range.as_document().unwrap().get_document("_id").unwrap();
            let bound = |name| match range.get(name) {
                Some(Bson::Binary(binary)) => <[u8; 16]>::try_from(&binary.bytes[..]).unwrap(),
                other => panic!("{other:?}"),
            };
            (bound("$gte")..bound("$lt")).contains(&id)
        })
    }

    proptest! {
        #[test]
        fn between_two_places_lies_what_comes_between_them_in_time(
            salt_bits in 0..5_u8,
            is_back in any::<bool>(),
            events in prop::collection::vec(0..4_i64, 3..40),
            edges in any::<[prop::sample::Index; 2]>(),
            whole in any::<bool>(),
        ) {
            let config = IdentityConfig { salt_bits, mode: IdentityMode::TenantIdTime };
            let identity = Identity::new(config);
            let mut places: Vec<Position> = (0_u32..)
                .zip(events)
                .map(|(n, ms)| {
                    let id = identity.of_client_id("t", &n.to_string(), Some(ms));
                    Position { time_ms: ms, id: *id.as_bytes() }
                })
                .collect();
            let direction = if is_back { Direction::Newer } else { Direction::Older };
            places.sort_unstable_by(|one, other| direction.compare(one, other));
            let mut edges = edges.map(|edge| *edge.get(&places));
            edges.sort_unstable_by(|one, other| direction.compare(one, other));
            if whole {
                edges = match direction {
                    Direction::Older => [Position::first_of(3), Position::first_of(1)],
                    Direction::Newer => [Position::last_of(-1), Position::last_of(2)],
                };
            }
            let condition = between(&config, direction, edges);
            for place in places {
                let is_after = direction.compare(&edges[0], &place).is_lt();
                let is_until = direction.compare(&place, &edges[1]).is_le();
                prop_assert_eq!(holds(condition.as_ref(), place.id), is_after && is_until, "{:?}", place);
            }
        }
    }
}
