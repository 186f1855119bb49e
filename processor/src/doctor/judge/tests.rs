use bson::doc;
use evp_shared::config::Source;
use evp_shared::redis::{Memory, ServerFacts};
use evp_shared::service::ServiceConfig as _;

use super::*;
use crate::doctor::Level;
use crate::doctor::gather::MongoFacts;

fn config(text: &str) -> ProcessorConfig {
    let mut source = Source::from_text(text, &[]).unwrap();
    let config = ProcessorConfig::read(&mut source);
    source.finish(config).unwrap()
}

fn good_redis() -> RedisFacts {
    let some = |text: &str| Some(text.to_owned());
    RedisFacts {
        server: ServerFacts {
            version: "7.0.15".to_owned(),
            promise: ServerPromise {
                eviction: some("noeviction"),
                append_only: some("yes"),
                fsync: some("always"),
                no_fsync_on_rewrite: some("no"),
            },
            memory: Memory {
                used: 10 << 20,
                limit: 1 << 30,
            },
            log_written: true,
            ..ServerFacts::default()
        },
        disk: Some(Disk {
            free: 50,
            total: 100,
        }),
        ..RedisFacts::default()
    }
}

fn good_mongo() -> MongoFacts {
    let index = |name: &str| (name.to_owned(), false);
    MongoFacts {
        version: "6.0.5".to_owned(),
        disk: Some(Disk {
            free: 50,
            total: 100,
        }),
        newest: Some("events_20261129".to_owned()),
        indexes: vec![index("_id_"), index("type"), index("user")],
        ..MongoFacts::default()
    }
}

/// What is not passed of Redis after `change`, with the fix.
fn redis_after(text: &str, change: impl FnOnce(&mut RedisFacts)) -> Vec<(Check, Level, String)> {
    let mut facts = good_redis();
    change(&mut facts);
    let findings = redis(&config(text), &facts, RATE).into_iter();
    let bad = findings.filter(|one| one.level != Level::Pass);
    bad.map(|one| (one.check, one.level, one.fix)).collect()
}

fn mongo_after(change: impl FnOnce(&mut MongoFacts)) -> Vec<(Check, Level, String)> {
    let mut facts = good_mongo();
    change(&mut facts);
    let findings = mongo(&config(""), &facts).into_iter();
    let bad = findings.filter(|one| one.level != Level::Pass);
    bad.map(|one| (one.check, one.level, one.fix)).collect()
}

#[test]
fn what_is_as_it_should_be_passes() {
    assert_eq!(redis_after("", |_| {}), []);
    assert_eq!(mongo_after(|_| {}), []);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row per shortfall")]
fn each_shortfall_of_redis_is_one_finding_with_its_fix() {
    type Change = fn(&mut RedisFacts);
    let memory_only = "[redis]\ndurability = \"memory\"";
    let replicated = "[redis]\ndurability = \"replicated\"";
    let table: [(&str, Change, Check, Level, &str); 12] = [
        (
            "",
            |f| f.server.version = "6.2.7".into(),
            Check::RedisVersion,
            Level::Fail,
            "7.0",
        ),
        (
            "",
            |f| f.server.version = "?".into(),
            Check::RedisVersion,
            Level::Unknown,
            "7.0",
        ),
        (
            "",
            |f| f.server.promise.eviction = Some("allkeys-lru".into()),
            Check::RedisEviction,
            Level::Fail,
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            "",
            |f| f.server.promise.fsync = Some("everysec".into()),
            Check::RedisPersistence,
            Level::Fail,
            "redis.durability",
        ),
        (
            "",
            |f| f.server.log_written = false,
            Check::RedisLog,
            Level::Fail,
            "disk",
        ),
        (
            replicated,
            |_| {},
            Check::RedisReplica,
            Level::Fail,
            "replica",
        ),
        (
            memory_only,
            |_| {},
            Check::RedisPersistence,
            Level::Warn,
            "fsync",
        ),
        (
            "",
            |f| f.server.memory.limit = 0,
            Check::RedisMemory,
            Level::Warn,
            "maxmemory",
        ),
        (
            "",
            |f| f.server.memory.limit = 64 << 20,
            Check::RedisMemory,
            Level::Warn,
            "CONFIG SET maxmemory 228mb",
        ),
        ("", |f| f.disk = None, Check::RedisDisk, Level::Unknown, ""),
        (
            "",
            |f| f.ahead_ms = -61_000,
            Check::RedisClock,
            Level::Fail,
            "chrony",
        ),
        (
            "",
            |f| f.identity = Some("00000001".into()),
            Check::RedisIdentity,
            Level::Fail,
            "salt_bits",
        ),
    ];
    for (text, change, check, level, fix) in table {
        let found = redis_after(text, change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0, found[0].1), (check, level), "{found:?}");
        assert!(found[0].2.contains(fix), "{found:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row per shortfall")]
fn each_shortfall_of_mongodb_is_one_finding_with_its_fix() {
    type Change = fn(&mut MongoFacts);
    let table: [(Change, Check, Level, &str); 12] = [
        (
            |f| f.version = "4.4.1".into(),
            Check::MongoVersion,
            Level::Fail,
            "6.0",
        ),
        (
            |f| f.write_refused = Some("code 64".into()),
            Check::MongoWriteConcern,
            Level::Fail,
            "rs.status()",
        ),
        (
            |f| (f.replica_set, f.members) = (Some("s".into()), (2, 1)),
            Check::MongoWriteConcern,
            Level::Warn,
            "arbiters",
        ),
        (
            |f| (f.replica_set, f.members) = (Some("s".into()), (1, 0)),
            Check::MongoWriteConcern,
            Level::Warn,
            "three",
        ),
        (
            |f| {
                f.disk = Some(Disk {
                    free: 4,
                    total: 100,
                })
            },
            Check::MongoDisk,
            Level::Fail,
            "disk",
        ),
        (
            |f| {
                f.disk = Some(Disk {
                    free: 10,
                    total: 100,
                })
            },
            Check::MongoDisk,
            Level::Warn,
            "disk",
        ),
        (
            |f| f.ahead_ms = 1_500,
            Check::MongoClock,
            Level::Warn,
            "chrony",
        ),
        (
            |f| f.identity = Some(1),
            Check::MongoIdentity,
            Level::Fail,
            "salt_bits",
        ),
        (
            |f| drop(f.indexes.pop()),
            Check::MongoIndexes,
            Level::Warn,
            "a running processor builds",
        ),
        (
            |f| f.indexes.push(("mine".into(), true)),
            Check::MongoIndexes,
            Level::Fail,
            "db.events_20261129.dropIndex(\"mine\")",
        ),
        (
            |f| f.shard_key = Some(doc! { "_id": "hashed" }),
            Check::MongoShardKey,
            Level::Fail,
            "{_id: 1}",
        ),
        (
            |f| f.router = true,
            Check::MongoShardKey,
            Level::Warn,
            "does not shard spans yet",
        ),
    ];
    for (change, check, level, fix) in table {
        let found = mongo_after(change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0, found[0].1), (check, level), "{found:?}");
        assert!(found[0].2.contains(fix), "{found:?}");
    }
    let extra = mongo_after(|facts| facts.indexes.push(("mine".into(), false)));
    assert_eq!((extra[0].0, extra[0].1), (Check::MongoIndexes, Level::Warn));
    assert!(extra[0].2.contains("db.events_20261129."), "{extra:?}");
}
