use std::borrow::Cow;

use evp_shared::document;
use evp_shared::event::EventRules;
use evp_shared::event::id::{Identity, IdentityConfig, IdentityMode, MadeId};
use evp_shared::event::timestamp::AHEAD_MAX_MS;
use evp_shared::outcome::RejectReason;

use crate::decode::{BodyLimits, DecodeContext, Decoder, Format};

const NOW_MS: u64 = 1_700_000_000_000;

/// As [`decode_above`], where everything is kept.
fn decode(events: &[String]) -> Vec<Option<Refusal>> {
    decode_above(None, IdentityMode::TenantIdTime, events)
}

/// Why an event is refused, and the field that is named.
type Refusal = (RejectReason, Option<&'static str>);

/// What becomes of events, in order: `None` where one is stored.
fn decode_above(
    floor_ms: Option<u64>,
    mode: IdentityMode,
    events: &[String],
) -> Vec<Option<Refusal>> {
    let config = IdentityConfig {
        mode,
        ..IdentityConfig::default()
    };
    let ctx = DecodeContext {
        tenant: "default",
        now_ms: NOW_MS,
        identity: &Identity::new(config),
        limits: BodyLimits::default(),
        rules: EventRules::default(),
        idempotency_key: None,
        floor_ms,
        types: &[],
    };
    let body = format!("[{}]", events.join(","));
    let request = Decoder::default().decode(body.as_bytes(), Format::Json, &ctx);
    let request = request.unwrap();
    let stored = (0..request.batch.events.len()).map(|at| request.batch.document(at));
    assert!(
        stored
            .flatten()
            .all(|one| document::canonical_id(one).is_some())
    );
    let mut became = vec![None; events.len()];
    for event in request.rejected {
        let field = event.rejection.field.map(|field| match field {
            Cow::Borrowed(field) => field,
            Cow::Owned(field) => panic!("{field} was allocated"),
        });
        became[event.index] = Some((event.rejection.code, field));
    }
    let stored = became.iter().filter(|reason| reason.is_none()).count();
    assert_eq!(request.batch.events.len(), stored);
    became
}

fn event(id: &str) -> String {
    format!(r#"{{"type":"a","eventId":"{id}"}}"#)
}

/// Ids that hold `ms`: UUIDs of version 7, 6 and 1, and a ULID.
fn ids_of(ms: u64) -> [String; 4] {
    const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    // Since 1582-10-15, in steps of 100 ns.
    let ticks = ms * 10_000 + 0x01B2_1DD2_1381_4000;
    let (top, middle) = (ticks >> 28, (ticks >> 12) & 0xFFFF);
    let six = format!(
        "{top:08x}-{middle:04x}-6{:03x}-8000-000000000000",
        ticks & 0xFFF
    );
    let (low, middle) = (ticks & 0xFFFF_FFFF, (ticks >> 32) & 0xFFFF);
    let one = format!(
        "{low:08x}-{middle:04x}-1{:03x}-8000-000000000000",
        ticks >> 48
    );
    let symbol =
        |at: u32| char::from(SYMBOLS[usize::try_from((ms >> (45 - 5 * at)) & 31).unwrap()]);
    let ulid: String = (0..10).map(symbol).chain(['0'; 16]).collect();
    let seven = MadeId::new(ms, &[1; 10]).encode(&mut [0; 36]).to_owned();
    [seven, six, one, ulid]
}

#[test]
fn an_id_of_the_future_is_rejected_and_its_neighbours_are_stored() {
    let ahead = ids_of(NOW_MS + AHEAD_MAX_MS);
    let beyond = ids_of(NOW_MS + AHEAD_MAX_MS + 1);
    let future = Some((RejectReason::InvalidEventId, Some("eventId")));
    for (ahead, beyond) in ahead.iter().zip(&beyond) {
        let dated = format!(r#"{{"type":"a","eventId":"{beyond}","timestamp":{NOW_MS}}}"#);
        let events = [event(ahead), event(beyond), event("b"), dated, event("c")];
        let expected = [None, future, None, future, None];
        assert_eq!(decode(&events), expected, "{beyond}");
    }
    // What is no time to an id is none that lies ahead.
    let [.., ulid] = ids_of(4_102_444_800_000);
    assert_eq!(decode(&[event(&ulid)]), [None]);
}

/// An event with the id `x` and a timestamp.
fn at(ms: u64) -> String {
    format!(r#"{{"type":"a","eventId":"x","timestamp":{ms}}}"#)
}

const FLOOR_MS: u64 = NOW_MS - 1_000_000;
const TOO_OLD_ID: Option<Refusal> = Some((RejectReason::TooOld, Some("eventId")));
const TOO_OLD: Option<Refusal> = Some((RejectReason::TooOld, Some("timestamp")));
const UNDATED: Option<Refusal> = Some((RejectReason::Undated, Some("timestamp")));

#[test]
fn what_lies_below_the_floor_is_rejected_and_its_neighbours_are_stored() {
    let above =
        |events: &[String]| decode_above(Some(FLOOR_MS), IdentityMode::TenantIdTime, events);
    let below = ids_of(FLOOR_MS - 1).map(|id| event(&id));
    assert_eq!(above(&below), [TOO_OLD_ID; 4]);
    assert_eq!(above(&ids_of(FLOOR_MS).map(|id| event(&id))), [None; 4]);

    let [seven, ..] = ids_of(FLOOR_MS - 1);
    // The time in the id counts, whatever the timestamp says.
    let late = format!(r#"{{"type":"a","eventId":"{seven}","timestamp":{NOW_MS}}}"#);
    let [seven, ..] = ids_of(FLOOR_MS);
    let old = format!(r#"{{"type":"a","eventId":"{seven}","timestamp":0}}"#);
    // One without an id gets its time from this clock.
    let made = r#"{"type":"a","timestamp":0}"#.to_owned();
    let events = [
        at(FLOOR_MS),
        at(FLOOR_MS - 1),
        at(0),
        event("y"),
        late,
        old,
        made,
    ];
    let expected = [None, TOO_OLD, TOO_OLD, UNDATED, TOO_OLD_ID, None, None];
    assert_eq!(above(&events), expected);
    assert_eq!(decode(&events), [None; 7], "without a floor all are kept");
}

#[test]
fn an_id_that_is_made_below_the_floor_is_rejected_too() {
    // This clock is behind by more than all that is kept.
    let events = [r#"{"type":"a"}"#.to_owned()];
    let became = decode_above(Some(NOW_MS + 1), IdentityMode::TenantIdTime, &events);
    assert_eq!(became, [Some((RejectReason::TooOld, None))]);
}

#[test]
fn where_timestamps_date_no_id_only_an_id_with_a_time_is_above_the_floor() {
    let [seven, ..] = ids_of(NOW_MS);
    let events = [
        at(NOW_MS),
        event(&seven),
        event("y"),
        r#"{"type":"a"}"#.to_owned(),
    ];
    let id_alone = Some((RejectReason::Undated, Some("eventId")));
    let became = decode_above(Some(FLOOR_MS), IdentityMode::TenantId, &events);
    assert_eq!(became, [id_alone, None, UNDATED, None]);
    let became = decode_above(None, IdentityMode::TenantId, &events);
    assert_eq!(became, [None; 4], "without a floor undated ones are kept");
}
