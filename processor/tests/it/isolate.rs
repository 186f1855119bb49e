//! A frame that fails alone: a MongoDB that stumbles makes no dead letter, a document that goes on
//! to fail is one.

use std::time::Duration;

use bson::{Document, doc};
use evp_processor::config::ProcessorConfig;

use crate::fail_points::{fail_events, stop_failing, world_that_fails};
use crate::harness::{Running, World};

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
async fn a_document_that_kills_each_connection_is_a_dead_letter() {
    let (_mongod, world) = world_that_fails().await;
    let running = start(&world);
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    world.settled().await;
    fail_events(&world, "alwaysOn", doc! { "closeConnection": true }).await;
    world.append(&[world.frame(2, &[("b", "click")])]).await;
    world.settled().await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].get_str("reason").unwrap(), "refused_by_store");
    stop_failing(&world).await;
    world.append(&[world.frame(3, &[("c", "click")])]).await;
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    running.stop().await;
}
