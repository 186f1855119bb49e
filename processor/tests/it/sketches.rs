//! Unique and top users as Redis has them, against exact figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use evp_shared::clock::Clock;
use evp_shared::counters::Step;
use evp_shared::keys::SketchKind;
use evp_shared::sketch::UNIQUE_STANDARD_ERROR;
use evp_shared::stream::SketchBucket;
use evp_shared::testing::events::{TENANT, TestEvent, frame_of};
use evp_shared::testing::wait_for;
use fred::interfaces::KeysInterface as _;

use crate::harness::{World, producer};

const EVENTS: usize = 60_000;

/// Events of many users and more sessions, few of them busy.
fn event(n: usize) -> TestEvent {
    let user = if n.is_multiple_of(7) {
        n % 5
    } else {
        1_000 + n % 20_000
    };
    TestEvent {
        session_id: Some(format!("s-{}", n % 33_333)),
        ..TestEvent::new(format!("e{n}"), "click").of_user(format!("u-{user}"))
    }
}

fn assert_near(found: u64, exact: usize) {
    let (found, exact) = (found as f64, exact as f64);
    let error = (found - exact).abs() / exact;
    assert!(error < 4.0 * UNIQUE_STANDARD_ERROR, "{found} for {exact}");
}

#[tokio::test]
async fn unique_and_top_users_are_as_near_as_is_said() {
    let world = World::new().await;
    let minute = Step::Minute.bucket(world.now_ms / 1_000);
    let hour = Step::Hour.bucket(world.now_ms / 1_000);
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    let running = world.start("p");
    for (number, frame) in (1..).zip(events.chunks(1_000)) {
        world
            .append(&[frame_of(producer(), number, world.now_ms, frame)])
            .await;
    }
    world.settled().await;
    // A repetition by the producer is no news.
    world
        .append(&[frame_of(producer(), 1_000, world.now_ms, &events[..5_000])])
        .await;
    world.settled().await;
    running.stop().await;

    let mut exact: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &events {
        *exact.entry(event.user_id.as_deref().unwrap()).or_default() += 1;
    }
    let sessions: BTreeSet<_> = events.iter().map(|event| &event.session_id).collect();
    for (step, bucket) in [(Step::Minute, minute), (Step::Hour, hour)] {
        let unique = |kind| world.stream.unique(kind, TENANT, step, bucket..bucket + 1);
        assert_near(unique(SketchKind::Users).await.unwrap(), exact.len());
        assert_near(unique(SketchKind::Sessions).await.unwrap(), sessions.len());
        let top = world
            .stream
            .top_users(TENANT, step, bucket..bucket + 1)
            .await
            .unwrap();
        let (top, lacking) = top;
        assert!(lacking.is_empty(), "{step:?}");
        let top = top.top(5);
        for item in &top {
            let count = exact[item.item.as_str()];
            assert!(item.item.len() == 3, "{item:?} is not one of the busy ones");
            assert!(
                count <= item.count && count >= item.count - item.error,
                "{item:?}: {count}"
            );
        }
        assert_eq!(top.len(), 5);
    }
}

#[tokio::test]
async fn what_the_filters_hold_back_changes_nothing_in_redis() {
    let world = World::new().await;
    let running = world.start("p");
    let events: Vec<_> = (0..5_000).map(event).collect();
    world
        .append(&[frame_of(producer(), 1, world.now_ms, &events)])
        .await;
    world.settled().await;
    running.stop().await;
    let minute = Step::Minute.bucket(world.now_ms / 1_000);
    let keys = world.redis.keys();
    let sketched = keys.sketch(SketchKind::Users, "m", minute, TENANT);
    let all = keys.sketch(SketchKind::Users, "m", minute + 1, TENANT);
    let bucket = SketchBucket {
        tenant: TENANT.into(),
        step: Step::Minute,
        number: minute + 1,
    };
    let users = events
        .iter()
        .map(|event| event.user_id.as_deref().unwrap().into());
    let update = evp_shared::stream::SketchUpdate {
        users: users.collect(),
        ..Default::default()
    };
    world.stream.add_to_sketches(&bucket, update).await.unwrap();
    let client = world.redis.client();
    let (one, other): (bytes::Bytes, bytes::Bytes) =
        tokio::try_join!(client.get(sketched.as_str()), client.get(all.as_str())).unwrap();
    // After the header, which caches the last count.
    assert_eq!(one[16..], other[16..]);
    let ttl: i64 = client.ttl(sketched.as_str()).await.unwrap();
    assert!((1..=3 * 3_600).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn sketches_can_be_switched_off() {
    let world = World::new().await;
    let running = World::start_as(world.config_with("p", "sketches = \"off\""));
    world
        .append(&[frame_of(producer(), 1, world.now_ms, &[event(1)])])
        .await;
    world.settled().await;
    running.stop().await;
    let minute = Step::Minute.bucket(world.now_ms / 1_000);
    let users = world
        .stream
        .unique(SketchKind::Users, TENANT, Step::Minute, minute..minute + 1);
    assert_eq!(users.await.unwrap(), 0);
}

#[tokio::test]
async fn sketches_come_within_seconds_while_the_processor_runs() {
    let world = World::new().await;
    let running = world.start("p");
    world
        .append(&[frame_of(producer(), 1, world.now_ms, &[event(1), event(2)])])
        .await;
    let minute = Step::Minute.bucket(world.now_ms / 1_000);
    wait_for("two users", || async {
        let users =
            world
                .stream
                .unique(SketchKind::Users, TENANT, Step::Minute, minute..minute + 1);
        users.await.unwrap() == 2
    })
    .await;
    assert!(Clock::system().now_ms() >= world.now_ms);
    running.stop().await;
}

#[tokio::test]
async fn a_processor_that_learns_late_of_an_erasure_does_not_write_the_name_back() {
    let world = World::new().await;
    let top = async |step: Step| {
        let bucket = step.bucket(world.now_ms / 1_000);
        let top = world.stream.top_users(TENANT, step, bucket..bucket + 1);
        let named = top.await.unwrap().0.top(10).into_iter();
        named.map(|item| item.item).collect::<Vec<_>>()
    };
    let frame = |number: u32, user: &str| {
        let event = TestEvent::new(format!("e{number}"), "click").of_user(user);
        frame_of(producer(), number, world.now_ms, &[event])
    };
    let running = world.start("p");
    world.append(&[frame(1, "jane")]).await;
    // The hour is written later.
    wait_for("her minute", async || top(Step::Minute).await == ["jane"]).await;
    // As if it had been waited for a processor that stood still.
    world.stream.begin_sketches_anew().await.unwrap();
    let named = world.stream.top_users_naming(TENANT, "jane", true).await;
    assert!(named.unwrap() > 0);
    // What comes before it learns is left out.
    let sent = AtomicU32::new(2);
    wait_for("his minute", async || {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        world.append(&[frame(number, "john")]).await;
        top(Step::Minute).await == ["john"]
    })
    .await;
    running.stop().await;
    for step in [Step::Minute, Step::Hour] {
        assert_eq!(top(step).await, ["john"]);
    }
}
