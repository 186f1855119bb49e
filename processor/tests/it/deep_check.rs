//! A day after a new life, what it lacks is found in the events themselves.

use std::sync::Arc;

use bson::{DateTime, Document, doc, oid::ObjectId};
use evp_processor::command::open_context;
use evp_processor::deep_check::DeepCheckLoop;
use evp_shared::frame::Frame;
use evp_shared::store::{EVENTS, META, RECEIPTS};
use fred::interfaces::HashesInterface as _;

use crate::harness::World;

/// A frame as old as this lies before [`LIFE`], and after its cut.
const FRAME: u64 = 26 * 60;
/// Minutes since a life began that is to be checked by now, and since the newest it did not lack.
const LIFE: u64 = 25 * 60 + 30;
const CUT: u64 = FRAME + 5;

/// A processor's deep check, and nothing else of it.
async fn deep_check(world: &World) -> DeepCheckLoop {
    let context = open_context(&world.config("p")).await.unwrap();
    context.lives.greet_all().await.unwrap();
    DeepCheckLoop {
        context: Arc::new(context),
    }
}

/// Records a life that began [`LIFE`] minutes ago.
async fn record_life(world: &World) {
    let ago = |minutes: u64| world.now_ms - minutes * 60_000;
    let (life, cut) = (format!("cut:{}", ago(LIFE)), format!("{}-0", ago(CUT)));
    let key = world.redis.keys().partition(0).life;
    let client = world.redis.client();
    client.hset::<i64, _, _>(key, (life, cut)).await.unwrap();
}

/// Has it that a processor is at it until then.
async fn taken_until(world: &World, until_ms: u64) {
    let until = DateTime::from_millis(i64::try_from(until_ms).unwrap());
    let meta = world.mongo.database().collection::<Document>(META);
    let taken = doc! { "$set": { "until": until } };
    let done = meta.update_one(doc! { "_id": "deep_check" }, taken).await;
    assert_eq!(done.unwrap().matched_count, 1);
}

fn id_of(frame: &Frame) -> ObjectId {
    ObjectId::from_bytes(frame.id.bytes())
}

async fn receipt(world: &World, frame: &Frame) -> Option<Document> {
    let receipts = world.mongo.database().collection::<Document>(RECEIPTS);
    receipts
        .find_one(doc! { "_id": id_of(frame) })
        .await
        .unwrap()
}

#[tokio::test]
async fn events_stored_without_a_receipt_are_counted_and_nothing_is_taken_away() {
    let world = World::new().await;
    let forgotten = world.frame_of(FRAME, 1, &[("a", "click"), ("b", "view")]);
    let erased = world.frame_of(FRAME, 2, &[("c", "click"), ("d", "click")]);
    let young = world.frame_of(10, 3, &[("e", "click")]);
    world.append(std::slice::from_ref(&erased)).await;
    let running = world.start("p");
    world.settled().await;
    running.stop().await;
    for frame in [&forgotten, &young] {
        world.insert(frame, usize::MAX).await;
    }
    let events = world.mongo.database().collection::<Document>(EVENTS);
    events.delete_one(doc! { "eventId": "d" }).await.unwrap();
    let before = receipt(&world, &erased).await.unwrap();

    assert_eq!(deep_check(&world).await.look(0).await.unwrap(), 0);
    assert_eq!(receipt(&world, &forgotten).await, None, "no life, no check");
    record_life(&world).await;
    let check = deep_check(&world).await;
    let done = check.look(0).await.unwrap();
    assert!(done > world.now_ms / 1_000 - LIFE * 60);
    assert_eq!(world.counts().await["click"], 3);
    assert_eq!(world.counts().await["view"], 1);
    assert_eq!(receipt(&world, &erased).await.unwrap(), before);
    assert_eq!(receipt(&world, &young).await, None);

    // It is done, for every processor.
    let receipts = world.mongo.database().collection::<Document>(RECEIPTS);
    let of = doc! { "_id": id_of(&forgotten) };
    receipts.delete_one(of).await.unwrap();
    assert_eq!(check.look(done).await.unwrap(), done);
    assert_eq!(deep_check(&world).await.look(0).await.unwrap(), done);
    assert_eq!(receipt(&world, &forgotten).await, None);
}

#[tokio::test]
async fn a_receipt_that_a_check_wrote_before_it_died_is_counted_by_the_next() {
    let world = World::new().await;
    let frame = world.frame_of(FRAME, 1, &[("a", "click"), ("b", "view")]);
    world.insert(&frame, usize::MAX).await;
    record_life(&world).await;
    let check = deep_check(&world).await;
    // As after a Redis that went away between the receipt and the commit.
    world.forget("life").await;
    assert!(check.look(0).await.is_err());
    assert!(receipt(&world, &frame).await.is_some());
    assert!(world.counts().await.is_empty());
    record_life(&world).await;
    assert_eq!(deep_check(&world).await.look(0).await.unwrap(), 0);
    assert!(world.counts().await.is_empty());
    taken_until(&world, world.now_ms - 1).await;
    for _ in 0..2 {
        assert!(deep_check(&world).await.look(0).await.unwrap() > 0);
        world.assert_counts(&[("click", 1), ("view", 1)]).await;
    }
}

#[tokio::test]
async fn nothing_is_checked_while_an_entry_as_old_is_pending_or_another_is_at_it() {
    let world = World::new().await;
    let frame = world.frame_of(FRAME, 1, &[("a", "click")]);
    world.insert(&frame, usize::MAX).await;
    world.append(std::slice::from_ref(&frame)).await;
    record_life(&world).await;
    assert_eq!(deep_check(&world).await.look(0).await.unwrap(), 0);
    assert_eq!(receipt(&world, &frame).await, None);

    let running = world.start("p");
    world.settled().await;
    running.stop().await;
    world.assert_counts(&[("click", 1)]).await;
    taken_until(&world, world.now_ms + 600_000).await;
    assert_eq!(deep_check(&world).await.look(0).await.unwrap(), 0);
    taken_until(&world, world.now_ms - 1).await;
    assert!(deep_check(&world).await.look(0).await.unwrap() > 0);
    world.assert_counts(&[("click", 1)]).await;
}
