//! A Redis that comes to promise less than declared.

use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::{ClientLike as _, ConfigInterface as _};
use fred::types::InfoKind;

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

/// What the server says of its append-only file.
async fn persistence(world: &World) -> String {
    let info = world
        .redis
        .client()
        .info::<String>(Some(InfoKind::Persistence));
    info.await.unwrap_or_default()
}

/// Whether the server has made its append-only file anew since it was started.
async fn has_new_log(world: &World) -> bool {
    let info = persistence(world).await;
    info.contains("aof_last_rewrite_time_sec:")
        && !info.contains("aof_last_rewrite_time_sec:-1")
        && info.contains("aof_rewrite_in_progress:0")
        && info.contains("aof_last_bgrewrite_status:ok")
}

#[tokio::test]
async fn a_redis_that_was_started_makes_its_log_anew_once() {
    let mut server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let world = World::on(TestRedis::at(server.url()).await).await;
    let running = world.start("p");
    wait_for("a new log", async || has_new_log(&world).await).await;
    server.kill().await;
    server.restart().await.unwrap();
    wait_for("a new log again", async || has_new_log(&world).await).await;
    running.stop().await;
}

#[tokio::test]
async fn a_log_that_could_not_be_made_anew_is_asked_for_again() {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    // A folder stands where the file is to be: this fails as a full disk does, whoever runs it.
    let folder = server.dir().join("appendonlydir");
    let obstacle = folder.join("appendonly.aof.2.base.rdb");
    std::fs::create_dir(&obstacle).unwrap();
    let world = World::on(TestRedis::at(server.url()).await).await;
    let running = world.start("p");
    wait_for("an attempt has failed", async || {
        let info = persistence(&world).await;
        info.contains("aof_last_bgrewrite_status:err")
    })
    .await;
    std::fs::remove_dir(&obstacle).unwrap();
    wait_for("a new log", async || has_new_log(&world).await).await;
    running.stop().await;
}
