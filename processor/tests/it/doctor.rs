//! `doctor` names what is wrong and the line that mends it; what it fails on refuses the start.

use std::process::{Command, Output};

use bson::{Document, doc};
use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::event::span::SpanUnit;
use evp_shared::store::{Index, spans};
use serde_json::Value;

use crate::harness::{SPAN, World};

type Environment = Vec<(&'static str, String)>;

fn doctor(environment: Environment, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
    command
        .arg("doctor")
        .args(arguments)
        .envs(environment)
        .output()
        .unwrap()
}

fn json(environment: Environment) -> Value {
    let output = doctor(environment, &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The level and fix of one check.
fn finding(report: &Value, check: &str) -> (String, String) {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|one| one["check"] == check).unwrap();
    let text = |name: &str| finding[name].as_str().unwrap().to_owned();
    (text("level"), text("fix"))
}

async fn prepared() -> World {
    let world = World::new().await;
    world.make_span(0, &[Index::Type, Index::User]).await;
    world
}

#[tokio::test]
async fn servers_as_they_should_be_fail_nothing() {
    let world = prepared().await;
    let output = doctor(world.environment(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("22 checks, 0 failed"), "{text}");
    let report = json(world.environment());
    let passed = [
        "redis_version",
        "redis_eviction",
        "redis_persistence",
        "redis_log",
        "redis_memory",
        "redis_clock",
        "mongo_version",
        "mongo_write_concern",
        "mongo_identity",
        "mongo_indexes",
        "mongo_shard_key",
    ];
    for check in passed {
        assert_eq!(finding(&report, check).0, "pass", "{check}: {text}");
    }
    // Both servers are on this machine: their disks can be seen.
    for check in ["redis_disk", "mongo_disk"] {
        assert_ne!(finding(&report, check).0, "unknown", "{check}: {text}");
    }
}

#[tokio::test]
async fn a_redis_that_evicts_fails_with_the_line_to_set_and_refuses_the_start() {
    let world = prepared().await;
    let extra = ["--maxmemory-policy", "allkeys-lru"].map(str::to_owned);
    let options = RedisOptions {
        extra: extra.to_vec(),
        ..RedisOptions::default()
    };
    let redis = RedisServer::start(options).await.unwrap();
    let mut environment = world.environment();
    environment.push(("EVP__REDIS__URL", redis.url()));
    let output = doctor(environment.clone(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("maxmemory-policy allkeys-lru"), "{text}");
    assert!(
        text.contains("CONFIG SET maxmemory-policy noeviction"),
        "{text}"
    );

    environment.push(("EVP__ADMIN__LISTEN", "127.0.0.1:0".to_owned()));
    let mut service = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
    let output = service.envs(environment).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8(log).unwrap();
    assert!(
        log.contains("CONFIG SET maxmemory-policy noeviction"),
        "{log}"
    );
}

#[tokio::test]
async fn missing_unique_and_foreign_are_found_and_a_warning_fails_when_strict() {
    let world = prepared().await;
    let database = world.mongo.database();
    let drop_user = doc! { "dropIndexes": SPAN, "index": "user_recent" };
    database.run_command(drop_user).await.unwrap();
    let report = json(world.environment());
    assert_eq!(finding(&report, "mongo_indexes").0, "warn");
    assert_eq!(doctor(world.environment(), &[]).status.code(), Some(0));
    let strict = doctor(world.environment(), &["--strict"]);
    assert_eq!(strict.status.code(), Some(1));

    let unique = doc! { "name": "mine", "key": { "eventId": 1 }, "unique": true };
    let create = doc! { "createIndexes": SPAN, "indexes": [unique] };
    database.run_command(create).await.unwrap();
    let mut foreign = world.environment();
    foreign.push(("EVP__STORAGE__SALT_BITS", "3".to_owned()));
    let report = json(foreign);
    assert_eq!(report["level"], "fail");
    let (level, fix) = finding(&report, "mongo_indexes");
    assert_eq!(level, "fail");
    let line = format!("db.{SPAN}.dropIndex(\"mine\")");
    assert!(fix.contains(&line), "{fix}");
    assert_eq!(finding(&report, "mongo_identity").0, "fail");
}

#[tokio::test]
async fn spans_are_compared_with_their_collections() {
    let world = World::new().await;
    let database = world.mongo.database();
    let calendar = spans::claim_calendar(&database, SpanUnit::Day).await;
    let span = calendar.unwrap().span_of(Some(world.now_ms));
    let indexes = [Index::Type, Index::User];
    spans::make(&database, &span, &indexes).await.unwrap();
    let level = |report: &Value| finding(report, "spans").0;
    let report = json(world.environment());
    for check in [
        "spans",
        "span_indexes",
        "span_cache",
        "spans_sealed",
        "spans_ending",
    ] {
        assert_eq!(finding(&report, check).0, "pass", "{check}");
    }
    // mongod is a process of this machine.
    assert_ne!(finding(&report, "mongo_open_files").0, "unknown");

    database.create_collection("events_2001").await.unwrap();
    assert_eq!(level(&json(world.environment())), "warn");
    let collection = database.collection::<Document>(&span.to_string());
    collection.drop().await.unwrap();
    let report = json(world.environment());
    assert_eq!(level(&report), "fail");
    assert!(finding(&report, "spans").1.contains("db.meta.deleteOne"));
    // As a restore does that gives it another UUID.
    database.create_collection(span.to_string()).await.unwrap();
    let report = json(world.environment());
    assert_eq!(level(&report), "fail");
    assert!(finding(&report, "spans").1.contains("db.meta.updateOne"));
}

#[tokio::test]
async fn servers_that_do_not_answer_are_findings() {
    let nowhere = vec![
        ("EVP__REDIS__URL", "redis://127.0.0.1:1".to_owned()),
        ("EVP__MONGO__URI", "mongodb://127.0.0.1:1/".to_owned()),
    ];
    let report = json(nowhere);
    for check in ["redis_answers", "mongo_answers"] {
        let (level, fix) = finding(&report, check);
        assert_eq!(level, "fail");
        assert!(!fix.is_empty());
    }
}
