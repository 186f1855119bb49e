//! Membership of the consumer group, against a real Redis.

use std::time::Duration;

use bytes::Bytes;
use evp_shared::frame::{Frame, FrameId, ProducerId};
use evp_shared::keys::GROUP;
use evp_shared::redis::{Reader, reader_pool};
use evp_shared::stream::{ClaimStep, EntryId, GroupReader, Life, Stream};
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::StreamsInterface;

const IDLE: Duration = Duration::from_millis(60);

struct Group {
    redis: TestRedis,
    stream: Stream,
    connection: Reader,
}

impl Group {
    /// A stream of `entries` entries.
    async fn of(entries: u32) -> Self {
        let redis = TestRedis::new().await;
        let stream = redis.stream(1);
        let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
        let frame = |number| Frame {
            id: FrameId::new(1_700_000_000, ProducerId::new(0, 7), number),
            events: 1,
            bytes: 1,
            meta: Bytes::from_static(b"header"),
            payload: Bytes::from_static(b"payload"),
        };
        let frames: Vec<Frame> = (0..entries).map(frame).collect();
        stream.append(0, life, &frames).await.unwrap();
        let pool = reader_pool(redis.how(), 1).unwrap();
        let connection = pool.get().await.unwrap();
        Self {
            redis,
            stream,
            connection,
        }
    }

    async fn read(&self, consumer: &str) -> Vec<EntryId> {
        let group = GroupReader::new(&self.connection, &self.stream, consumer);
        let read = group.read_new(100, Duration::from_millis(1)).await.unwrap();
        read.into_iter().map(|entry| entry.id).collect()
    }

    /// Waits until `count` entries are pending under `consumer` for longer than [`IDLE`].
    async fn grown_idle(&self, consumer: &str, count: usize) {
        wait_for("entries have grown idle", async || {
            self.idle(consumer).await.len() == count
        })
        .await;
    }

    async fn idle(&self, consumer: &str) -> Vec<EntryId> {
        let of = (consumer, IDLE);
        let pending = self.stream.pending_longer(0, of, EntryId::ZERO, 100).await;
        pending.unwrap()
    }

    async fn claim(&self, consumer: &str) -> Vec<EntryId> {
        let step = ClaimStep {
            consumer,
            idle: IDLE,
            cursor: EntryId::ZERO,
            count: 100,
        };
        let claimed = self.stream.claim(0, step).await.unwrap();
        claimed.entries.into_iter().map(|entry| entry.id).collect()
    }

    async fn consumers(&self) -> usize {
        let key = self.redis.keys().partition(0).events;
        let found: Vec<std::collections::HashMap<String, fred::prelude::Value>> = self
            .redis
            .client()
            .xinfo_consumers(key, GROUP)
            .await
            .unwrap();
        found.len()
    }
}

#[tokio::test]
async fn what_is_refreshed_is_young_and_the_rest_can_be_claimed() {
    let group = Group::of(3).await;
    let ids = group.read("a").await;
    group.grown_idle("a", 3).await;
    let long = Duration::from_secs(3_600);
    let refreshed = group.stream.refresh(0, ("a", long), &ids).await.unwrap();
    assert_eq!(refreshed, 0, "none is that old");
    let refreshed = group.stream.refresh(0, ("a", IDLE), &ids[..1]).await;
    assert_eq!(refreshed.unwrap(), 1);
    // On a machine that stands still for a moment, all of them are old again.
    let claimed = group.claim("b").await;
    assert!(claimed.ends_with(&ids[1..]), "{claimed:?}");
}

#[tokio::test]
async fn an_entry_that_another_has_claimed_is_not_taken_back() {
    let group = Group::of(1).await;
    let ids = group.read("a").await;
    group.grown_idle("a", 1).await;
    assert_eq!(group.claim("b").await, ids);
    let long = Duration::from_secs(3_600);
    let taken = group.stream.refresh(0, ("a", long), &ids).await.unwrap();
    assert_eq!(taken, 0);
    group.grown_idle("b", 1).await;
}

#[tokio::test]
async fn a_consumer_that_is_gone_leaves_the_group_when_nothing_is_pending() {
    let group = Group::of(1).await;
    assert_eq!(group.read("busy").await.len(), 1);
    let key = group.redis.keys().partition(0).events;
    for name in ["own", "gone"] {
        let made: u64 = group
            .redis
            .client()
            .xgroup_createconsumer(&key, GROUP, name)
            .await
            .unwrap();
        assert_eq!(made, 1);
    }
    let young = group.stream.sweep(0, "own", Duration::from_secs(3_600));
    assert!(young.await.unwrap().is_empty());
    let gone = group.stream.sweep(0, "own", Duration::ZERO).await.unwrap();
    assert_eq!(gone, ["gone"]);
    assert_eq!(group.consumers().await, 2);
    assert_eq!(group.stream.pending(0).await.unwrap().entries, 1);
}
