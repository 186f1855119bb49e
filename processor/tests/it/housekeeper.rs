//! Spans are made ahead, sealed and dropped; what is in the way of dropping holds it up.

use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Document, Uuid, doc, oid::ObjectId};
use evp_processor::deliver::lives::Lives;
use evp_processor::metrics::Metrics;
use evp_processor::upkeep::housekeeper::House;
use evp_processor::upkeep::housekeeper::memory::Memory;
use evp_shared::audit;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::{Calendar, Span, SpanUnit};
use evp_shared::keys::GROUP;
use evp_shared::store::{DEAD_LETTERS, Index, Marks, Row, SpanIndex, State, lease, spans};
use evp_shared::stream::GroupReader;
use evp_shared::testing::spans::{store_events, stored_events};
use evp_shared::testing::{PATIENCE, wait_for};
use fred::interfaces::{KeysInterface as _, StreamsInterface as _};

use crate::harness::{SPAN, World};

/// 2013-08-20.
pub(crate) const OLD_MS: u64 = 1_377_000_000_000;
pub(crate) const BOTH: [Index; 2] = [Index::Type, Index::User];
/// All waits of a day or less are over after some 100 ms.
const HURRY: &str = "[storage]\nhurry = 1000000\n";
const KEEP: &str = "[storage]\nhurry = 1000000\nkeep = \"2d\"\n";

/// A world with a calendar, and an event of 2013 in its span.
pub(crate) async fn world() -> (World, Calendar) {
    let world = World::new().await;
    let database = world.mongo.database();
    let calendar = spans::claim_calendar(&database, SpanUnit::Day).await;
    store_events(&database, &BOTH, &[event(OLD_MS), event(world.now_ms)]).await;
    (world, calendar.unwrap())
}

/// An event of anna's.
pub(crate) fn event(time_ms: u64) -> Document {
    let id = IdentityConfig::default().first_id(3, time_ms);
    let timestamp = DateTime::from_millis(i64::try_from(time_ms).unwrap());
    doc! {
        "_id": Uuid::from_bytes(*id.as_bytes()), "tenant": "default", "eventType": "click",
        "timestamp": timestamp, "userId": "anna", "u": 7,
    }
}

pub(crate) fn house(world: &World, name: &str, storage: &str) -> House {
    let config = world.config_with(name, storage);
    let stream = world.stream.clone();
    let lives = Arc::new(Lives::new(stream.clone()));
    let servers = (world.mongo.database(), stream);
    House::new(&config, name, servers, lives, Arc::new(Metrics::resolve(1)))
}

/// One round, and what it began.
pub(crate) async fn round(house: &mut House) {
    let jobs = house.round(false).await.unwrap();
    for job in &jobs {
        job.run(&house.database).await.unwrap();
    }
    if !jobs.is_empty() {
        lease::release(&house.database, &house.holder)
            .await
            .unwrap();
    }
}

pub(crate) async fn row_of(world: &World, span: &Span) -> Option<Row> {
    spans::row(&world.mongo.database(), span).await.unwrap()
}

/// Rounds until `condition` holds.
pub(crate) async fn until(house: &mut House, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let rounds = async {
        while !condition().await {
            round(house).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, rounds).await;
    assert!(done.is_ok(), "not in time: {what}");
}

/// Rounds until the span of 2013 is there no more.
async fn dropped(world: &World, house: &mut House, old: &Span) {
    let is_gone = async || row_of(world, old).await.is_none();
    until(house, "the span is dropped", is_gone).await;
}

/// Rounds of a house without `storage.keep`, until the span `name` is there no more.
pub(crate) async fn until_dropped(world: &World, name: &str) {
    let database = world.mongo.database();
    let mut house = house(world, "p", HURRY);
    let is_gone = async || {
        let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
        !rows.iter().any(|row| row.name() == name)
    };
    until(&mut house, "the span is dropped", is_gone).await;
}

/// Rounds until the floor has stood for long enough; what is not dropped by then is held by something.
async fn stood(world: &World, house: &mut House, old: &Span) {
    let database = world.mongo.database();
    let has_stood = async || {
        let memory = Memory::read(&database).await.unwrap();
        memory.ending.has_stood()
    };
    until(house, "the floor stands", has_stood).await;
    for _ in 0..3 {
        round(house).await;
    }
    assert!(row_of(world, old).await.is_some());
    assert_eq!(spans::marks(&database).await.unwrap().gone_ms, 0);
}

pub(crate) async fn index_names(world: &World, span: &Span) -> Vec<String> {
    let database = world.mongo.database();
    let events = database.collection::<Document>(&span.to_string());
    let mut names = events.list_index_names().await.unwrap();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_span_that_ended_is_sealed_and_one_ahead_is_there() {
    let (world, calendar) = world().await;
    let (old, new) = (
        calendar.span_of(Some(OLD_MS)),
        calendar.span_of(Some(world.now_ms + 26 * 3_600_000 - 60_000)),
    );
    assert!(row_of(&world, &new).await.is_none());
    let mut patient = house(&world, "p", "");
    round(&mut patient).await;
    let ahead = row_of(&world, &new).await.unwrap();
    assert_eq!(ahead.state, State::Hot);
    assert_eq!(ahead.indexes, [SpanIndex::Type, SpanIndex::UserRecent]);
    // It ended long ago; but for an hour nobody has looked how much it grows.
    assert_eq!(row_of(&world, &old).await.unwrap().state, State::Hot);

    let mut house = house(&world, "p", HURRY);
    let is_sealed = async || row_of(&world, &old).await.unwrap().state == State::Sealed;
    until(&mut house, "the span is sealed", is_sealed).await;
    let row = row_of(&world, &old).await.unwrap();
    assert_eq!(row.indexes, [SpanIndex::Type, SpanIndex::User]);
    assert_eq!(index_names(&world, &old).await, ["_id_", "type", "user"]);
    assert_eq!(row_of(&world, &new).await.unwrap().state, State::Hot);
}

#[tokio::test]
async fn a_span_is_dropped_after_everything_accepted_is_acknowledged() {
    let (world, calendar) = world().await;
    let old = calendar.span_of(Some(OLD_MS));
    // Nobody has read it yet; then a processor has, and stands still with it.
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    let mut house = house(&world, "p", KEEP);
    stood(&world, &mut house, &old).await;
    let client = world.redis.client();
    let reader = GroupReader::new(client, &world.stream, "stopped");
    let read = reader.read_new(10, Duration::from_millis(50)).await;
    let [entry] = &read.unwrap()[..] else {
        panic!("one entry")
    };
    for _ in 0..3 {
        round(&mut house).await;
    }
    assert!(row_of(&world, &old).await.is_some());
    let key = world.redis.keys().partition(0).events;
    let id = entry.id.to_string();
    let _: i64 = client.xack(key, GROUP, id).await.unwrap();
    dropped(&world, &mut house, &old).await;

    let marks = spans::marks(&world.mongo.database()).await.unwrap();
    assert!(marks.gone_ms > OLD_MS && marks.gone_ms <= marks.floor_ms);
    let floor: String = client.get(world.redis.keys().floor()).await.unwrap();
    assert_eq!(floor, marks.floor_ms.to_string());
    assert!(marks.floor_ms <= world.now_ms - 2 * 86_400_000);
    // The event of now is still there, and its span too.
    assert_eq!(stored_events(&world.mongo.database()).await.len(), 1);
}

#[tokio::test]
async fn a_new_life_of_redis_holds_up_what_had_stood() {
    let (world, calendar) = world().await;
    let old = calendar.span_of(Some(OLD_MS));
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    let mut house = house(&world, "p", KEEP);
    stood(&world, &mut house, &old).await;
    // A Redis without the stream: what was pending is lost, and what was noted means nothing.
    world.forget("events").await;
    round(&mut house).await;
    let memory = Memory::read(&world.mongo.database()).await.unwrap();
    assert!(!memory.ending.has_stood());
    dropped(&world, &mut house, &old).await;
}

#[tokio::test]
async fn letters_of_a_span_are_purged_with_it_and_written_down() {
    let (world, calendar) = world().await;
    let old = calendar.span_of(Some(OLD_MS));
    let letters = world.mongo.database().collection(DEAD_LETTERS);
    let letter = |time_ms, salt| {
        let id = IdentityConfig::default().first_id(salt, time_ms);
        let id = Uuid::from_bytes(*id.as_bytes());
        doc! {
            "_id": { "id": id, "f": ObjectId::new() }, "at": DateTime::now(), "p": 0,
            "reason": "refused_by_store", "detail": "",
        }
    };
    let entry = doc! { "_id": { "life": 1_i64, "p": 0, "entry": "1-0" }, "at": DateTime::now() };
    let kept = letter(world.now_ms, 0);
    letters
        .insert_many([letter(OLD_MS, 0), letter(OLD_MS, 15), kept.clone(), entry])
        .await
        .unwrap();
    let mut house = house(&world, "p", KEEP);
    dropped(&world, &mut house, &old).await;
    let left = world.dead_letters().await;
    assert_eq!(left.len(), 2);
    assert!(left.iter().any(|one| one.get("_id") == kept.get("_id")));
    let audit = world.audited().await;
    assert_eq!(
        (audit.len(), audit[0].what.as_str()),
        (1, "dead_letters.expire")
    );
    assert_eq!(audit[0].detail.get_i64("count").unwrap(), 2);
    assert_eq!(audit[0].state, audit::State::Done);
}

#[tokio::test]
async fn one_of_two_works_at_a_time_and_any_goes_on_with_it() {
    let (world, calendar) = world().await;
    let database = world.mongo.database();
    let old = calendar.span_of(Some(OLD_MS));
    let minute = Duration::from_secs(60);
    lease::take(&database, "deep", minute).await.unwrap();
    let (mut one, mut other) = (house(&world, "p", KEEP), house(&world, "q", KEEP));
    for _ in 0..3 {
        round(&mut one).await;
    }
    // What needs no order is done all the same.
    assert!(spans::marks(&database).await.unwrap().floor_ms > OLD_MS);
    assert_eq!(Memory::read(&database).await.unwrap(), Memory::default());
    lease::release(&database, "deep").await.unwrap();
    round(&mut one).await;
    let memory = Memory::read(&database).await.unwrap();
    assert_ne!(memory, Memory::default());
    dropped(&world, &mut other, &old).await;
}

#[tokio::test]
async fn a_keep_that_is_raised_keeps_what_is_still_there() {
    let (world, calendar) = world().await;
    let database = world.mongo.database();
    let old = calendar.span_of(Some(OLD_MS));
    let mut short = house(&world, "p", KEEP);
    round(&mut short).await;
    let floor_ms = spans::marks(&database).await.unwrap().floor_ms;
    assert!(floor_ms > OLD_MS);
    let long = "[storage]\nhurry = 1000000\nkeep = \"30000d\"\n";
    let mut long = house(&world, "p", long);
    stood(&world, &mut long, &old).await;
    // The floor does not fall: what was refused once is not accepted in another second.
    let marks = spans::marks(&database).await.unwrap();
    assert_eq!(
        marks,
        Marks {
            floor_ms,
            gone_ms: 0
        }
    );
    dropped(&world, &mut short, &old).await;
}

#[tokio::test]
async fn a_row_that_a_sleeper_left_below_the_mark_goes_and_a_collection_without_one_stays() {
    let (world, calendar) = world().await;
    let database = world.mongo.database();
    let old = calendar.span_of(Some(OLD_MS));
    let mut house = house(&world, "p", KEEP);
    dropped(&world, &mut house, &old).await;
    // As if the mark had not been read again after making it.
    let row = doc! {
        "_id": old.to_string(), "uuid": Uuid::new(), "state": "hot", "indexes": [],
        "from": DateTime::from_millis(1_356_998_400_000), "to": DateTime::from_millis(1_388_534_400_000),
    };
    spans::meta(&database).insert_one(row).await.unwrap();
    database.create_collection("events_2014").await.unwrap();
    round(&mut house).await;
    round(&mut house).await;
    assert!(row_of(&world, &old).await.is_none());
    let names = database.list_collection_names().await.unwrap();
    assert!(names.contains(&"events_2014".to_owned()));
    assert!(!names.contains(&old.to_string()));
    let meta = spans::meta(&database);
    let row = meta.find_one(doc! { "_id": "events_2014" }).await.unwrap();
    assert_eq!(row, None);
}

#[tokio::test]
async fn a_running_processor_drops_what_is_old_and_stores_no_more_of_it() {
    let world = World::new().await;
    let database = world.mongo.database();
    let running = World::start_as(world.config_with("p", KEEP));
    // Their ids are of 1970.
    let frame = world.frame(1, &[("a", "click"), ("b", "click")]);
    world.append(std::slice::from_ref(&frame)).await;
    world.settled().await;
    wait_for("what is old is gone", async || {
        let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
        let marks = spans::marks(&database).await.unwrap();
        marks.gone_ms > 0 && rows.iter().all(|row| !marks.is_gone(&row.span))
    })
    .await;
    // One that comes again, and one that is late.
    let late = world.frame(2, &[("c", "click")]);
    world.append(&[frame, late]).await;
    world.settled().await;
    let names = database.list_collection_names().await.unwrap();
    assert!(!names.contains(&SPAN.to_owned()), "{names:?}");
    wait_for("the processor is ready", async || {
        running.health.readiness().ready
    })
    .await;
    running.stop().await;
    // Nobody holds up the next one.
    let lease = spans::meta(&database)
        .find_one(doc! { "_id": "lease" })
        .await;
    assert_eq!(lease.unwrap(), None);
}
