//! The oldest uncommitted entry, against a real Redis.

use std::time::Duration;

use evp_shared::document::{EventBatch, EventMark};
use evp_shared::frame::{Codec, Frame, FrameDraft, FrameId, FrameStamp, ProducerId};
use evp_shared::redis::{Reader, reader_pool};
use evp_shared::stream::{
    Commit, Entry, EntryAck, GroupReader, KeptWindow, Life, Stream, Uncommitted,
};
use evp_shared::testing::TestRedis;
use fred::interfaces::{KeysInterface, StreamsInterface};

/// Frame `number`, received at `number` seconds after a fixed time.
fn frame(number: u32) -> Frame {
    let batch = EventBatch {
        documents: vec![0; 80],
        events: vec![EventMark {
            end: 80,
            type_index: 0,
            undated: false,
        }],
        types: vec!["click".into()],
    };
    let mut draft = FrameDraft::new();
    draft.push("default", &batch, 0..1);
    draft.seal(FrameStamp {
        id: FrameId::new(1_700_000_000 + number, ProducerId::new(0, 7), number),
        received_at_ms: received_at_ms(number),
        codec: Codec::None,
        fingerprint: 0,
        flags: 0,
    })
}

fn received_at_ms(number: u32) -> u64 {
    1_700_000_000_500 + u64::from(number) * 1_000
}

async fn reader(redis: &TestRedis) -> Reader {
    reader_pool(redis.how(), 1).unwrap().get().await.unwrap()
}

async fn read(redis: &TestRedis, stream: &Stream, count: u64) -> Vec<Entry> {
    let client = reader(redis).await;
    GroupReader::new(&client, stream, "a")
        .read_new(count, Duration::from_millis(1))
        .await
        .unwrap()
}

async fn commit(stream: &Stream, life: Life, entry: &Entry) {
    let (events, bytes) = entry.frame.as_ref().unwrap().claimed();
    let entries = [EntryAck {
        id: entry.id,
        events,
        bytes,
        stored_bytes: entry.stored_bytes(),
    }];
    let kept = KeptWindow {
        age: Duration::from_secs(3_600),
        bytes: 1 << 30,
        none: false,
    };
    let commit = Commit {
        life,
        entries: &entries,
        settles: &[],
        kept,
    };
    let committed = stream.commit(0, &commit).await.unwrap();
    assert_eq!(committed.acknowledged, 1);
}

async fn received_at(stream: &Stream) -> Option<u64> {
    let oldest = stream.oldest_uncommitted(0).await.unwrap();
    oldest.map(|oldest| oldest.received_at_ms)
}

#[tokio::test]
async fn the_oldest_uncommitted_entry_moves_on_with_each_commit() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    assert_eq!(received_at(&stream).await, None, "there is no stream");
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    assert_eq!(received_at(&stream).await, None, "the stream is empty");

    let frames = [frame(1), frame(2), frame(3)];
    stream.append(0, life, &frames).await.unwrap();
    assert_eq!(received_at(&stream).await, Some(received_at_ms(1)));

    // Two are pending, the third was not delivered; committed entries stay on the stream.
    let entries = read(&redis, &stream, 2).await;
    assert_eq!(received_at(&stream).await, Some(received_at_ms(1)));
    commit(&stream, life, &entries[0]).await;
    assert_eq!(received_at(&stream).await, Some(received_at_ms(2)));
    commit(&stream, life, &entries[1]).await;
    assert_eq!(received_at(&stream).await, Some(received_at_ms(3)));
    let last = read(&redis, &stream, 2).await;
    commit(&stream, life, &last[0]).await;
    assert_eq!(received_at(&stream).await, None);
}

#[tokio::test]
async fn an_entry_that_does_not_tell_when_it_was_received_counts_from_its_id() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    let poison = Frame {
        meta: bytes::Bytes::from_static(b"header"),
        ..frame(1)
    };
    stream.append(0, life, &[poison]).await.unwrap();
    let entries = read(&redis, &stream, 1).await;
    let id = entries[0].id;
    let expected = Some(Uncommitted {
        id,
        received_at_ms: id.ms,
    });
    assert_eq!(stream.oldest_uncommitted(0).await.unwrap(), expected);

    // Deleted by hand while pending: there is nothing left to read it from.
    let key = redis.keys().partition(0).events;
    let deleted: u64 = redis.client().xdel(key, id.to_string()).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(stream.oldest_uncommitted(0).await.unwrap(), expected);
}

#[tokio::test]
async fn without_its_group_the_whole_stream_is_uncommitted() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    stream.append(0, life, &[frame(1), frame(2)]).await.unwrap();
    let entries = read(&redis, &stream, 2).await;
    commit(&stream, life, &entries[0]).await;
    let key = redis.keys().partition(0).events;
    redis
        .client()
        .xgroup_destroy::<i64, _, _>(&key, evp_shared::keys::GROUP)
        .await
        .unwrap();
    assert_eq!(received_at(&stream).await, Some(received_at_ms(1)));
    redis.client().del::<i64, _>(&key).await.unwrap();
    assert_eq!(received_at(&stream).await, None);
}
