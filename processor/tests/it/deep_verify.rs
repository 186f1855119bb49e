//! A day after a new life, one processor compares receipts with the events themselves.

use bson::{DateTime, Document, doc};
use evp_shared::frame::{Frame, RawFrame};
use evp_shared::store::{EVENTS, META, prepare};
use evp_shared::testing::wait_for;

use crate::harness::World;

const MINUTES_A_DAY: u64 = 24 * 60;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Stores the documents of a frame, as a processor did that died before the receipt, and whose
/// entry Redis forgot.
async fn store_alone(world: &World, frame: &Frame) {
    let database = world.mongo.database();
    prepare(&database, &[], world.config("x").fingerprint())
        .await
        .unwrap();
    let open = RawFrame::from(frame).open().unwrap();
    let documents = open
        .iter()
        .map(|bytes| Document::try_from(bson::RawDocument::from_bytes(bytes).unwrap()).unwrap());
    let events = database.collection::<Document>(EVENTS);
    events.insert_many(documents).await.unwrap();
}

async fn due(world: &World) -> Option<DateTime> {
    let checks = world.all(META).await;
    let check = checks
        .iter()
        .find(|one| one.get_str("_id").is_ok_and(|id| id == "deep_verify"));
    check?.get_datetime("due").ok().copied()
}

#[tokio::test]
async fn events_without_a_receipt_are_counted_a_day_after_a_new_life() {
    let world = World::new().await;
    let frame = world.frame_of(2 * MINUTES_A_DAY, 1, &[("a", "click"), ("b", "view")]);
    store_alone(&world, &frame).await;
    // As if this life were a day old, and the check due.
    let life = i64::try_from(world.life.0).unwrap();
    let ready = doc! {
        "_id": "deep_verify", "lives": [life], "due": DateTime::from_millis(life - 1),
    };
    let meta = world.mongo.database().collection::<Document>(META);
    meta.insert_one(ready).await.unwrap();
    let (one, other) = (world.start("p"), world.start("q"));
    wait_for("the counts are in", async || {
        world.counts().await.values().sum::<i64>() == 2
    })
    .await;
    world.assert_counts(&[("click", 1), ("view", 1)]).await;
    // The life was too young for it: another check is due when it is a day old.
    wait_for("it is given back", async || {
        due(&world).await == Some(DateTime::from_millis(life + DAY_MS))
    })
    .await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_new_life_makes_a_check_due_a_day_later() {
    let world = World::new().await;
    let running = world.start("p");
    let life = i64::try_from(world.life.0).unwrap();
    wait_for("a check is due", async || {
        due(&world).await == Some(DateTime::from_millis(life + DAY_MS))
    })
    .await;
    running.stop().await;
}
