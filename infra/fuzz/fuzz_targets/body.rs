//! A body of POST /events: whatever it holds is answered, and accepted events are documents.
#![no_main]

use std::sync::LazyLock;

use evp_ingest::decode::decompress::{Encoding, inflate};
use evp_ingest::decode::{BodyLimits, DecodeContext, Decoder, Format};
use evp_shared::event::EventRules;
use evp_shared::event::id::{Identity, IdentityConfig};
use libfuzzer_sys::fuzz_target;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::new(IdentityConfig::default()));

const BYTES_MAX: usize = 1024 * 1024;

// The first byte chooses the format, the encoding and whether there is a floor, the rest is the
// body.
fuzz_target!(|data: &[u8]| {
    let Some((choice, wire)) = data.split_first() else {
        return;
    };
    let format = match choice % 3 {
        0 => Format::Json,
        1 => Format::Ndjson,
        _ => Format::Sniff,
    };
    let inflated = match choice / 3 % 8 {
        0 => inflate(wire, Encoding::Gzip, BYTES_MAX),
        1 => inflate(wire, Encoding::Zstd, BYTES_MAX),
        _ => Ok(wire.to_vec()),
    };
    let Ok(body) = inflated else { return };
    assert!(body.len() <= BYTES_MAX.max(wire.len()));
    let ctx = DecodeContext {
        tenant: "default",
        now_ms: 1_700_000_000_000,
        identity: &IDENTITY,
        limits: BodyLimits {
            decoded_bytes_max: BYTES_MAX,
            events_max: 1_000,
        },
        rules: EventRules::default(),
        idempotency_key: None,
        floor_ms: (choice / 24 % 2 == 1).then_some(1_600_000_000_000),
        types: &[],
    };
    let Ok(request) = Decoder::default().decode(&body, format, &ctx) else {
        return;
    };
    let events = request.ids.len();
    assert_eq!(request.batch.events.len() + request.rejected.len(), events);
    for at in 0..request.batch.events.len() {
        let document = request
            .batch
            .document(at)
            .expect("accepted events are documents");
        assert!(evp_shared::document::canonical_id(document).is_some());
    }
});
