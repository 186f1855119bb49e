//! What is done to a bulk between Redis and MongoDB: opening frames, and deciding what became of
//! their events. Throughput is events.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evp_processor::bulk::classify::{classify, is_clean, to_look_up};
use evp_processor::bulk::open::open_all;
use evp_processor::entry::Delivery;
use evp_processor::written::{EventFacts, Id, StoredFacts, Written};
use evp_shared::event::id::IdentityConfig;
use evp_shared::frame::{ProducerId, RawFrame};
use evp_shared::stream::{Entry, EntryId, Life};
use evp_shared::testing::events;

const FRAME: [u8; 12] = [1; 12];
const EVENTS: usize = 1_000;

fn facts() -> Vec<EventFacts> {
    (0..EVENTS)
        .map(|index| EventFacts {
            id: id(index),
            tenant: "default".to_owned(),
            event_id: Some(format!("event-{index}")),
            event_type: format!("page.view.{:03}", index % 10),
        })
        .collect()
}

fn id(index: usize) -> Id {
    (index as u128).to_be_bytes()
}

/// Every `one_in`-th event was there already, stored by another frame.
fn with_duplicates(
    facts: &[EventFacts],
    one_in: usize,
) -> (Vec<Written>, HashMap<Id, StoredFacts>) {
    let mut stored = HashMap::new();
    let mut written = vec![Written::Inserted; facts.len()];
    for (index, fact) in facts
        .iter()
        .enumerate()
        .filter(|(index, _)| index % one_in == 0)
    {
        written[index] = Written::DuplicateKey;
        stored.insert(
            fact.id,
            StoredFacts {
                frame: [2; 12],
                event: fact.clone(),
            },
        );
    }
    (written, stored)
}

fn classification(c: &mut Criterion) {
    let facts = facts();
    let clean = vec![Written::Inserted; EVENTS];
    let mut group = c.benchmark_group("classify");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("nothing to decide", |b| {
        b.iter(|| is_clean(black_box(&clean)))
    });
    for (name, one_in) in [("5 % duplicates", 20), ("all duplicates", 1)] {
        let (written, stored) = with_duplicates(&facts, one_in);
        group.bench_function(BenchmarkId::new("look up", name), |b| {
            b.iter(|| to_look_up(&facts, black_box(&written)));
        });
        group.bench_function(BenchmarkId::new("decide", name), |b| {
            b.iter(|| classify(&FRAME, &facts, black_box(&written), &stored));
        });
    }
    group.finish();
}

fn deliveries(frames: u32, size: usize) -> Vec<Delivery> {
    let names: Vec<String> = (0..size).map(|index| format!("event-{index}")).collect();
    let list: Vec<(&str, &str)> = names.iter().map(|id| (id.as_str(), "page.view")).collect();
    (0..frames)
        .map(|number| {
            let frame = events::frame(ProducerId::new(0, 1), number, 1_763_733_600_123, &list);
            Delivery {
                entry: Entry {
                    partition: 0,
                    id: EntryId {
                        ms: 1,
                        seq: u64::from(number),
                    },
                    frame: Some(RawFrame::from(&frame)),
                },
                life: Life(1),
                redelivered: false,
            }
        })
        .collect()
}

fn opening(c: &mut Criterion) {
    let fingerprint = IdentityConfig::default().fingerprint();
    let mut group = c.benchmark_group("open a bulk");
    for (frames, size) in [(20, 100), (4, 500)] {
        group.throughput(Throughput::Elements(u64::from(frames) * size as u64));
        group.bench_function(BenchmarkId::new(format!("{frames} frames"), size), |b| {
            b.iter_batched(
                || deliveries(frames, size),
                |deliveries| open_all(deliveries, fingerprint),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, classification, opening);
criterion_main!(benches);
