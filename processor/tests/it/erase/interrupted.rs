//! Erasures that are interrupted, killed, or stand still while another one goes on.

use std::process::Stdio;

use bson::{Document, doc, oid::ObjectId};
use evp_processor::doctor::spans::gather;
use evp_processor::store::erasure::{self, Doomed};
use evp_shared::store::{DEAD_LETTERS, META, RECEIPTS};
use evp_shared::testing::events::TENANT;
use evp_shared::testing::wait_for;
use futures::TryStreamExt as _;
use tokio::process::Command;

use super::{
    JANE, JOHN, attempt, deep, erase, event, keep_both, named_in, said_of, store_both,
    users_of_events,
};
use crate::books::{old_frame, rows_of, store};
use crate::fail_points::{fail, stop_failing, world_that_fails};
use crate::harness::World;

/// An erasure that ends where it sends `command` to `collection`, as one that is killed there.
async fn interrupt(world: &World, command: &str, collection: &str) {
    let namespace = format!("{}.{collection}", world.mongo.database_name());
    let how = doc! {
        "failCommands": [command], "namespace": namespace, "closeConnection": true,
    };
    fail(world, "alwaysOn", how).await;
    attempt(world, true).await.unwrap_err();
    stop_failing(world).await;
    end_lease(world).await;
}

/// Whoever died has the lease for a while: as if that were over.
async fn end_lease(world: &World) {
    let meta = world.mongo.database().collection::<Document>(META);
    meta.delete_one(doc! { "_id": "lease" }).await.unwrap();
}

#[tokio::test]
async fn interrupted_anywhere_it_erases_each_event_once() {
    let (mongod, world) = world_that_fails().await;
    let frames = store_both(&world).await;
    keep_both(&world).await;
    for (command, collection) in [
        ("insert", META),
        ("update", RECEIPTS),
        ("delete", "events_2013"),
        ("delete", "events_undated"),
        ("delete", META),
        ("delete", DEAD_LETTERS),
    ] {
        interrupt(&world, command, collection).await;
        let meta = world.mongo.database().collection::<Document>(META);
        let note = meta.find_one(doc! { "_id": "erasing" }).await.unwrap();
        assert_eq!(
            note.is_some(),
            command == "update" || collection != DEAD_LETTERS && command == "delete"
        );
        if note.is_some() {
            let unknown = deep(&world, false).await.unwrap_err().to_string();
            assert!(
                unknown.contains("run evp-processor erase again"),
                "{unknown}"
            );
        }
    }
    let done = erase(&world, true).await;
    assert!(done.complete, "{done:?}");
    assert_eq!(named_in(&world).await, Vec::<String>::new());
    assert_eq!(users_of_events(&world).await, [JOHN, JOHN]);
    let (counted, erased) = said_of(&world, frames[0]).await;
    assert_eq!(counted, rows_of(&[("click", 5), ("view", 1)]));
    let sum: i64 = erased
        .iter()
        .map(|row| row.as_array().unwrap()[2].as_i64().unwrap())
        .sum();
    assert_eq!(sum, 4, "{erased:?}");
    let found = deep(&world, false).await.unwrap();
    assert_eq!((found.frames, found.differing_frames), (2, 0), "{found:?}");
    drop(mongod);
}

#[tokio::test]
async fn a_repair_finishes_what_was_interrupted() {
    let (mongod, world) = world_that_fails().await;
    let frames = store_both(&world).await;
    interrupt(&world, "delete", "events_undated").await;
    // Doctor names it.
    let database = world.mongo.database();
    let is_erasing = async || {
        let facts = gather(&world.stream, &database).await;
        facts.unwrap().is_erasing
    };
    assert!(is_erasing().await);
    let found = deep(&world, true).await.unwrap();
    assert!(!is_erasing().await);
    assert_eq!((found.differing_frames, found.mended), (0, 0), "{found:?}");
    let (counted, _) = said_of(&world, frames[0]).await;
    assert_eq!(counted, rows_of(&[("click", 5), ("view", 1)]));
    drop(mongod);
}

/// As many events of Jane, undated and in three frames, as several batches hold.
async fn store_many(world: &World) -> usize {
    let frames = [2, 3, 4].map(|number| old_frame(world, number));
    let ids: Vec<String> = (0..6_000).map(|number| number.to_string()).collect();
    let of_frame = |at: usize| {
        let own = ids.iter().skip(at).step_by(3);
        own.map(|id| event(id, JANE, None)).collect::<Vec<_>>()
    };
    for (at, frame) in frames.into_iter().enumerate() {
        let events = of_frame(at);
        // One by one makes the span, all at once is faster.
        store(world, frame, &events[..1]).await;
        let rest: Vec<_> = events[1..].iter().map(|one| one.document(frame)).collect();
        let database = world.mongo.database();
        let span = database.collection::<Document>("events_undated");
        span.insert_many(rest).await.unwrap();
        let clicks = events.iter().filter(|event| event.kind == "click").count();
        let [clicks, views] =
            [clicks, events.len() - clicks].map(|count| i64::try_from(count).unwrap());
        let counted = rows_of(&[("click", clicks), ("view", views)]);
        let receipts = database.collection::<Document>(RECEIPTS);
        let id = doc! { "_id": ObjectId::from_bytes(frame.bytes()) };
        let set = doc! { "$set": { "n": counted } };
        receipts.update_one(id, set).await.unwrap();
    }
    ids.len()
}

#[tokio::test]
async fn killed_in_the_midst_of_many_events_it_goes_on() {
    let world = World::new().await;
    let all = store_many(&world).await;
    store(&world, old_frame(&world, 1), &[event("a", JOHN, None)]).await;
    let mut killed = Command::new(env!("CARGO_BIN_EXE_evp-processor"))
        .args(["erase", "--tenant", TENANT, "--user", JANE, "--yes"])
        .envs(world.environment())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    wait_for("it is at work", async || {
        let receipts = world.all(RECEIPTS).await;
        receipts.iter().any(|receipt| receipt.contains_key("g"))
    })
    .await;
    killed.kill().await.unwrap();
    let left = users_of_events(&world).await.len();
    assert!(left > 1, "it was killed too late to show anything");
    end_lease(&world).await;
    let done = erase(&world, true).await;
    assert!(done.complete && left <= all + 1, "{done:?}");
    assert_eq!(users_of_events(&world).await, [JOHN]);
    let found = deep(&world, false).await.unwrap();
    assert_eq!((found.frames, found.differing_frames), (4, 0), "{found:?}");
}

#[tokio::test]
async fn one_who_stood_still_notes_nothing_that_another_one_erased() {
    let (mongod, world) = world_that_fails().await;
    let frames = store_both(&world).await;
    let database = world.mongo.database();
    let of_span = async |name: &str| -> Vec<Doomed> {
        let jane = database.collection::<Document>(name);
        let found = jane.find(doc! { "userId": JANE }).await.unwrap();
        let found: Vec<Document> = found.try_collect().await.unwrap();
        found.iter().filter_map(Doomed::of).collect()
    };
    let (year, undated) = (
        of_span("events_2013").await,
        of_span("events_undated").await,
    );
    // Before it begins a batch.
    let gone = async |from, events| erasure::erase(&database, from, events).await.unwrap();
    assert_eq!(gone("events_2013", year.clone()).await, 1);
    assert_eq!(gone("events_2013", year).await, 0);
    let (_, erased) = said_of(&world, frames[0]).await;
    assert_eq!(erased, rows_of(&[("click", 1)]));

    // In a batch that it has noted.
    let namespace = format!("{}.{RECEIPTS}", world.mongo.database_name());
    let how = doc! { "failCommands": ["update"], "namespace": &namespace, "closeConnection": true };
    fail(&world, "alwaysOn", how).await;
    let interrupted = erasure::erase(&database, "events_undated", undated).await;
    interrupted.unwrap_err();
    let how = doc! {
        "failCommands": ["find"], "namespace": namespace,
        "blockConnection": true, "blockTimeMS": 3_000,
    };
    fail(&world, doc! { "times": 1 }, how).await;
    let other = async {
        wait_for("the first stands still", async || {
            let admin = database.client().database("admin");
            let now = doc! { "currentOp": 1, "command.find": RECEIPTS };
            let now = admin.run_command(now).await.unwrap();
            !now.get_array("inprog").unwrap().is_empty()
        })
        .await;
        erasure::finish(&database).await.unwrap();
        erase(&world, true).await
    };
    let (late, done) = tokio::join!(erasure::finish(&database), other);
    assert_eq!(late.unwrap(), 0);
    assert!(done.complete, "{done:?}");
    let found = deep(&world, false).await.unwrap();
    assert_eq!((found.frames, found.differing_frames), (2, 0), "{found:?}");
    drop(mongod);
}
