use evp_shared::document;
use evp_shared::event::EventRules;
use evp_shared::event::id::{Identity, IdentityConfig, MadeId};
use evp_shared::event::timestamp::AHEAD_MAX_MS;
use evp_shared::outcome::RejectReason;

use crate::decode::{BodyLimits, DecodeContext, Decoder, Format};

const NOW_MS: u64 = 1_700_000_000_000;

/// What becomes of events, in order: `None` where one is stored, else why not, and the field.
fn decode(events: &[String]) -> Vec<Option<(RejectReason, Option<String>)>> {
    let ctx = DecodeContext {
        tenant: "default",
        now_ms: NOW_MS,
        identity: &Identity::new(IdentityConfig::default()),
        limits: BodyLimits::default(),
        rules: EventRules::default(),
        idempotency_key: None,
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
    for event in &request.rejected {
        let field = event.rejection.field.as_deref().map(str::to_owned);
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
    let future = Some((RejectReason::InvalidEventId, Some("eventId".to_owned())));
    for (ahead, beyond) in ahead.iter().zip(&beyond) {
        let dated = format!(r#"{{"type":"a","eventId":"{beyond}","timestamp":{NOW_MS}}}"#);
        let events = [event(ahead), event(beyond), event("b"), dated, event("c")];
        let expected = [None, future.clone(), None, future.clone(), None];
        assert_eq!(decode(&events), expected, "{beyond}");
    }
    // What is no time to an id is none that lies ahead.
    let [.., ulid] = ids_of(4_102_444_800_000);
    assert_eq!(decode(&[event(&ulid)]), [None]);
}
