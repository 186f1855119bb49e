//! A Redis that comes back without its newest part: the counts are right again, nothing twice.

use std::time::Duration;

use evp_devstack::{RedisOptions, RedisServer};
use evp_processor::bulk::commit::BulkFailure;
use evp_processor::start::Parts;
use evp_processor::store::events::Events;
use evp_processor::store::insert::Inserter;
use evp_processor::store::spans::Layout;
use evp_shared::clock::Clock;
use evp_shared::store::prepare;
use evp_shared::stream::{GroupReader, Life, StreamError};
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::{ClientLike as _, HashesInterface as _, KeysInterface as _};
use fred::types::{ClusterHash, CustomCommand};

use crate::harness::World;

#[tokio::test]
async fn counts_that_redis_forgot_are_settled_again_from_receipts() {
    let world = World::new().await;
    world
        .append(&[world.frame(1, &[("a", "click"), ("b", "view")])])
        .await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 1), ("view", 1)]).await;

    // As FLUSHALL does to one deployment: entries, counts, bits and life are gone.
    let prefix = world.redis.keys().prefix().to_owned();
    let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do \
                  redis.call('DEL', key) end return 0";
    let no_keys = Vec::<String>::new();
    let client = world.redis.client();
    let gone: i64 = fred::interfaces::LuaInterface::eval(client, script, no_keys, prefix)
        .await
        .unwrap();
    assert_eq!(gone, 0);
    wait_for("the counts are in again", async || {
        world.counts().await.values().sum::<i64>() == 2
    })
    .await;
    world.assert_counts(&[("click", 1), ("view", 1)]).await;

    // The frame comes again, as from an ingest that replays: nothing is counted twice.
    let life = world
        .stream
        .hello(0, Life::UNKNOWN, None)
        .await
        .unwrap()
        .life;
    assert!(life > world.life);
    let frame = world.frame(1, &[("a", "click"), ("b", "view")]);
    world.stream.append(0, life, &[frame]).await.unwrap();
    world.settled().await;
    world.assert_counts(&[("click", 1), ("view", 1)]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_bulk_under_way_is_counted_at_once_although_its_entries_are_gone() {
    let world = World::new().await;
    world
        .append(&[world.frame(1, &[("a", "click"), ("b", "view")])])
        .await;
    let config = world.config("p");
    let database = world.mongo.database();
    let calendar = prepare(&database, config.span, config.fingerprint()).await;
    let layout = Layout {
        calendar: calendar.unwrap(),
        identity: config.identity,
        indexes: Vec::new(),
    };
    let inserter = Inserter::new(database, config.insert_deadline, 1);
    let events = Events::new(inserter, layout, Clock::system());
    let parts = Parts::new(&config, &world.stream, events, &Clock::system());
    let consumer = &parts.consumer;
    consumer.lives.greet_all().await.unwrap();
    let lives = consumer.lives_now();
    let read = GroupReader::new(world.stream.client(), &world.stream, "p");
    let read = read.read_new(10, Duration::from_millis(1)).await.unwrap();
    let bulk = consumer.deliver(read, &lives, false);
    assert_eq!(bulk.len(), 1);
    world.forget("").await;
    let outcome = parts.pipeline.process(bulk).await;
    assert!(
        matches!(outcome, Err(BulkFailure::Stream(StreamError::NewLife))),
        "{outcome:?}"
    );
    // Without a reconcile, and without the entry ever coming again.
    world.assert_counts(&[("click", 1), ("view", 1)]).await;
}

#[tokio::test]
async fn what_was_read_in_an_older_life_is_read_again() {
    let world = World::new().await;
    let running = world.start("p");
    let life = world.redis.keys().partition(0).life;
    let client = world.redis.client();
    for number in 0..20 {
        let id = format!("e{number}");
        // As a restart does between any two appends: the replication id is another one.
        client
            .hset::<i64, _, _>(&life, ("replid", "another"))
            .await
            .unwrap();
        let now = world
            .stream
            .hello(0, Life::UNKNOWN, None)
            .await
            .unwrap()
            .life;
        let frame = world.frame(number, &[(&id, "click")]);
        world.stream.append(0, now, &[frame]).await.unwrap();
    }
    world.settled().await;
    world.assert_counts(&[("click", 20)]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_stream_deleted_by_hand_is_made_again_and_its_loss_reported() {
    let world = World::new().await;
    let running = world.start("p");
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    world.settled().await;
    let events = world.redis.keys().partition(0).events;
    world.redis.client().del::<i64, _>(events).await.unwrap();
    // As ingest does when its append is refused: it says hello, and appends in the new life.
    let life = world.stream.hello(0, world.life, None).await.unwrap().life;
    let frame = world.frame(2, &[("b", "click")]);
    world.stream.append(0, life, &[frame]).await.unwrap();
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    running.stop().await;
}

/// The connection that waits for entries, as Redis numbers them.
async fn reading_connection(world: &World) -> Option<String> {
    let list = CustomCommand::new("CLIENT", ClusterHash::FirstKey, false);
    let listed: String = world
        .redis
        .client()
        .custom(list, vec!["LIST"])
        .await
        .unwrap();
    let reading = listed
        .lines()
        .find(|line| line.contains("cmd=xreadgroup"))?;
    reading.split(' ').next().map(str::to_owned)
}

#[tokio::test]
async fn a_new_life_is_read_over_a_new_connection() {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let world = World::on(TestRedis::at(server.url()).await).await;
    let running = world.start("p");
    wait_for("it reads", async || {
        reading_connection(&world).await.is_some()
    })
    .await;
    let before = reading_connection(&world).await;
    let life = world.redis.keys().partition(0).life;
    let other = ("replid", "another");
    let client = world.redis.client();
    client.hset::<i64, _, _>(life, other).await.unwrap();
    // The old connection could be one to a primary that was deposed.
    wait_for("it reads over another connection", async || {
        let now = reading_connection(&world).await;
        now.is_some() && now != before
    })
    .await;
    running.stop().await;
}
