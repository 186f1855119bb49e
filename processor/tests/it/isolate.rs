//! A frame that fails alone: a MongoDB that stumbles makes no dead letter, a document that goes on
//! to fail is one.

use std::time::Duration;

use bson::{Document, doc};
use evp_processor::config::ProcessorConfig;

use crate::fail_points::{fail_events, world_that_fails};
use crate::harness::{Running, SPAN, World};

/// Starts a processor that waits longer than the driver takes to find a server again: else every
/// probe would miss the deadline, and none would speak for MongoDB.
fn start(world: &World) -> Running {
    World::start_as(ProcessorConfig {
        claim_idle: Duration::from_secs(12),
        insert_deadline: Duration::from_secs(10),
        ..world.config("p")
    })
}

/// Stores a frame of one event whose first `times` inserts meet what `how` says.
async fn assert_stored_after(times: i32, how: Document) {
    let (_mongod, world) = world_that_fails().await;
    let running = start(&world);
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    world.settled().await;
    fail_events(&world, doc! { "times": times }, how).await;
    world.append(&[world.frame(2, &[("b", "click")])]).await;
    world.settled().await;
    let letters = world.dead_letters().await;
    assert!(letters.is_empty(), "{letters:?}");
    world.assert_counts(&[("click", 2)]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_step_down_makes_no_dead_letter_of_a_frame_of_one_event() {
    assert_stored_after(1, doc! { "errorCode": 10_107 }).await;
}

#[tokio::test]
async fn no_shard_that_is_down_makes_dead_letters_however_long_it_is() {
    // Once more often than a document is tried.
    assert_stored_after(4, doc! { "errorCode": 133 }).await;
}

#[tokio::test]
async fn a_failure_that_passes_makes_no_dead_letter() {
    assert_stored_after(2, doc! { "errorCode": 8 }).await;
}

#[tokio::test]
async fn a_lost_connection_makes_no_dead_letter() {
    assert_stored_after(1, doc! { "closeConnection": true }).await;
}

#[tokio::test]
async fn a_full_disk_makes_no_dead_letter_however_long_it_is() {
    // More often than a document is tried.
    assert_stored_after(6, doc! { "errorCode": 8 }).await;
    assert_stored_after(6, doc! { "errorCode": 14_031 }).await;
}

#[tokio::test]
async fn while_events_of_no_kind_are_taken_none_is_a_dead_letter() {
    // 16755 is what an index says of a document; of all of them it says more of the server.
    assert_stored_after(6, doc! { "errorCode": 16_755 }).await;
}

#[tokio::test]
async fn a_frame_that_fails_once_is_sent_again_whole() {
    let (_mongod, world) = world_that_fails().await;
    let running = start(&world);
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    world.settled().await;
    let before = inserts(&world).await;
    fail_events(&world, doc! { "times": 1 }, doc! { "errorCode": 16_755 }).await;
    let list = [
        ("b", "click"),
        ("c", "click"),
        ("d", "click"),
        ("e", "click"),
    ];
    world.append(&[world.frame(2, &list)]).await;
    world.settled().await;
    // The second one and the receipt: neither probes nor halves.
    assert_eq!(inserts(&world).await - before, 2);
    world.assert_counts(&[("click", 5)]).await;
    running.stop().await;
}

/// Insert commands of this mongod so far, without those that a fail point answered.
pub(crate) async fn inserts(world: &World) -> i64 {
    let admin = world.mongo.database().client().database("admin");
    let status = admin.run_command(doc! { "serverStatus": 1 }).await.unwrap();
    let commands = status.get_document("metrics").unwrap();
    let insert = commands.get_document("commands").unwrap();
    let insert = insert.get_document("insert").unwrap();
    insert.get_i64("total").unwrap()
}

#[tokio::test]
async fn a_document_that_goes_on_to_fail_is_a_dead_letter_and_its_probes_are_gone() {
    let world = World::new().await;
    let events = world.mongo.database().collection::<Document>(SPAN);
    let running = world.start("p");
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    world.settled().await;
    // An index that cannot hold it: a code that is not known to be a document's fault.
    let database = world.mongo.database();
    let index = doc! { "key": { "eventId": "2dsphere" }, "name": "sphere",
    "partialFilterExpression": { "eventId": "b" } };
    let order = doc! { "createIndexes": SPAN, "indexes": [index] };
    database.run_command(order).await.unwrap();
    // As a crash of another processor leaves it.
    events
        .insert_one(doc! { "_id": "probe:0123456789abcdef", "noise": "" })
        .await
        .unwrap();
    let list = [("b", "click"), ("c", "click"), ("d", "click")];
    world.append(&[world.frame(2, &list)]).await;
    world.settled().await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].get_str("reason").unwrap(), "refused_by_store");
    assert_eq!(events.count_documents(doc! {}).await.unwrap(), 3);
    world.append(&[world.frame(3, &[("e", "click")])]).await;
    world.settled().await;
    world.assert_counts(&[("click", 4)]).await;
    running.stop().await;
}
