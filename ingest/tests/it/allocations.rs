//! What a request takes from the allocator.

use evp_shared::testing::TestRedis;
use tokio::runtime::{Builder, Runtime};

use crate::support::TestIngest;

const FEW: usize = 100;
const MANY: usize = 1_000;
/// Of each size; the least is what the path itself takes, the rest are other tasks of the thread.
const TRIES: usize = 5;

/// Decoding, the batcher, the frame, the append and the answer are on this thread, with the client's
/// half and whatever else the service does meanwhile.
#[test]
fn no_event_of_a_request_takes_memory_of_its_own() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime.block_on(TestRedis::new());
    let ingest = runtime.block_on(TestIngest::ready(&redis, ""));
    let [few, many] = [FEW, MANY].map(|events| least(&runtime, &ingest, events));
    let more = many.saturating_sub(few);
    // Buffers grow by doubling, and a larger body comes in more pieces.
    assert!(
        few > 0 && more < (MANY - FEW) as u64 / 10,
        "{FEW} events take {few} allocations, {MANY} take {many}"
    );
    runtime.block_on(ingest.stop());
}

fn least(runtime: &Runtime, ingest: &TestIngest, events: usize) -> u64 {
    let taken = (0..TRIES).map(|_| {
        let request = ingest.request("").body(body(events));
        let posting = async { request.send().await.unwrap().text().await.unwrap() };
        let mut answer = String::new();
        let counted = allocation_counter::measure(|| answer = runtime.block_on(posting));
        assert!(
            answer.contains(&format!("\"accepted\":{events}")),
            "{answer}"
        );
        counted.count_total
    });
    taken.min().unwrap()
}

/// Each other event with an id of its own.
fn body(events: usize) -> String {
    let event = |n: usize| {
        let id = ["sessionId", "eventId"][n % 2];
        let (kind, user) = (n % 10, n % 77);
        format!(
            r#"{{"type":"a-{kind}","userId":"{user}","metadata":{{"n":[{n},null]}},"timestamp":"2026-01-01T00:00:00Z","{id}":"{n}"}}"#
        )
    };
    let events: Vec<_> = (0..events).map(event).collect();
    format!("[{}]", events.join(","))
}
