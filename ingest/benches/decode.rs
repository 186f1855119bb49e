//! From the bytes of a body to documents: by format, size, shape and compression. Throughput is
//! events.
#![expect(clippy::expect_used, reason = "a failed set-up is a failed benchmark")]

use std::hint::black_box;
use std::io::Write as _;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evp_ingest::body::decompress::{self, inflate};
use evp_ingest::body::{BodyLimits, DecodeContext, Decoder, Format};
use evp_shared::event::EventRules;
use evp_shared::event::id::{Identity, IdentityConfig};

const NOW_MS: u64 = 1_763_733_600_123;
const SIZES: [usize; 4] = [1, 10, 100, 500];
const DEFAULT_BYTES: usize = 266;

/// An event of `bytes` bytes; the default one has 266.
fn event(index: usize, client_id: bool, bytes: usize) -> String {
    let (kind, user, page) = (index % 10, index * 7_919 % 10_000, index * 31 % 10_000);
    let id = if client_id {
        format!("\"eventId\":\"019aa6a7-64fb-7{user:03x}-8{page:03x}-{index:012x}\",")
    } else {
        format!("\"priority\":{kind},")
    };
    let mut json = format!(
        "{{{id}\"eventType\":\"page.view.{kind:03}\",\"userId\":\"user-{user:06}\",\
         \"sessionId\":\"{user:012x}\",\"timestamp\":{NOW_MS},\
         \"metadata\":{{\"page\":\"/search/{page:04}\",\"device\":\"phone\",\"country\":\"DE\",\
         \"durationMs\":{},\"isNew\":true,\"label\":\"",
        1_000 + page % 9_000,
    );
    let end = "\"}}";
    if bytes > 1_000 {
        json.push_str("label\"},\"payload\":{\"text\":\"");
    }
    let filler = "basket order result filter ".chars().cycle();
    json.extend(filler.take(bytes.saturating_sub(json.len() + end.len())));
    json.push_str(end);
    json
}

fn events(count: usize, client_id: bool, bytes: usize) -> Vec<String> {
    (0..count)
        .map(|index| event(index, client_id, bytes))
        .collect()
}

fn array(events: &[String]) -> Vec<u8> {
    format!("[{}]", events.join(",")).into_bytes()
}

/// Decodes as a worker does: with the buffers of the last request.
fn decode(c: &mut Criterion, group: &str, name: BenchmarkId, (body, format): (&[u8], Format)) {
    let identity = Identity::new(IdentityConfig::default());
    let ctx = DecodeContext {
        tenant: "default",
        now_ms: NOW_MS,
        identity: &identity,
        limits: BodyLimits::default(),
        rules: EventRules::default(),
        idempotency_key: None,
    };
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(body, format, &ctx).expect("a good body");
    assert!(
        decoded.rejected.is_empty(),
        "{:?}",
        decoded.rejected.first()
    );
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(decoded.ids.len() as u64));
    group.bench_function(name, |b| {
        b.iter(|| decoder.decode(black_box(body), format, &ctx));
    });
    group.finish();
}

fn formats(c: &mut Criterion) {
    let object = event(1, false, DEFAULT_BYTES);
    let name = BenchmarkId::new("object", 1);
    decode(c, "decode", name, (object.as_bytes(), Format::Json));
    for size in SIZES {
        let events = events(size, false, DEFAULT_BYTES);
        let name = BenchmarkId::new("array", size);
        decode(c, "decode", name, (&array(&events), Format::Json));
        let lines = events.join("\n");
        let name = BenchmarkId::new("ndjson", size);
        decode(c, "decode", name, (lines.as_bytes(), Format::Ndjson));
    }
}

fn shapes(c: &mut Criterion) {
    for (name, client_id, bytes) in [
        ("266 bytes with eventId", true, DEFAULT_BYTES),
        ("1 KiB", false, 1_024),
        ("10 KiB", false, 10_240),
    ] {
        let body = array(&events(100, client_id, bytes));
        let name = BenchmarkId::new(name, 100);
        decode(c, "decode array", name, (&body, Format::Json));
    }
}

fn compressed(c: &mut Criterion) {
    let body = array(&events(100, false, DEFAULT_BYTES));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&body).expect("gzip");
    let gzip = gzip.finish().expect("gzip");
    let zstd = zstd::bulk::compress(&body, 3).expect("zstd");
    let mut group = c.benchmark_group("inflate");
    group.throughput(Throughput::Elements(100));
    for (name, wire, encoding) in [
        ("gzip", gzip, decompress::Encoding::Gzip),
        ("zstd", zstd, decompress::Encoding::Zstd),
    ] {
        group.bench_function(BenchmarkId::new(name, 100), |b| {
            b.iter(|| inflate(black_box(&wire), encoding, 16 << 20));
        });
    }
    group.finish();
}

criterion_group!(benches, formats, shapes, compressed);
criterion_main!(benches);
