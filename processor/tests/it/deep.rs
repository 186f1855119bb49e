//! `verify --deep` over spans: what is in them is compared, what has ended is no loss.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bson::{DateTime, Document, doc};
use evp_processor::command::verify::{Report, Verify, run};
use evp_processor::store::lease::under;
use evp_processor::verify::deep::Deep;
use evp_shared::event::span::{Span, SpanUnit};
use evp_shared::frame::FrameId;
use evp_shared::store::{META, Marks, lease, spans};

use crate::books::{DAY_MS, Event, YEAR_2013_MS, old_frame, receipt_of, rows_of, store};
use crate::harness::World;

async fn deep(world: &World, repair: bool) -> Deep {
    report(world, repair).await.deep.unwrap()
}

async fn report(world: &World, repair: bool) -> Report {
    let how = Verify {
        deep: true,
        repair,
        ..Verify::default()
    };
    run(&world.config("v"), &how).await.unwrap()
}

fn event<'t>(id: &'t str, kind: &'t str, at_ms: Option<i64>) -> Event<'t> {
    Event {
        id,
        kind,
        user: "somebody",
        at_ms,
    }
}

fn now_ms(world: &World) -> i64 {
    i64::try_from(world.now_ms).unwrap()
}

/// Frames over a year before the birth, two days and the undated span.
async fn world_of_spans() -> (World, [FrameId; 3]) {
    let world = World::new().await;
    let frames = [1, 2, 3].map(|number| old_frame(&world, number));
    let yesterday = Some(now_ms(&world) - DAY_MS);
    let today = Some(now_ms(&world));
    let all = [
        event("a", "click", Some(YEAR_2013_MS)),
        event("b", "click", yesterday),
        event("c", "click", today),
        event("d", "view", today),
        event("e", "view", None),
    ];
    store(&world, frames[0], &all).await;
    store(&world, frames[1], &[event("f", "click", yesterday)]).await;
    store(&world, frames[2], &[event("g", "click", today)]).await;
    (world, frames)
}

async fn span_of(world: &World, at_ms: Option<i64>) -> Span {
    let calendar = spans::claim_calendar(&world.mongo.database(), SpanUnit::Day).await;
    let at_ms = at_ms.map(|ms| u64::try_from(ms).unwrap());
    calendar.unwrap().span_of(at_ms)
}

async fn lose(world: &World, at_ms: Option<i64>, id: &str) {
    let name = span_of(world, at_ms).await.to_string();
    let span = world.mongo.database().collection::<Document>(&name);
    let lost = span.delete_one(doc! { "eventId": id }).await.unwrap();
    assert_eq!(lost.deleted_count, 1);
}

#[tokio::test]
async fn a_frame_over_many_spans_is_one_frame_and_nothing_is_left_behind() {
    let (world, _) = world_of_spans().await;
    let found = deep(&world, false).await;
    assert_eq!((found.frames, found.differing_frames), (3, 0), "{found:?}");
    let names = world.mongo.database().list_collection_names().await;
    assert!(!names.unwrap().contains(&"verify_deep".to_owned()));
    let lease = world.mongo.database().collection::<Document>(META);
    let lease = lease.find_one(doc! { "_id": "lease" }).await.unwrap();
    assert_eq!(lease, None);
}

#[tokio::test]
async fn what_one_span_lost_is_found_and_mended_right() {
    let (world, frames) = world_of_spans().await;
    lose(&world, Some(now_ms(&world)), "c").await;
    let found = deep(&world, false).await;
    assert_eq!(found.differing_frames, 1);
    assert_eq!(found.differing[0].frame, frames[0]);
    assert_eq!(deep(&world, true).await.mended, 1);
    let receipt = receipt_of(&world, frames[0]).await.unwrap();
    let rows = rows_of(&[("click", 2), ("view", 2)]);
    assert_eq!(receipt.get_array("n").unwrap(), &rows);
    assert_eq!(deep(&world, false).await.differing_frames, 0);
}

#[tokio::test]
async fn a_dropped_span_is_no_loss_and_its_frames_are_not_touched() {
    let (world, frames) = world_of_spans().await;
    let database = world.mongo.database();
    let year = span_of(&world, Some(YEAR_2013_MS)).await;
    let gone = Marks {
        floor_ms: 0,
        gone_ms: year.range_ms().unwrap().end,
    };
    spans::raise_marks(&database, gone).await.unwrap();
    spans::drop_span(&database, &year).await.unwrap();
    // One of the others is found all the same.
    lose(&world, Some(now_ms(&world)), "g").await;
    let before = receipt_of(&world, frames[0]).await.unwrap();
    let found = deep(&world, true).await;
    assert_eq!((found.frames, found.ended_frames), (2, 1), "{found:?}");
    assert_eq!((found.differing_frames, found.mended), (1, 1));
    assert_eq!(found.differing[0].frame, frames[2]);
    assert_eq!(receipt_of(&world, frames[0]).await.unwrap(), before);
}

#[tokio::test]
async fn a_receipt_that_is_written_says_how_far_back_its_frame_reaches() {
    let (world, frames) = world_of_spans().await;
    let receipts = world.mongo.database().collection::<Document>("receipts");
    let id = receipt_of(&world, frames[0]).await.unwrap();
    let id = doc! { "_id": id.get_object_id("_id").unwrap() };
    receipts.delete_one(id).await.unwrap();
    assert_eq!(deep(&world, true).await.mended, 1);
    let written = receipt_of(&world, frames[0]).await.unwrap();
    let year = span_of(&world, Some(YEAR_2013_MS)).await;
    let begin = i64::try_from(year.range_ms().unwrap().start).unwrap();
    let lowest = written.get_datetime("o").unwrap();
    assert_eq!(*lowest, DateTime::from_millis(begin));
    assert_eq!(deep(&world, false).await.differing_frames, 0);
}

#[tokio::test]
async fn what_was_erased_was_counted_all_the_same() {
    let (world, frames) = world_of_spans().await;
    lose(&world, Some(now_ms(&world)), "g").await;
    let receipts = world.mongo.database().collection::<Document>("receipts");
    let receipt = receipt_of(&world, frames[2]).await.unwrap();
    let id = doc! { "_id": receipt.get_object_id("_id").unwrap() };
    let erased = doc! { "$set": { "g": rows_of(&[("click", 1)]) } };
    receipts.update_one(id, erased).await.unwrap();
    let found = deep(&world, true).await;
    assert_eq!((found.frames, found.differing_frames), (3, 0), "{found:?}");
}

#[tokio::test]
async fn it_waits_until_nobody_else_works_on_the_spans() {
    let (world, _) = world_of_spans().await;
    let database = world.mongo.database();
    let second = Duration::from_secs(1);
    let other = lease::take(&database, "another", second).await;
    assert_eq!(other.unwrap(), "another");
    let found = deep(&world, false).await;
    assert_eq!(found.differing_frames, 0);
    // It had the lease after that one, and gave it back.
    let free = lease::take(&database, "another", second).await;
    assert_eq!(free.unwrap(), "another");
    let seen = Verify::default();
    let looks = lease::take(&database, "another", Duration::from_secs(900)).await;
    assert_eq!(looks.unwrap(), "another");
    // What only looks at counters does not ask for it.
    run(&world.config("v"), &seen).await.unwrap();
}

#[tokio::test]
async fn one_works_under_the_lease_at_a_time() {
    let world = World::new().await;
    let database = world.mongo.database();
    let inside = AtomicUsize::new(0);
    let work = async || {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
        // Longer than it takes the others to connect and to ask.
        for _ in 0..300 {
            database.run_command(doc! { "ping": 1 }).await.unwrap();
        }
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    let all = ["a", "b", "c"].map(|what| under(&database, what, work()));
    for done in futures::future::join_all(all).await {
        done.unwrap();
    }
}
