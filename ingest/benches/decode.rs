//! From the bytes of a body to documents: by format, size, shape and compression. Throughput is
//! events.
#![expect(clippy::expect_used, reason = "a failed set-up is a failed benchmark")]

use std::hint::black_box;
use std::io::Write as _;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evp_ingest::decode::decompress::{self, inflate};
use evp_ingest::decode::{BodyLimits, DecodeContext, Decoder, Format};
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
        floor_ms: None,
        types: &[],
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

/// What a body with a fault costs, beside one that is taken; both by the byte.
fn refused(c: &mut Criterion) {
    let identity = Identity::new(IdentityConfig::default());
    let ctx = DecodeContext {
        tenant: "default",
        now_ms: NOW_MS,
        identity: &identity,
        limits: BodyLimits::default(),
        rules: EventRules::default(),
        idempotency_key: None,
        floor_ms: None,
        types: &[],
    };
    let mut decoder = Decoder::default();
    let mut group = c.benchmark_group("refused");
    group.sample_size(10);
    for (name, body, format) in taken_bodies().into_iter().chain(refused_bodies()) {
        let decoded = decoder.decode(&body, format, &ctx);
        let is_taken = decoded.is_ok_and(|request| request.rejected.is_empty());
        assert_eq!(is_taken, name.starts_with("taken"), "{name}");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| decoder.decode(black_box(&body), format, &ctx));
        });
    }
    group.finish();
}

type Body = (&'static str, Vec<u8>, Format);

const LISTED: usize = 4_000;

fn zeros(count: usize, last: &str) -> String {
    format!(
        "{{\"type\":\"a\",\"payload\":{{\"a\":[{}0],\"z\":{last}}}}}",
        "0,".repeat(count)
    )
}

fn levels(count: usize) -> String {
    format!(
        "{{\"type\":\"a\",\"payload\":{}{{}}{}}}",
        "{\"k\":".repeat(count),
        "}".repeat(count)
    )
}

fn taken_bodies() -> Vec<Body> {
    let good = events(LISTED, false, DEFAULT_BYTES);
    let text = format!(
        "{{\"type\":\"a\",\"payload\":{{\"s\":\"{}\"}}}}",
        "x".repeat(200_000)
    );
    vec![
        ("taken: a list", array(&good), Format::Json),
        ("taken: lines", good.join("\n").into_bytes(), Format::Ndjson),
        (
            "taken: zeros",
            array(&vec![zeros(20_000, "0"); 60]),
            Format::Json,
        ),
        (
            "taken: 60 levels",
            array(&vec![levels(60); 4_000]),
            Format::Json,
        ),
        ("taken: long strings", array(&vec![text; 20]), Format::Json),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table: one row per fault")]
fn refused_bodies() -> Vec<Body> {
    let good = events(LISTED, false, DEFAULT_BYTES);
    let each = |change: &dyn Fn(&String) -> String| good.iter().map(change).collect::<Vec<_>>();
    let huge = each(&|event| event.replace("true", "1e400"));
    let unknown = each(&|event| event.replace("userId", "userXd"));
    let cut = each(&|event| event.replace("}}", ""));
    let twice = each(&|event| format!("{event} {event}"));
    let mut last = good.clone();
    last[LISTED - 1] = huge[LISTED - 1].clone();
    let envelope = format!("{{\"events\":[{}]}}", last.join(","));
    let mut broken = array(&good);
    broken.pop();
    let mut bytes = array(&good);
    let at = bytes.len() - 8;
    bytes[at] = 0xFF;
    let keys: Vec<_> = (0..60_000).map(|n| format!("\"{n}\":0")).collect();
    let keys = format!(
        "{{\"type\":\"a\",\"payload\":{{{},\"7\":1}}}}",
        keys.join(",")
    );
    let members: Vec<_> = (0..60_000).map(|n| format!("\"{n}\":0")).collect();
    let members = format!("{{{},\"z\":1e400}}", members.join(","));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let bombs = vec![format!("{{\"payload\":{{\"k\":{deep}}}}}"); 2_000];
    let deeper = levels(1_100);
    let surrogate = format!(
        "{{\"type\":\"a\",\"userId\":\"{}\\ud800\"}}",
        "x".repeat(1 << 20)
    );
    let digits = format!("{{\"type\":\"a\",\"priority\":{}}}", "9".repeat(1 << 20));
    let fraction = format!("{{\"type\":\"a\",\"priority\":0.{}}}", "3".repeat(1 << 20));
    vec![
        (
            "zeros, then a huge number",
            zeros(2_700_000, "1e400").into_bytes(),
            Format::Json,
        ),
        (
            "zeros, too large",
            zeros(500_000, "0").into_bytes(),
            Format::Json,
        ),
        (
            "a list, a huge number in the last",
            array(&last),
            Format::Json,
        ),
        ("an envelope, the same", envelope.into_bytes(), Format::Json),
        ("a list, a huge number in each", array(&huge), Format::Json),
        (
            "a list, an unknown field in each",
            array(&unknown),
            Format::Json,
        ),
        ("a list, not closed", broken, Format::Json),
        ("a list, not UTF-8 at its end", bytes, Format::Json),
        (
            "lines, a huge number in each",
            huge.join("\n").into_bytes(),
            Format::Ndjson,
        ),
        (
            "lines, sniffed, the same",
            huge.join("\n").into_bytes(),
            Format::Sniff,
        ),
        (
            "lines, each cut",
            cut.join("\n").into_bytes(),
            Format::Ndjson,
        ),
        (
            "lines, two events in each",
            twice.join("\n").into_bytes(),
            Format::Ndjson,
        ),
        ("one of 60,000 keys twice", keys.into_bytes(), Format::Json),
        (
            "60,000 fields, then a huge number",
            members.into_bytes(),
            Format::Json,
        ),
        ("a list, 200 levels in each", array(&bombs), Format::Json),
        (
            "a list, 1,100 levels in each",
            array(&vec![deeper; 200]),
            Format::Json,
        ),
        (
            "a long string, then half a character",
            surrogate.into_bytes(),
            Format::Json,
        ),
        ("a million digits", digits.into_bytes(), Format::Json),
        ("a million decimals", fraction.into_bytes(), Format::Json),
        (
            "numbers instead of events",
            array(&vec!["7".to_owned(); 10_000]),
            Format::Json,
        ),
        (
            "too many events",
            array(&vec!["7".to_owned(); 500_000]),
            Format::Json,
        ),
    ]
}

criterion_group!(benches, formats, shapes, compressed, refused);
criterion_main!(benches);
