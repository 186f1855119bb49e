//! What is done to events without a server: JSON to BSON, joining requests to frames, sealing and
//! opening them. Throughput is events.
#![expect(clippy::expect_used, reason = "a failed set-up is a failed benchmark")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evp_shared::counters::field;
use evp_shared::document::{DocumentWriter, EventBatch, EventMark};
use evp_shared::event::id::{Identity, IdentityConfig, MadeId};
use evp_shared::event::{Event, EventRules};
use evp_shared::frame::{Codec, FrameDraft, FrameId, FrameStamp, ProducerId, RawFrame};

const TENANT: &str = "default";
const NOW_MS: u64 = 1_763_733_600_123;
const FRAME_EVENTS: [usize; 2] = [100, 500];

/// A default event, 266 bytes.
fn event(index: usize) -> String {
    let (kind, user, page) = (index % 10, index * 7_919 % 10_000, index * 31 % 10_000);
    let mut json = format!(
        "{{\"eventType\":\"page.view.{kind:03}\",\"userId\":\"user-{user:06}\",\
         \"sessionId\":\"{:012x}\",\"timestamp\":{NOW_MS},\"priority\":{kind},\
         \"metadata\":{{\"page\":\"/search/{page:04}\",\"device\":\"phone\",\"country\":\"DE\",\
         \"durationMs\":{},\"isNew\":true,\"label\":\"",
        user * 2_654_435_761_usize % 0xffff_ffff_ffff,
        1_000 + page % 9_000,
    );
    let filler = "basket order result filter ".chars().cycle();
    json.extend(filler.take(263 - json.len()));
    json.push_str("\"}}");
    json
}

fn batch(events: usize) -> EventBatch {
    let identity = Identity::new(IdentityConfig::default());
    let (mut writer, mut batch) = (DocumentWriter::default(), EventBatch::default());
    for index in 0..events {
        let mut json = event(index).into_bytes();
        let tape = simd_json::to_tape(&mut json).expect("JSON");
        let event = parse(&tape.0);
        let id = identity.of_made_id(TENANT, &MadeId::new(NOW_MS, &[7; 10]));
        writer
            .write(
                &mut batch.documents,
                (id, TENANT),
                (&event, &[]),
                &EventRules::default(),
            )
            .expect("an event");
        let known = batch
            .types
            .iter()
            .position(|known| **known == *event.event_type);
        let type_index = known.unwrap_or_else(|| {
            batch.types.push(event.event_type.into());
            batch.types.len() - 1
        });
        batch.events.push(EventMark {
            end: u32::try_from(batch.documents.len()).expect("a small batch"),
            type_index: u16::try_from(type_index).expect("few types"),
            undated: false,
        });
    }
    batch
}

fn parse<'t>(nodes: &'t [simd_json::Node<'t>]) -> Event<'t> {
    let now_ms = i64::try_from(NOW_MS).expect("a time");
    Event::parse(nodes, &EventRules::default(), now_ms, &mut Vec::new()).expect("an event")
}

fn draft(batch: &EventBatch) -> FrameDraft {
    let mut draft = FrameDraft::new();
    draft.push(TENANT, batch, 0..batch.events.len());
    draft
}

fn stamp(codec: Codec) -> FrameStamp {
    FrameStamp {
        id: FrameId::new(1_763_733_600, ProducerId::new(0, 1), 1),
        received_at_ms: NOW_MS,
        codec,
        fingerprint: 0,
        flags: 0,
    }
}

/// One event that is parsed already: validation, canonical id, BSON.
fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let mut json = event(1).into_bytes();
    let tape = simd_json::to_tape(&mut json).expect("JSON");
    let (mut writer, mut out) = (DocumentWriter::default(), Vec::with_capacity(1_024));
    let identity = Identity::new(IdentityConfig::default());
    let made = MadeId::new(NOW_MS, &[7; 10]);
    let id = identity.of_made_id(TENANT, &made);
    group.bench_function("validate", |b| b.iter(|| parse(black_box(&tape.0))));
    group.bench_function("canonical id", |b| {
        b.iter(|| identity.of_made_id(TENANT, black_box(&made)));
    });
    let event = parse(&tape.0);
    group.bench_function("bson", |b| {
        b.iter(|| {
            out.clear();
            let rules = EventRules::default();
            writer.write(&mut out, (id, TENANT), (black_box(&event), &[]), &rules)
        });
    });
    group.finish();
}

/// What the batcher does to each request: 100 requests of one event, and one of 100.
fn join(c: &mut Criterion) {
    let mut group = c.benchmark_group("join to a frame");
    group.throughput(Throughput::Elements(100));
    for (name, requests, events) in [("100 requests of 1", 100, 1), ("1 request of 100", 1, 100)] {
        let batches: Vec<EventBatch> = (0..requests).map(|_| batch(events)).collect();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut draft = FrameDraft::new();
                for batch in &batches {
                    draft.push(TENANT, black_box(batch), 0..events);
                }
                draft
            });
        });
    }
    group.finish();
}

/// A batch of `types` types with an event each; their documents do not matter here.
fn typed(types: usize) -> EventBatch {
    let event = |index: usize| EventMark {
        end: u32::try_from(index + 1).expect("a small batch"),
        type_index: u16::try_from(index).expect("few types"),
        undated: false,
    };
    EventBatch {
        documents: vec![0; types],
        types: (0..types)
            .map(|kind| format!("page.view.{kind:03}").into())
            .collect(),
        events: (0..types).map(event).collect(),
    }
}

/// Counting by tenant and type: requests of a few types of one tenant each, of one tenant and of
/// many.
fn count(c: &mut Criterion) {
    let mut group = c.benchmark_group("count");
    for (tenants, types) in [(1, 1), (1, 10), (1, 20), (20, 20), (100, 20)] {
        let batch = typed(types);
        let names: Vec<String> = (0..tenants)
            .map(|number| format!("tenant-{number}"))
            .collect();
        group.throughput(Throughput::Elements((100 * types) as u64));
        group.bench_function(format!("{tenants} tenants of {types} types"), |b| {
            b.iter(|| {
                let mut draft = FrameDraft::new();
                for request in 0..100 {
                    draft.push(&names[request % tenants], black_box(&batch), 0..types);
                }
                draft
            });
        });
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    for events in FRAME_EVENTS {
        let batch = batch(events);
        let mut seal = c.benchmark_group("seal");
        seal.throughput(Throughput::Elements(events as u64));
        for codec in Codec::ALL {
            seal.bench_function(BenchmarkId::new(codec.as_str(), events), |b| {
                b.iter_batched(
                    || draft(&batch),
                    |draft| draft.seal(stamp(codec)),
                    BatchSize::SmallInput,
                );
            });
        }
        seal.finish();
        let mut open = c.benchmark_group("open");
        open.throughput(Throughput::Elements(events as u64));
        for codec in Codec::ALL {
            let raw = RawFrame::from(&draft(&batch).seal(stamp(codec)));
            open.bench_function(BenchmarkId::new(codec.as_str(), events), |b| {
                b.iter(|| black_box(&raw).open());
            });
        }
        open.finish();
    }
}

/// The counts a frame brings along, read from its header, and the names of their counters.
fn counter_deltas(c: &mut Criterion) {
    let mut group = c.benchmark_group("counter deltas");
    group.throughput(Throughput::Elements(100));
    let raw = RawFrame::from(&draft(&batch(100)).seal(stamp(Codec::Lz4)));
    group.bench_function("header of 10 types", |b| {
        b.iter(|| black_box(&raw).header())
    });
    let counts = raw.header().expect("a frame").counts;
    group.bench_function("fields of 10 types", |b| {
        b.iter(|| {
            black_box(&counts)
                .iter()
                .map(|row| field(&row.tenant, &row.event_type))
                .collect::<Vec<_>>()
        });
    });
    group.finish();
}

criterion_group!(benches, encode, join, count, frames, counter_deltas);
criterion_main!(benches);
