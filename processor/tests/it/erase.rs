//! `erase`: a person is gone from everything that is kept, and counts and checks stay right.

mod interrupted;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc, oid::ObjectId};
use evp_processor::command::Done;
use evp_processor::command::erase::{Erase, run};
use evp_processor::command::verify::{self, Verify};
use evp_processor::verify::deep::Deep;
use evp_shared::audit::State;
use evp_shared::counters::Step;
use evp_shared::event::span::SpanUnit;
use evp_shared::frame::FrameId;
use evp_shared::sketch::TopItems;
use evp_shared::store::spans::{self, create_indexes};
use evp_shared::store::{DEAD_LETTERS, RECEIPTS, SpanIndex};
use evp_shared::stream::{SketchBucket, SketchUpdate};
use evp_shared::testing::events::{TENANT, TestEvent, frame_of};
use evp_shared::testing::spans::stored_events;
use evp_shared::testing::wait_for;
use fred::interfaces::{ListInterface as _, StreamsInterface as _};

use crate::books::{DAY_MS, Event, YEAR_2013_MS, old_frame, receipt_of, rows_of, store};
use crate::fail_points::{fail, stop_failing, world_that_fails};
use crate::harness::{World, producer};

const JANE: &str = "jane-who-wants-to-be-forgotten";
const JOHN: &str = "john-who-stays";

async fn erase(world: &World, yes: bool) -> Done {
    attempt(world, yes).await.unwrap()
}

async fn attempt(world: &World, yes: bool) -> anyhow::Result<Done> {
    let erase = Erase {
        tenant: TENANT.to_owned(),
        user: JANE.to_owned(),
        yes,
    };
    run(&world.config("e"), &erase).await
}

async fn deep(world: &World, repair: bool) -> anyhow::Result<Deep> {
    let how = Verify {
        deep: true,
        repair,
        ..Verify::default()
    };
    let report = verify::run(&world.config("v"), &how).await?;
    Ok(report.deep.unwrap())
}

fn event<'t>(id: &'t str, user: &'t str, at_ms: Option<i64>) -> Event<'t> {
    let kind = if id.len() > 1 { "view" } else { "click" };
    Event {
        id,
        kind,
        user,
        at_ms,
    }
}

/// Events of both in a sealed span, a hot one and the undated one, in two frames.
async fn store_both(world: &World) -> [FrameId; 2] {
    let frames = [1, 2].map(|number| old_frame(world, number));
    let yesterday = Some(i64::try_from(world.now_ms).unwrap() - DAY_MS);
    let events = [
        event("a", JANE, Some(YEAR_2013_MS)),
        event("b", JOHN, Some(YEAR_2013_MS)),
        event("cc", JANE, yesterday),
        event("d", JANE, yesterday),
        event("e", JOHN, None),
        event("f", JANE, None),
    ];
    store(world, frames[0], &events).await;
    store(world, frames[1], &[event("g", JANE, yesterday)]).await;
    let database = world.mongo.database();
    let calendar = spans::claim_calendar(&database, SpanUnit::Day).await;
    let sealed = Some(u64::try_from(YEAR_2013_MS).unwrap());
    let sealed = calendar.unwrap().span_of(sealed).to_string();
    let exact = create_indexes(&database, &sealed, &[SpanIndex::User]);
    exact.await.unwrap();
    let bucketed = doc! { "dropIndexes": &sealed, "index": "user_recent" };
    database.run_command(bucketed).await.unwrap();
    frames
}

/// A dead letter of each of them, and one entry that is kept for live readers.
async fn keep_both(world: &World) {
    let letters = world.mongo.database().collection::<Document>(DEAD_LETTERS);
    for (number, user) in (7..).zip([JANE, JOHN]) {
        let dead = event("dead", user, None).document(old_frame(world, number));
        let letter = doc! {
            "_id": { "id": dead.get("_id"), "f": dead.get("f") },
            "p": 0, "reason": "refused_by_store", "detail": "no", "at": DateTime::now(),
            "tenant": TENANT, "eventType": "view",
            "raw": Binary {
                subtype: BinarySubtype::Generic,
                bytes: bson::serialize_to_vec(&dead).unwrap(),
            },
        };
        letters.insert_one(letter).await.unwrap();
    }
    let keys = world.redis.keys().partition(0);
    let client = world.redis.client();
    let fields = vec![("v", JANE)];
    let id: String = client
        .xadd(keys.events.as_str(), false, None::<()>, "*", fields)
        .await
        .unwrap();
    let since = world.now_ms;
    let kept = format!("{id} 10 {since}");
    client.rpush::<i64, _, _>(keys.kept, kept).await.unwrap();
}

/// Top users of this minute and hour, and of a tenant that only sounds like theirs.
async fn sketch_both(world: &World) {
    let mut top = TopItems::default();
    for user in [JANE, JANE, JOHN] {
        top.note(user);
    }
    let name = format!("x:{TENANT}");
    let places = [
        (Step::Minute, TENANT),
        (Step::Hour, TENANT),
        (Step::Hour, &name),
    ];
    for (step, tenant) in places {
        let bucket = SketchBucket {
            tenant: tenant.into(),
            step,
            number: step.bucket(world.now_ms / 1_000),
        };
        let update = SketchUpdate {
            users: vec![JANE.into(), JOHN.into()],
            top: Some(("writer:1".to_owned(), top.encode())),
            ..SketchUpdate::default()
        };
        world.stream.add_to_sketches(&bucket, update).await.unwrap();
    }
}

fn step_bucket(world: &World, step: Step) -> u64 {
    step.bucket(world.now_ms / 1_000)
}

async fn top_of(world: &World, step: Step, tenant: &str) -> Vec<String> {
    let bucket = step_bucket(world, step);
    let top = world.stream.top_users(tenant, step, bucket..bucket + 1);
    let (top, lacking) = top.await.unwrap();
    assert!(lacking.is_empty());
    top.top(10).into_iter().map(|item| item.item).collect()
}

/// Which collections and streams name Jane, looked at byte by byte.
async fn named_in(world: &World) -> Vec<String> {
    let mut named = Vec::new();
    let database = world.mongo.database();
    let says = |bytes: &[u8]| {
        bytes
            .windows(JANE.len())
            .any(|part| part == JANE.as_bytes())
    };
    for name in database.list_collection_names().await.unwrap() {
        let documents = world.all(&name).await;
        let bytes = documents
            .iter()
            .map(|one| bson::serialize_to_vec(one).unwrap());
        if bytes.into_iter().any(|bytes| says(&bytes)) {
            named.push(name);
        }
    }
    let stream = world.redis.keys().partition(0).events;
    let entries: i64 = world.redis.client().xlen(stream.as_str()).await.unwrap();
    named.extend((entries > 0).then_some(stream));
    named.sort_unstable();
    named
}

async fn users_of_events(world: &World) -> Vec<String> {
    let events = stored_events(&world.mongo.database()).await;
    let user = |event: &Document| event.get_str("userId").unwrap().to_owned();
    events.iter().map(user).collect()
}

/// What the receipt of `frame` says was counted, and erased.
async fn said_of(world: &World, frame: FrameId) -> (Vec<Bson>, Vec<Bson>) {
    let receipt = receipt_of(world, frame).await.unwrap();
    let rows = |field| receipt.get_array(field).cloned().unwrap_or_default();
    (rows("n"), rows("g"))
}

#[tokio::test]
async fn a_person_is_gone_from_everything_and_the_counts_stay() {
    let world = World::new().await;
    let frames = store_both(&world).await;
    keep_both(&world).await;
    sketch_both(&world).await;
    let receipts = [
        receipt_of(&world, frames[0]).await,
        receipt_of(&world, frames[1]).await,
    ];
    assert!(named_in(&world).await.len() > 4);

    let would = erase(&world, false).await;
    let amounts = "erase 5 events, 1 dead letters, 2 sketches of top users, and all 1 entries";
    assert!(
        would.text.starts_with(&format!("would {amounts}")),
        "{would:?}"
    );
    assert_eq!(receipt_of(&world, frames[0]).await, receipts[0]);
    assert!(named_in(&world).await.len() > 4);

    let done = erase(&world, true).await;
    assert!(done.complete, "{done:?}");
    assert!(
        done.text.starts_with(&amounts.replace("erase", "erased")),
        "{done:?}"
    );
    assert_eq!(named_in(&world).await, Vec::<String>::new());
    assert_eq!(users_of_events(&world).await, [JOHN, JOHN]);
    assert_eq!(world.all(DEAD_LETTERS).await.len(), 1);
    for step in [Step::Minute, Step::Hour] {
        assert_eq!(top_of(&world, step, TENANT).await, [JOHN]);
    }
    let elsewhere = top_of(&world, Step::Hour, &format!("x:{TENANT}")).await;
    assert_eq!(elsewhere, [JANE, JOHN]);

    let first = (
        rows_of(&[("click", 5), ("view", 1)]),
        rows_of(&[("click", 3), ("view", 1)]),
    );
    let sorted = |(counted, mut erased): (Vec<Bson>, Vec<Bson>)| {
        erased.sort_by_key(ToString::to_string);
        (counted, erased)
    };
    assert_eq!(sorted(said_of(&world, frames[0]).await), first);
    let second = (rows_of(&[("click", 1)]), rows_of(&[("click", 1)]));
    assert_eq!(said_of(&world, frames[1]).await, second);
    let found = deep(&world, false).await.unwrap();
    assert_eq!((found.frames, found.differing_frames), (2, 0), "{found:?}");

    let again = erase(&world, true).await;
    assert!(
        again
            .text
            .starts_with("erased 0 events, 0 dead letters, 0 "),
        "{again:?}"
    );
    assert_eq!(said_of(&world, frames[1]).await, second);
    let audit = world.audited().await;
    assert_eq!((audit.len(), audit[0].what.as_str()), (2, "erase"));
    assert_eq!(audit[0].state, State::Done);
    assert_eq!(audit[0].tenant.as_deref(), Some(TENANT));
    assert_eq!(audit[0].detail.get_str("person").unwrap().len(), 64);
    assert!(!format!("{audit:?}").contains(JANE));
}

#[tokio::test]
async fn events_of_a_frame_without_a_receipt_wait_for_it() {
    let world = World::new().await;
    let frames = store_both(&world).await;
    let receipts = world.mongo.database().collection::<Document>(RECEIPTS);
    let id = ObjectId::from_bytes(frames[1].bytes());
    let receipt = receipts.find_one_and_delete(doc! { "_id": id }).await;
    let receipt = receipt.unwrap().unwrap();
    let done = erase(&world, true).await;
    assert!(!done.complete && done.text.contains("1 events of frames without a receipt"));
    assert_eq!(users_of_events(&world).await.len(), 3);
    receipts.insert_one(receipt).await.unwrap();
    assert!(erase(&world, true).await.complete);
    assert_eq!(users_of_events(&world).await, [JOHN, JOHN]);
    assert_eq!(deep(&world, false).await.unwrap().differing_frames, 0);
}

#[tokio::test]
async fn a_copy_by_hand_is_erased_and_no_receipt_says_so() {
    let world = World::new().await;
    store_both(&world).await;
    let database = world.mongo.database();
    let year = database.collection::<Document>("events_2013");
    let copied = year.aggregate([doc! { "$out": "events_2013_of_monday" }]);
    copied.await.unwrap();
    let done = erase(&world, true).await;
    assert!(
        done.complete && done.text.starts_with("erased 6 events,"),
        "{done:?}"
    );
    assert_eq!(named_in(&world).await, Vec::<String>::new());
    assert_eq!(users_of_events(&world).await, [JOHN, JOHN, JOHN]);
    let found = deep(&world, false).await.unwrap();
    assert_eq!((found.frames, found.differing_frames), (2, 0), "{found:?}");
}

#[tokio::test]
async fn what_was_waiting_when_it_began_is_not_said_to_be_gone() {
    let (mongod, world) = world_that_fails().await;
    store_both(&world).await;
    let body = [TestEvent::new("late", "click").of_user(JANE)];
    let frame = frame_of(producer(), 1, world.now_ms, &body);
    world.append(&[frame]).await;
    // It stands still after it has looked which spans there are.
    let namespace = format!("{}.events_2013", world.mongo.database_name());
    let how = doc! {
        "failCommands": ["delete"], "namespace": namespace,
        "blockConnection": true, "blockTimeMS": 3_000,
    };
    fail(&world, "alwaysOn", how).await;
    let meanwhile = async {
        wait_for("it is at work", async || {
            let receipts = world.all(RECEIPTS).await;
            receipts.iter().any(|receipt| receipt.contains_key("g"))
        })
        .await;
        let running = world.start("p");
        world.settled().await;
        running.stop().await;
    };
    let (done, ()) = tokio::join!(erase(&world, true), meanwhile);
    assert!(
        !done.complete && done.text.contains("1 events were waiting on the stream"),
        "{done:?}"
    );
    assert_eq!(world.audited().await[0].state, State::Incomplete);
    stop_failing(&world).await;
    assert!(erase(&world, true).await.complete);
    assert_eq!(users_of_events(&world).await, [JOHN, JOHN]);
    drop(mongod);
}

#[tokio::test]
async fn nobody_says_whose_an_entry_is_that_does_not_decode() {
    let world = World::new().await;
    let letters = world.mongo.database().collection::<Document>(DEAD_LETTERS);
    let letter = doc! {
        "_id": { "life": 1_i64, "p": 0, "entry": "1-0" }, "p": 0, "reason": "undecodable",
        "detail": "no", "at": DateTime::now(), "raw": {},
    };
    letters.insert_one(letter).await.unwrap();
    let done = erase(&world, true).await;
    assert!(
        !done.complete && done.text.contains("1 dead letters do not decode"),
        "{done:?}"
    );
    assert_eq!(world.all(DEAD_LETTERS).await.len(), 1);
}

#[tokio::test]
async fn the_same_body_sent_again_is_a_new_event() {
    let world = World::new().await;
    let body = [TestEvent::new("again", "click").of_user(JANE)];
    let frame = |number| frame_of(producer(), number, world.now_ms, &body);
    let running = world.start("p");
    world.append(&[frame(1)]).await;
    world.settled().await;
    // Known for the one that it is.
    world.append(&[frame(2)]).await;
    world.settled().await;
    assert_eq!(world.counts().await["click"], 1);
    assert!(erase(&world, true).await.complete);
    assert_eq!(users_of_events(&world).await, Vec::<String>::new());
    assert_eq!(world.counts().await["click"], 1);

    world.append(&[frame(3)]).await;
    world.settled().await;
    assert_eq!(users_of_events(&world).await, [JANE]);
    assert_eq!(world.counts().await["click"], 2);
    assert!(erase(&world, true).await.complete);
    assert_eq!(users_of_events(&world).await, Vec::<String>::new());
    assert_eq!(world.counts().await["click"], 2);
    running.stop().await;
    let how = Verify {
        deep: true,
        any_age: true,
        ..Verify::default()
    };
    let report = verify::run(&world.config("v"), &how).await.unwrap();
    let found = report.deep.unwrap();
    assert_eq!(found.differing_frames, 0, "{found:?}");
}

#[tokio::test]
async fn a_running_processor_does_not_name_the_person_again() {
    let world = World::new().await;
    let frame = |number: u32, user: &str| {
        let event = TestEvent::new(format!("e{number}"), "click").of_user(user);
        frame_of(producer(), number, world.now_ms, &[event])
    };
    let top = async |step| {
        let bucket = step_bucket(&world, step);
        let top = world.stream.top_users(TENANT, step, bucket..bucket + 1);
        let (top, _) = top.await.unwrap();
        top.top(10)
    };
    let running = world.start("p");
    world.append(&[frame(1, JANE), frame(2, JOHN)]).await;
    world.settled().await;
    wait_for("both are there", async || {
        top(Step::Minute).await.len() == 2
    })
    .await;
    assert!(erase(&world, true).await.complete);
    assert_eq!(top(Step::Minute).await[0].item, JOHN);
    world.append(&[frame(3, JOHN)]).await;
    world.settled().await;
    wait_for("it is written anew", async || {
        top(Step::Minute)
            .await
            .first()
            .is_some_and(|john| john.count == 2)
    })
    .await;
    running.stop().await;
    let (minute, hour) = (top(Step::Minute).await, top(Step::Hour).await);
    assert_eq!(
        (minute.len(), &*minute[0].item, minute[0].count),
        (1, JOHN, 2)
    );
    // What was not written of the hour was left out.
    assert_eq!((hour.len(), &*hour[0].item), (1, JOHN));
}
