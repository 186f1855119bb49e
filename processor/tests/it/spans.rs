//! Events go into the span that their id names, and nothing into one that is gone.

use std::collections::BTreeSet;

use bson::{Document, doc};
use evp_shared::event::span::{Calendar, SpanUnit};
use evp_shared::frame::Frame;
use evp_shared::store::DAYS_MAX;
use evp_shared::store::spans::{drop_span, raise_marks, row};
use evp_shared::store::{Marks, RECEIPTS, Row};
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::events::{TestEvent, frame_of};
use evp_shared::testing::wait_for;

use crate::fail_points::{fail, stop_failing, world_that_fails};
use crate::harness::{World, producer};
use crate::isolate::inserts;

const DAY_MS: u64 = 86_400_000;

/// A frame of clicks with these ids and times.
fn frame(world: &World, number: u32, events: &[(&str, u64)]) -> Frame {
    let events = events.iter();
    let events = events.map(|(id, time_ms)| TestEvent::new(*id, "click").at(*time_ms));
    let events: Vec<TestEvent> = events.collect();
    frame_of(producer(), number, world.now_ms, &events)
}

/// That of a database that is born now.
fn calendar(world: &World) -> Calendar {
    Calendar::born(world.now_ms, SpanUnit::Day)
}

/// The collections of spans there are.
async fn names(world: &World) -> BTreeSet<String> {
    let names = world.mongo.database().list_collection_names().await;
    let names = names.unwrap().into_iter();
    names.filter(|name| name.starts_with("events")).collect()
}

async fn row_of(world: &World, time_ms: u64) -> Option<Row> {
    let span = calendar(world).span_of(Some(time_ms));
    row(&world.mongo.database(), &span).await.unwrap()
}

/// The only receipt, or the one of frame `number`.
async fn receipt(world: &World, number: u32) -> Document {
    let id = frame(world, number, &[("x", 0)]).id;
    let id = bson::oid::ObjectId::from_bytes(id.bytes());
    let receipts = world.all(RECEIPTS).await;
    let mut receipts = receipts.into_iter();
    let is_it = |one: &Document| one.get_object_id("_id").unwrap() == id;
    receipts.find(is_it).unwrap()
}

/// Raises the mark below which nothing is inserted.
async fn raise(world: &World, gone_ms: u64) {
    let to = Marks {
        floor_ms: gone_ms,
        gone_ms,
    };
    raise_marks(&world.mongo.database(), to).await.unwrap();
}

#[tokio::test]
async fn events_of_many_days_in_one_frame_lie_in_their_spans() {
    let world = World::new().await;
    let birth_ms = calendar(&world).birth_ms;
    let times_ms = [
        0,
        birth_ms - 1,
        birth_ms,
        world.now_ms,
        world.now_ms + DAY_MS,
    ];
    let ids = ["a", "b", "c", "d", "e"];
    let events: Vec<_> = ids.into_iter().zip(times_ms).collect();
    world.append(&[frame(&world, 1, &events)]).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 5)]).await;
    let spans = times_ms.map(|ms| calendar(&world).span_of(Some(ms)).to_string());
    let mut names = names(&world).await;
    // In the last hours of a day the housekeeper makes this one ahead.
    let ahead = calendar(&world).span_of(Some(world.now_ms + 2 * DAY_MS));
    names.remove(&ahead.to_string());
    assert_eq!(names, BTreeSet::from(spans));
    let receipt = receipt(&world, 1).await;
    let oldest = receipt.get_datetime("o").unwrap();
    assert_eq!(oldest.timestamp_millis(), 0);
    assert_eq!(receipt.get_i64("e").unwrap(), 0);
    running.stop().await;
}

#[tokio::test]
async fn an_event_that_is_sent_again_after_midnight_is_one_event() {
    let world = World::new().await;
    let midnight_ms = world.now_ms / DAY_MS * DAY_MS;
    let event = [TestEvent::new("a", "click").at(midnight_ms - 1_000)];
    let received = |number, ms| frame_of(producer(), number, ms, &event);
    let frames = [
        received(1, midnight_ms - 500),
        received(2, midnight_ms + 60_000),
    ];
    world.append(&frames).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 1)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 1);
    running.stop().await;
}

#[tokio::test]
async fn what_lies_below_the_mark_expires_and_is_never_stored() {
    let world = World::new().await;
    raise(&world, DAY_MS).await;
    let events = [("a", 0), ("b", world.now_ms), ("c", DAY_MS)];
    world.append(&[frame(&world, 1, &events)]).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().expired_events, 1);
    let receipt = receipt(&world, 1).await;
    assert_eq!(receipt.get_i64("e").unwrap(), 1);
    let oldest = receipt.get_datetime("o").unwrap();
    assert_eq!(oldest.timestamp_millis(), DAY_MS.cast_signed());
    let telemetry = Telemetry::install().unwrap();
    wait_for("the metric tells", async || {
        let metrics = telemetry.render();
        let mut lines = metrics.lines();
        let expired = lines.find(|line| line.contains("outcome=\"expired\""));
        expired.is_some_and(|line| !line.ends_with(" 0"))
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_span_that_was_dropped_under_a_processor_is_made_again_unless_it_is_gone() {
    let world = World::new().await;
    let running = world.start("p");
    let span = calendar(&world).span_of(Some(0));
    world.append(&[frame(&world, 1, &[("a", 0)])]).await;
    world.settled().await;
    let database = world.mongo.database();
    let before = row_of(&world, 0).await.unwrap().uuid;
    drop_span(&database, &span).await.unwrap();
    world.append(&[frame(&world, 2, &[("b", 0)])]).await;
    world.settled().await;
    assert_eq!(world.stored().await, 1);
    assert_ne!(row_of(&world, 0).await.unwrap().uuid, before);
    assert_eq!(world.counts().await["click"], 2);

    raise(&world, span.range_ms().unwrap().end).await;
    drop_span(&database, &span).await.unwrap();
    let events = [("c", 0), ("d", world.now_ms)];
    world.append(&[frame(&world, 3, &events)]).await;
    world.settled().await;
    assert_eq!(world.stored().await, 1);
    assert!(!names(&world).await.contains(&span.to_string()));
    assert_eq!(receipt(&world, 3).await.get_i64("e").unwrap(), 1);
    assert_eq!(world.counts().await["click"], 3);
    running.stop().await;
}

#[tokio::test]
async fn a_span_that_takes_nothing_keeps_its_own_frames_pending_and_no_other() {
    let (_mongod, world) = world_that_fails().await;
    let running = world.start("p");
    let now_ms = world.now_ms;
    let first = [("a", 0), ("b", now_ms)];
    world.append(&[frame(&world, 1, &first)]).await;
    world.settled().await;
    let span = calendar(&world).span_of(Some(0));
    let name = format!("{}.{span}", world.mongo.database_name());
    let never = doc! { "failCommands": ["insert"], "namespace": name, "errorCode": 8 };
    fail(&world, "alwaysOn", never).await;
    let both = [("c", 0), ("d", now_ms)];
    let frames = [frame(&world, 2, &both), frame(&world, 3, &[("e", now_ms)])];
    world.append(&frames).await;
    wait_for("the other one is stored", async || {
        world.counts().await["click"] == 3
    })
    .await;
    // It comes again and again, and stops nobody.
    for number in 4..8 {
        let id = format!("f{number}");
        world
            .append(&[frame(&world, number, &[(&id, now_ms)])])
            .await;
        wait_for("the next one is stored", async || {
            world.counts().await["click"] == i64::from(number)
        })
        .await;
        assert_eq!(world.stream.pending(0).await.unwrap().entries, 1);
    }
    assert!(running.health.readiness().ready);
    stop_failing(&world).await;
    world.settled().await;
    world.assert_counts(&[("click", 9)]).await;
    assert!(world.dead_letters().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_document_at_fault_leaves_its_span_and_its_frame_goes_on() {
    let world = World::new().await;
    world.make_span(0, &[]).await;
    // 16755, which is not known to be a document's fault.
    let index = doc! { "key": { "eventId": "2dsphere" }, "name": "sphere",
    "partialFilterExpression": { "eventId": "bad" } };
    let order = doc! { "createIndexes": "events_1970", "indexes": [index] };
    world.mongo.database().run_command(order).await.unwrap();
    let now_ms = world.now_ms;
    let both = [("a", 0), ("bad", 0), ("b", now_ms)];
    let frames = [frame(&world, 1, &both), frame(&world, 2, &[("c", now_ms)])];
    world.append(&frames).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 3)]).await;
    assert_eq!(world.dead_letters().await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn days_that_a_span_holds_besides_its_own_stand_in_its_row() {
    let world = World::new().await;
    // The id's own time is now, the event's is another one.
    let event = |number: u64| {
        let now_ms = world.now_ms;
        let id = format!(
            "{:08x}-{:04x}-7000-8000-{number:012x}",
            now_ms >> 16,
            now_ms & 0xFFFF
        );
        TestEvent::new(id, "click").at(number * DAY_MS)
    };
    let frame = |number, events: &[TestEvent]| frame_of(producer(), number, world.now_ms, events);
    world.append(&[frame(1, &[event(3), event(5)])]).await;
    let running = world.start("p");
    world.settled().await;
    let row = row_of(&world, world.now_ms).await.unwrap();
    assert_eq!(
        BTreeSet::from_iter(row.outside.days),
        BTreeSet::from([3, 5])
    );
    let many: Vec<TestEvent> = (10..200).map(event).collect();
    world.append(&[frame(2, &many)]).await;
    world.settled().await;
    let row = row_of(&world, world.now_ms).await.unwrap();
    assert_eq!(row.outside.days.len(), DAYS_MAX);
    assert_eq!(row.outside.edges, Some((3, 199)));
    world.assert_counts(&[("click", 192)]).await;
    running.stop().await;
}

#[tokio::test]
async fn ten_thousand_days_make_a_bounded_number_of_spans_and_commands() {
    let (_mongod, world) = world_that_fails().await;
    let times_ms = (0..10_000).map(|day| world.now_ms - day * DAY_MS);
    let spans = times_ms
        .clone()
        .map(|ms| calendar(&world).span_of(Some(ms)));
    let mut spans: BTreeSet<String> = spans.map(|span| span.to_string()).collect();
    // Years, and the days of a month.
    assert!(spans.len() <= 57 + 31);
    let events = times_ms.map(|ms| TestEvent::new(format!("e{ms}"), "click").at(ms));
    let events: Vec<TestEvent> = events.collect();
    // The housekeeper makes these ahead.
    let ahead = calendar(&world).spans(world.now_ms..world.now_ms + 26 * DAY_MS / 24);
    spans.extend(ahead.map(|span| span.to_string()));
    let before = inserts(&world).await;
    world
        .append(&[frame_of(producer(), 1, world.now_ms, &events)])
        .await;
    let running = world.start("p");
    world.settled().await;
    assert_eq!(names(&world).await, spans);
    let commands = usize::try_from(inserts(&world).await - before).unwrap();
    assert!(commands <= 2 * spans.len() + 1, "{commands}");
    world.assert_counts(&[("click", 10_000)]).await;
    running.stop().await;
}
