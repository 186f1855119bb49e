//! `verify` finds what counters, receipts and events do not agree on, and mends it.

use std::process::Command;

use bson::{Document, doc, oid::ObjectId};
use evp_processor::command::verify::{Report, Verify, run};
use evp_shared::counters::Step;
use evp_shared::frame::Frame;
use evp_shared::store::RECEIPTS;
use fred::interfaces::{HashesInterface as _, KeysInterface as _};

use crate::harness::World;

const MINUTES_A_DAY: u64 = 24 * 60;

/// A world in which `frames` are stored and counted and no processor runs any more.
async fn world_of(frames: impl FnOnce(&World) -> Vec<Frame>) -> World {
    let world = World::new().await;
    world.append(&frames(&world)).await;
    let running = world.start("p");
    world.settled().await;
    running.stop().await;
    world
}

async fn verify(world: &World, how: Verify) -> Report {
    run(&world.config("v"), &how).await.unwrap()
}

fn repair() -> Verify {
    Verify {
        repair: true,
        ..Verify::default()
    }
}

/// The key of the bucket that holds what was received `minutes` ago.
fn bucket(world: &World, step: Step, minutes: u64) -> String {
    let second = world.now_ms / 1_000 - minutes * 60;
    let keys = world.redis.keys().partition(0);
    keys.count_bucket(step.as_str(), step.bucket(second))
}

#[tokio::test]
async fn what_is_counted_right_is_equal() {
    let world = world_of(|world| {
        vec![
            world.frame_of(10, 1, &[("a", "click"), ("b", "view")]),
            world.frame_of(30 * 60, 2, &[("c", "click")]),
        ]
    })
    .await;
    let report = verify(&world, Verify::default()).await;
    assert!(report.is_equal(), "{report:?}");
    // Every second of two hours, every minute of two days, every hour of 400 days.
    assert!(report.differences[&0].compared > 19_000);
}

#[tokio::test]
async fn young_counts_that_redis_forgot_are_settled() {
    let world = world_of(|world| {
        vec![
            world.frame_of(10, 1, &[("a", "click"), ("b", "view")]),
            world.frame_of(200, 2, &[("c", "click")]),
        ]
    })
    .await;
    for start in ["c:", "settled:", "types:"] {
        world.forget(start).await;
    }
    let found = verify(&world, Verify::default()).await;
    // Second, minute and hour of a frame of two types, minute and hour of another, the total.
    assert!(found.found >= 6, "{found:?}");
    assert!(!found.is_equal());
    let report = verify(&world, repair()).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!(report.repaired.settled_events, 3);
    world.assert_counts(&[("click", 2), ("view", 1)]).await;
}

#[tokio::test]
async fn old_counts_are_set_to_the_sum_of_their_receipts() {
    let old = 30 * 60;
    let world = world_of(|world| {
        vec![
            world.frame_of(old, 1, &[("a", "click"), ("b", "view")]),
            world.frame_of(10, 2, &[("c", "click")]),
        ]
    })
    .await;
    let client = world.redis.client();
    let field = "default\u{1f}click";
    for step in [Step::Minute, Step::Hour] {
        let key = bucket(&world, step, old);
        client.hincrby::<i64, _, _>(key, field, 5).await.unwrap();
    }
    let total = world.redis.keys().partition(0).count_total;
    client.hdel::<i64, _, _>(total, field).await.unwrap();
    let report = verify(&world, Verify::default()).await;
    assert_eq!(report.found, 3, "{report:?}");
    let report = verify(&world, repair()).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!(report.repaired.set_counts, 3);
    world.assert_counts(&[("click", 2), ("view", 1)]).await;
}

#[tokio::test]
async fn a_bucket_of_another_type_and_a_value_that_is_no_number_are_mended() {
    let old = 30 * 60;
    let world =
        world_of(|world| vec![world.frame_of(old, 1, &[("a", "click"), ("b", "view")])]).await;
    let client = world.redis.client();
    let hour = bucket(&world, Step::Hour, old);
    client.del::<i64, _>(hour.as_str()).await.unwrap();
    let set = client.set::<(), _, _>(hour.as_str(), "x", None, None, false);
    set.await.unwrap();
    let minute = bucket(&world, Step::Minute, old);
    let broken = ("default\u{1f}click", "many");
    client.hset::<i64, _, _>(minute, broken).await.unwrap();
    assert!(!verify(&world, Verify::default()).await.is_equal());
    let report = verify(&world, repair()).await;
    assert!(report.is_equal(), "{report:?}");
    let (ttl, whole) = (client.ttl::<i64, _>(hour).await.unwrap(), 400 * 86_400);
    assert!((whole - 60..=whole).contains(&ttl), "{ttl}");
    world.assert_counts(&[("click", 1), ("view", 1)]).await;
}

#[tokio::test]
async fn one_damaged_count_over_all_time_takes_no_other_with_it() {
    let world = world_of(|world| {
        vec![
            world.frame_of(30 * 60, 1, &[("a", "click"), ("b", "view")]),
            world.frame_of(10, 2, &[("c", "tap")]),
        ]
    })
    .await;
    let total = world.redis.keys().partition(0).count_total;
    let broken = ("default\u{1f}click", "many");
    let client = world.redis.client();
    client.hset::<i64, _, _>(total, broken).await.unwrap();
    let report = verify(&world, repair()).await;
    assert!(report.is_equal(), "{report:?}");
    world
        .assert_counts(&[("click", 1), ("tap", 1), ("view", 1)])
        .await;
}

#[tokio::test]
async fn the_total_is_not_set_while_an_hour_in_it_is_damaged() {
    let world = world_of(|world| {
        vec![
            world.frame_of(30 * 60, 1, &[("a", "click")]),
            world.frame_of(0, 2, &[("b", "click")]),
        ]
    })
    .await;
    let hour = bucket(&world, Step::Hour, 0);
    let broken = ("default\u{1f}click", "many");
    let client = world.redis.client();
    client.hset::<i64, _, _>(hour, broken).await.unwrap();
    let report = verify(&world, repair()).await;
    assert!(!report.is_equal(), "{report:?}");
    assert_eq!(report.repaired.set_counts, 0);
    world.assert_counts(&[("click", 2)]).await;
}

#[tokio::test]
async fn a_young_surplus_is_reported_and_not_touched() {
    let world = world_of(|world| vec![world.frame_of(10, 1, &[("a", "click")])]).await;
    let minute = bucket(&world, Step::Minute, 10);
    let add = ("default\u{1f}click", 1);
    let client = world.redis.client();
    client
        .hincrby::<i64, _, _>(minute, add.0, add.1)
        .await
        .unwrap();
    let report = verify(&world, repair()).await;
    assert!(!report.is_equal());
    assert_eq!(report.differences[&0].counts(), 1, "{report:?}");
    assert_eq!(report.repaired.set_counts, 0);
}

#[tokio::test]
async fn old_buckets_are_left_alone_while_an_entry_as_old_is_pending() {
    let old = 30 * 60;
    let world = world_of(|world| vec![world.frame_of(old, 1, &[("a", "click")])]).await;
    world.forget("c:").await;
    world
        .append(&[world.frame_of(old, 2, &[("b", "click")])])
        .await;
    let report = verify(&world, repair()).await;
    assert!(!report.is_equal());
    let running = world.start("p");
    world.settled().await;
    running.stop().await;
    let report = verify(&world, repair()).await;
    assert!(report.is_equal(), "{report:?}");
    world.assert_counts(&[("click", 2)]).await;
}

#[tokio::test]
async fn verify_is_equal_under_load() {
    let world = World::new().await;
    let running = world.start("p");
    let append = async {
        for number in 0..200 {
            let id = number.to_string();
            let age = u64::from(number % 3) * 60;
            world
                .append(&[world.frame_of(age, number, &[(&id, "click")])])
                .await;
        }
    };
    let (report, ()) = tokio::join!(verify(&world, Verify::default()), append);
    assert!(report.is_equal(), "{report:?}");
    world.settled().await;
    assert!(verify(&world, Verify::default()).await.is_equal());
    running.stop().await;
}

#[tokio::test]
async fn deep_writes_and_corrects_the_receipts_of_what_is_stored() {
    let old = MINUTES_A_DAY + 120;
    let world = world_of(|world| {
        vec![
            world.frame_of(old, 1, &[("a", "click"), ("b", "view")]),
            world.frame_of(old, 2, &[("c", "click"), ("d", "click")]),
            world.frame_of(old, 3, &[("e", "click")]),
            world.frame_of(10, 4, &[("f", "click")]),
        ]
    })
    .await;
    let database = world.mongo.database();
    let receipts = database.collection::<Document>(RECEIPTS);
    let id = |number| ObjectId::from_bytes(world.frame_of(old, number, &[("x", "x")]).id.bytes());
    receipts.delete_one(doc! { "_id": id(1) }).await.unwrap();
    let wrong = doc! { "$set": { "n": [["default", "click", 9_i64]] } };
    receipts
        .update_one(doc! { "_id": id(2) }, wrong)
        .await
        .unwrap();
    // Test events are of that year.
    let events = database.collection::<Document>("events_1970");
    events.delete_one(doc! { "eventId": "e" }).await.unwrap();

    let how = Verify {
        deep: true,
        ..Verify::default()
    };
    let found = verify(&world, how.clone()).await;
    let deep = found.deep.as_ref().unwrap();
    assert_eq!((deep.frames, deep.differing_frames, deep.mended), (3, 3, 0));
    assert!(!found.is_equal());

    let how = Verify {
        repair: true,
        ..how
    };
    let mended = verify(&world, how.clone()).await;
    assert!(mended.is_equal(), "{mended:?}");
    assert_eq!(mended.deep.unwrap().mended, 3);
    world.assert_counts(&[("click", 4), ("view", 1)]).await;
    let again = verify(&world, how).await;
    assert_eq!(again.deep.unwrap().differing_frames, 0);
    assert_eq!(again.found, 0);
}

#[tokio::test]
async fn the_exit_code_says_equal_different_or_unknown() {
    let world = world_of(|world| vec![world.frame_of(10, 1, &[("a", "click")])]).await;
    let code = |environment: Vec<(&'static str, String)>, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
        let output = command.args(arguments).envs(environment).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (status, text) = code(world.environment(), &["verify"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("0 counts differed"), "{text}");
    world.forget("c:total").await;
    let (status, text) = code(world.environment(), &["verify", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["equal"]), (Some(1), &false.into()), "{text}");
    assert_eq!(json["differences"][0]["bucket"], "total");
    let mut elsewhere = world.environment();
    elsewhere.push(("EVP__MONGO__URI", "mongodb://127.0.0.1:1/".to_owned()));
    assert_eq!(code(elsewhere, &["verify"]).0, Some(2));
}
