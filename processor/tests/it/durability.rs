//! A Redis that comes to promise less than declared.

use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::ConfigInterface as _;

use crate::harness::World;

#[tokio::test]
async fn a_redis_that_promises_less_later_turns_readiness_false_and_stops_nothing() {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let world = World::on(TestRedis::at(server.url()).await).await;
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    let running = world.start("p");
    world.settled().await;
    let fixes = || {
        let reasons = running.health.readiness().reasons;
        let texts = reasons.into_iter().map(|told| told.reason);
        texts.collect::<Vec<_>>().join("; ")
    };
    wait_for("ready", async || fixes().is_empty()).await;

    let client = world.redis.client();
    client.config_set("appendfsync", "no").await.unwrap();
    wait_for("the fix is told", async || {
        fixes().contains("CONFIG SET appendfsync always")
    })
    .await;
    world.append(&[world.frame(2, &[("b", "click")])]).await;
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;

    client.config_set("appendfsync", "always").await.unwrap();
    wait_for("ready again", async || fixes().is_empty()).await;
    running.stop().await;
}
