//! The append and the commit script on a real Redis that fsyncs every write, one call at a time:
//! latency is what is measured, not what pipelining hides. Throughput is events.
//!
//! `EVP_TEST_REDIS_URL` names a Redis to use; else one is started.
#![expect(clippy::expect_used, reason = "a failed set-up is a failed benchmark")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evp_shared::clock::Clock;
use evp_shared::counters::CountRow;
use evp_shared::frame::{Frame, FrameId, ProducerId};
use evp_shared::stream::{Commit, EntryAck, EntryId, KeptWindow, Life, Settle, Stream};
use evp_shared::testing::{TestRedis, events};
use tokio::runtime::Runtime;

const KEPT: KeptWindow = KeptWindow {
    age: Duration::from_secs(30),
    bytes: 8 << 20,
    none: false,
};
/// Frames of one commit: a bulk of 2,000 events in frames of 100.
const COMMITTED: usize = 20;

fn frame(number: u32, events: usize) -> Frame {
    let names: Vec<(String, String)> = (0..events)
        .map(|index| {
            (
                format!("event-{number}-{index}"),
                format!("type.{}", index % 10),
            )
        })
        .collect();
    let list: Vec<(&str, &str)> = names
        .iter()
        .map(|(id, kind)| (id.as_str(), kind.as_str()))
        .collect();
    events::frame(
        ProducerId::new(0, 1),
        number,
        Clock::system().now_ms(),
        &list,
    )
}

async fn setup() -> (TestRedis, Stream, Life) {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let life = stream
        .hello(0, Life::UNKNOWN, None)
        .await
        .expect("hello")
        .life;
    (redis, stream, life)
}

/// Drops what was appended, so that the stream does not grow for as long as is measured.
async fn clear(redis: &TestRedis) {
    use fred::interfaces::StreamsInterface as _;
    let key = redis.keys().partition(0).events;
    let _dropped: u64 = redis
        .client()
        .xtrim(key, ("MAXLEN", "=", 0))
        .await
        .expect("xtrim");
}

fn append(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (redis, stream, life) = runtime.block_on(setup());
    let mut group = c.benchmark_group("append script");
    for events in [1, 100, 500] {
        let frames = [frame(1, events)];
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::from_parameter(events), |b| {
            b.to_async(&runtime)
                .iter(|| stream.append(0, life, &frames));
        });
        runtime.block_on(clear(&redis));
    }
    group.finish();
    runtime.block_on(async move { drop(redis) });
}

fn settles(first: u32) -> Vec<Settle> {
    let now_ms = Clock::system().now_ms();
    let second = u32::try_from(now_ms / 1_000).expect("a time");
    let counts: Vec<CountRow> = (0..10)
        .map(|index| CountRow {
            tenant: events::TENANT.into(),
            event_type: format!("type.{index}").into(),
            count: 10,
        })
        .collect();
    let settle = |number| Settle {
        frame: FrameId::new(second, ProducerId::new(0, 1), number),
        receipt_at_ms: now_ms,
        counts: counts.clone(),
        duplicates: 0,
        dead_letters: 0,
        expired: 0,
    };
    (first..).take(COMMITTED).map(settle).collect()
}

/// Appends and reads what a commit then acknowledges.
async fn deliver(redis: &TestRedis, stream: &Stream, life: Life, frame: &Frame) -> Vec<EntryAck> {
    use fred::interfaces::StreamsInterface as _;
    let frames = vec![frame.clone(); COMMITTED];
    let ids: Vec<EntryId> = stream.append(0, life, &frames).await.expect("append");
    let key = redis.keys().partition(0).events;
    let _read: fred::prelude::Value = redis
        .client()
        .xreadgroup(
            evp_shared::keys::GROUP,
            "bench",
            None,
            None,
            false,
            key,
            ">",
        )
        .await
        .expect("xreadgroup");
    let ack = |id| EntryAck {
        id,
        events: frame.events,
        bytes: frame.bytes,
        stored_bytes: frame.bytes,
    };
    ids.into_iter().map(ack).collect()
}

fn commit(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (redis, stream, life) = runtime.block_on(setup());
    let frame = frame(1, 100);
    let mut group = c.benchmark_group("commit script");
    group.throughput(Throughput::Elements(COMMITTED as u64 * 100));
    group.bench_function("20 frames of 100, 10 types", |b| {
        b.to_async(&runtime).iter_custom(async |iterations| {
            let (clock, mut took) = (Clock::system(), Duration::ZERO);
            for _ in 0..iterations {
                let entries = deliver(&redis, &stream, life, &frame).await;
                let number = u32::try_from(clock.now_ms() & 0x00ff_ffff).expect("24 bits");
                let settles = settles(number);
                let commit = Commit {
                    life,
                    entries: &entries,
                    settles: &settles,
                    kept: KEPT,
                };
                let began = clock.now();
                let done = stream.commit(0, &commit).await.expect("commit");
                took += clock.now() - began;
                assert_eq!(done.acknowledged, COMMITTED as u64);
            }
            took
        });
    });
    group.finish();
    runtime.block_on(async move { drop(redis) });
}

criterion_group!(benches, append, commit);
criterion_main!(benches);
