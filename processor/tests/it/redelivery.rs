//! What a processor that died left behind is finished by another one, once.

use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use evp_shared::frame::Frame;
use evp_shared::redis::reader_pool;
use evp_shared::service::Left;
use evp_shared::store::RECEIPTS;
use evp_shared::stream::GroupReader;
use evp_shared::testing::wait_for;
use fred::interfaces::KeysInterface as _;

use crate::fail_points::{fail, stop_failing, world_that_fails};
use crate::harness::World;

/// Reads everything as `consumer`, as a processor does that then dies.
async fn read_and_die(world: &World, consumer: &str) -> usize {
    let pool = reader_pool(world.redis.how(), 1).unwrap();
    let client = pool.get().await.unwrap();
    let group = GroupReader::new(&client, &world.stream, consumer);
    group
        .read_new(1_000, Duration::from_millis(1))
        .await
        .unwrap()
        .len()
}

/// Inserts the documents of a frame, as a processor does that dies before the receipt.
async fn insert(world: &World, frame: &Frame, how_many: usize) {
    let row = world.make_span(0, &[]).await;
    let open = evp_shared::frame::RawFrame::from(frame).open().unwrap();
    let documents = open
        .iter()
        .take(how_many)
        .map(|bytes| Document::try_from(bson::RawDocument::from_bytes(bytes).unwrap()).unwrap());
    let database = world.mongo.database();
    database
        .collection::<Document>(&row.name())
        .insert_many(documents)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_processor_goes_on_with_its_own_pending_entries() {
    let world = World::new().await;
    world
        .append(&[
            world.frame(1, &[("a", "click")]),
            world.frame(2, &[("b", "click")]),
        ])
        .await;
    assert_eq!(read_and_die(&world, "p").await, 2);
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    running.stop().await;
}

#[tokio::test]
async fn entries_of_a_consumer_that_is_gone_are_claimed() {
    let world = World::new().await;
    world
        .append(&[
            world.frame(1, &[("a", "click")]),
            world.frame(2, &[("b", "click")]),
        ])
        .await;
    assert_eq!(read_and_die(&world, "gone").await, 2);
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    running.stop().await;
}

#[tokio::test]
async fn events_stored_before_the_crash_are_counted_as_new() {
    let world = World::new().await;
    let frame = world.frame(1, &[("a", "click"), ("b", "click"), ("c", "view")]);
    world.append(std::slice::from_ref(&frame)).await;
    assert_eq!(read_and_die(&world, "p").await, 1);
    insert(&world, &frame, 2).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2), ("view", 1)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_receipt_written_before_the_crash_decides_what_is_counted() {
    let world = World::new().await;
    let frame = world.frame(1, &[("a", "click"), ("b", "click")]);
    world.append(std::slice::from_ref(&frame)).await;
    assert_eq!(read_and_die(&world, "p").await, 1);
    insert(&world, &frame, 2).await;
    // The earlier delivery found one of the two to be a duplicate; the first writer wins.
    let seconds = u32::try_from(world.now_ms / 1_000).unwrap();
    let receipt = doc! {
        "_id": ObjectId::from_bytes(frame.id.bytes()), "p": 0,
        "at": bson::Timestamp { time: seconds, increment: 1 },
        "n": [["default", "click", 1_i64]], "d": 1_i64, "x": 0_i64,
    };
    let receipts = world.mongo.database().collection::<Document>(RECEIPTS);
    receipts.insert_one(receipt).await.unwrap();
    let running = world.start("p");
    world.settled().await;
    assert_eq!(world.counts().await["click"], 1);
    assert_eq!(world.receipted().await, 1);
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 1);
    running.stop().await;
}

#[tokio::test]
async fn an_entry_deleted_while_pending_is_acknowledged_and_blocks_nothing() {
    let world = World::new().await;
    world
        .append(&[
            world.frame(1, &[("a", "click")]),
            world.frame(2, &[("b", "click")]),
        ])
        .await;
    assert_eq!(read_and_die(&world, "p").await, 2);
    let events = world.redis.keys().partition(0).events;
    let oldest = world
        .stream
        .pending(0)
        .await
        .unwrap()
        .oldest
        .unwrap()
        .to_string();
    fred::interfaces::StreamsInterface::xdel::<i64, _, _>(world.redis.client(), events, oldest)
        .await
        .unwrap();
    let running = world.start("p");
    // The lost event stays in the backlog's totals until a tick finds that nothing is there.
    world.settled().await;
    world.assert_counts(&[("click", 1)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().lost_events, 1);
    running.stop().await;
}

/// Frame 1, made under another identity.
fn foreign_frame(world: &World) -> Frame {
    let mut draft = evp_shared::frame::FrameDraft::new();
    let batch = evp_shared::testing::events::batch(&[("a", "click")]);
    draft.push("default", &batch, 0..1);
    draft.seal(evp_shared::frame::FrameStamp {
        id: world.frame(1, &[("a", "click")]).id,
        received_at_ms: world.now_ms,
        codec: evp_shared::frame::Codec::None,
        fingerprint: 1,
        flags: 0,
    })
}

#[tokio::test]
async fn a_pending_frame_of_another_identity_does_not_keep_the_breaker_open() {
    let (_mongod, world) = world_that_fails().await;
    let running = world.start("p");
    world.append(&[world.frame(3, &[("c", "click")])]).await;
    world.settled().await;
    wait_for("ready", async || running.health.readiness().ready).await;
    let has = |name: &str| {
        let reasons = running.health.readiness().reasons;
        reasons.iter().any(|reason| reason.name == name)
    };
    world.append(&[foreign_frame(&world)]).await;
    wait_for("the frame is met", async || has("identity")).await;
    let never = doc! { "failCommands": ["insert"], "errorCode": 10_107 };
    fail(&world, "alwaysOn", never).await;
    world.append(&[world.frame(2, &[("b", "click")])]).await;
    wait_for("the breaker opens", async || has("mongo")).await;
    stop_failing(&world).await;
    wait_for("the breaker is closed", async || {
        !has("mongo") && world.counts().await["click"] == 2
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn frames_of_another_identity_stay_pending_and_turn_readiness_false_meanwhile() {
    let world = World::new().await;
    world
        .append(&[foreign_frame(&world), world.frame(2, &[("b", "click")])])
        .await;
    let running = world.start("p");
    wait_for("readiness names the identity", async || {
        running
            .health
            .readiness()
            .reasons
            .iter()
            .any(|reason| reason.name == "identity")
            && world.counts().await.get("click") == Some(&1)
    })
    .await;
    assert_eq!(world.stream.pending(0).await.unwrap().entries, 1);
    assert_eq!(running.stop().await, Left(1));

    // The operator takes it away: the entry is all that spoke against readiness.
    let running = world.start("p");
    let names_identity = || {
        let reasons = running.health.readiness().reasons;
        reasons.iter().any(|reason| reason.name == "identity")
    };
    wait_for("it is met again", async || names_identity()).await;
    let events = world.redis.keys().partition(0).events;
    world.redis.client().del::<i64, _>(events).await.unwrap();
    wait_for("readiness is back", async || !names_identity()).await;
    running.stop().await;
}
