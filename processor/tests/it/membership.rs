//! What a processor works on stays its own, however long that takes.

use std::time::Duration;

use bson::doc;
use evp_processor::config::ProcessorConfig;
use evp_shared::clock::Clock;
use evp_shared::keys::GROUP;
use evp_shared::testing::wait_for;
use fred::interfaces::StreamsInterface as _;

use crate::fail_points::{fail, world_that_fails};
use crate::harness::World;

const CLAIM_IDLE: Duration = Duration::from_secs(4);

/// Well within the insert deadline; a bulk with a dead letter has three inserts, one after the
/// other, and so takes longer than [`CLAIM_IDLE`].
const EACH_INSERT_MS: i64 = 1_500;

/// A pending entry.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    id: String,
    consumer: String,
    deliveries: u64,
}

async fn held(world: &World) -> Vec<Held> {
    let key = world.redis.keys().partition(0).events;
    let client = world.redis.client();
    let pending: Vec<(String, String, u64, u64)> =
        client.xpending(key, GROUP, ("-", "+", 10)).await.unwrap();
    let held = |(id, consumer, _, deliveries)| Held {
        id,
        consumer,
        deliveries,
    };
    pending.into_iter().map(held).collect()
}

fn config(world: &World, name: &str) -> ProcessorConfig {
    ProcessorConfig {
        claim_idle: CLAIM_IDLE,
        insert_deadline: CLAIM_IDLE - Duration::from_millis(100),
        ..world.config(name)
    }
}

/// Makes mongod take its time for each insert from here on.
async fn slow_down(world: &World) {
    let slowly = doc! {
        "failCommands": ["insert"],
        "blockConnection": true,
        "blockTimeMS": EACH_INSERT_MS,
    };
    fail(world, "alwaysOn", slowly).await;
}

#[tokio::test]
async fn a_bulk_that_takes_longer_than_the_claim_idle_time_is_not_claimed() {
    let (_mongod, world) = world_that_fails().await;
    world.refuse_bad(true).await;
    let running = ["p", "q"].map(|name| World::start_as(config(&world, name)));
    for one in &running {
        wait_for("ready", async || one.health.readiness().ready).await;
    }
    slow_down(&world).await;
    let frame = world.frame(1, &[("a", "click"), ("b", "bad")]);
    world.append(&[frame]).await;
    wait_for("one of the two has it", async || {
        !held(&world).await.is_empty()
    })
    .await;

    let clock = Clock::system();
    let since = clock.now();
    let first = held(&world).await;
    wait_for("it is acknowledged", async || {
        let now = held(&world).await;
        assert!(now.is_empty() || now == first, "{now:?}, not {first:?}");
        now.is_empty()
    })
    .await;
    let took = clock.now() - since;
    assert!(took > CLAIM_IDLE, "over after {took:?}: it shows nothing");
    world.settled().await;
    world.assert_counts(&[("click", 1)]).await;
    assert_eq!(world.dead_letters().await.len(), 1);
    for one in running {
        one.stop().await;
    }
}
