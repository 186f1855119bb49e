//! The binary: exit codes and messages.

use std::process::{Output, Stdio};
use std::time::Duration;

use evp_devstack::{MongoOptions, MongoServer, RedisOptions, RedisServer, free_port};
use evp_shared::event::span::SpanUnit;
use evp_shared::stream::GroupReader;
use evp_shared::testing::{TestMongo, TestRedis, wait_for};
use fred::interfaces::KeysInterface as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::harness::World;

/// Runs the binary to its end.
async fn end_of(redis: &TestRedis, mongo: &TestMongo, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
    command
        .env("EVP__ADMIN__LISTEN", "127.0.0.1:0")
        .env("EVP__REDIS__URL", redis.url())
        .env("EVP__REDIS__KEY_PREFIX", redis.keys().prefix())
        .env("EVP__MONGO__URI", mongo.uri())
        .env("EVP__MONGO__DATABASE", mongo.database_name())
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.output().await.unwrap()
}

fn assert_refused(output: &Output, fix: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let message = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{message}");
    assert!(message.contains(fix), "{message}");
}

#[tokio::test]
async fn a_redis_that_promises_less_ends_it_with_64_and_the_fix() {
    let options = RedisOptions {
        appendfsync: "everysec",
        ..RedisOptions::default()
    };
    let server = RedisServer::start(options).await.unwrap();
    let redis = TestRedis::at(server.url()).await;
    let output = end_of(&redis, &TestMongo::new().await, &[]).await;
    assert_refused(&output, "CONFIG SET appendfsync always");
}

#[tokio::test]
async fn an_admin_port_that_others_can_reach_is_refused_with_the_fix() {
    let (redis, mongo) = (TestRedis::new().await, TestMongo::new().await);
    let wide = ("EVP__ADMIN__LISTEN", "0.0.0.0:0");
    for (mode, fix) in [
        ("open", "set auth.mode = \"keys\""),
        ("keys", "set admin.token"),
    ] {
        let output = end_of(&redis, &mongo, &[("EVP__AUTH__MODE", mode), wide]).await;
        assert_refused(&output, fix);
    }
}

#[tokio::test]
async fn another_identity_in_redis_or_in_mongodb_ends_it_with_64() {
    let redis = TestRedis::new().await;
    redis.stream(1).claim_identity(7).await.unwrap();
    let mongo = TestMongo::new().await;
    let output = end_of(&redis, &mongo, &[]).await;
    assert_refused(&output, "dedupe.identity and storage.salt_bits");

    let prepared = evp_shared::store::prepare(&mongo.database(), SpanUnit::Day, 7).await;
    prepared.unwrap();
    let output = end_of(&TestRedis::new().await, &mongo, &[]).await;
    assert_refused(&output, "dedupe.identity and storage.salt_bits");
}

#[tokio::test]
async fn a_database_of_an_earlier_layout_ends_it_with_64_and_stays_as_it_is() {
    let mongo = TestMongo::new().await;
    let database = mongo.database();
    database.create_collection("events").await.unwrap();
    let used = TestRedis::new().await;
    used.stream(1).claim_identity(7).await.unwrap();
    for redis in [TestRedis::new().await, used] {
        let output = end_of(&redis, &mongo, &[]).await;
        assert_refused(&output, "of another version of EVP");
    }
    let names = database.list_collection_names().await.unwrap();
    assert_eq!(names, ["events"]);
}

#[tokio::test]
async fn a_span_unit_that_is_not_the_databases_ends_it_with_64() {
    let mongo = TestMongo::new().await;
    let prepared = evp_shared::store::prepare(&mongo.database(), SpanUnit::Month, 7).await;
    prepared.unwrap();
    let output = end_of(&TestRedis::new().await, &mongo, &[]).await;
    assert_refused(&output, "set storage.span to month");
}

#[tokio::test]
async fn an_address_that_cannot_be_used_ends_it_with_64() {
    let (redis, mongo) = (TestRedis::new().await, TestMongo::new().await);
    let missing = ("EVP__REDIS__CA_FILE", "/nowhere.pem");
    let output = end_of(&redis, &mongo, &[missing]).await;
    assert_refused(&output, "redis.ca_file /nowhere.pem");
}

#[tokio::test]
async fn entries_that_stay_pending_at_its_end_are_in_the_log_and_the_exit_code() {
    let mut mongod = MongoServer::start(MongoOptions::default()).await.unwrap();
    let world = World {
        mongo: TestMongo::at(mongod.url()).await,
        ..World::new().await
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
    command
        .envs(world.environment())
        .env("EVP__ADMIN__LISTEN", "127.0.0.1:0")
        .env("EVP__PROCESSOR__INSERT_DEADLINE", "1s")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let running = command.spawn().unwrap();
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    world.settled().await;
    mongod.kill().await;
    world.append(&[world.frame(2, &[("b", "click")])]).await;
    wait_for("it is read", async || {
        world.stream.pending(0).await.unwrap().entries == 1
    })
    .await;

    let pid = running.id().unwrap().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(asked.unwrap().success());
    let output = running.wait_with_output().await.unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("entries stay pending"), "{log}");
}

#[tokio::test]
async fn no_totals_are_shown_before_those_of_all_partitions_are_known() {
    let (world, admin) = (World::new().await, free_port().unwrap());
    let (client, keys) = (world.redis.client(), world.redis.keys());
    let totals = keys.partition(1).totals;
    let _: () = client.set(&totals, "x", None, None, false).await.unwrap();
    // Another one has it for a while.
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    let other = GroupReader::new(client, &world.stream, "other");
    let read = other.read_new(1, Duration::from_secs(1)).await.unwrap();
    assert_eq!(read.len(), 1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
    command
        .envs(world.environment())
        .env("EVP__REDIS__PARTITIONS", "2")
        .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let _running = command.spawn().unwrap();
    let shown = async |path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", admin)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    let books = async || {
        let metrics = shown("/metrics").await.unwrap();
        let name = "evp_processor_pipeline_events_total{";
        metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .count()
    };
    let pending = "evp_processor_pending_entries{partition=\"0\"} 1";
    wait_for("the first one is known", async || {
        let metrics = shown("/metrics").await.unwrap_or_default();
        metrics.lines().any(|line| line == pending)
    })
    .await;
    wait_for("the second one fails", async || {
        let readiness = shown("/readyz").await.unwrap_or_default();
        readiness.contains("redis refused")
    })
    .await;
    assert_eq!(books().await, 0);
    let _: u32 = client.del(&totals).await.unwrap();
    wait_for("both are shown", async || books().await == 12).await;
}
