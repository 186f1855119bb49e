//! Judging the facts, without a server.

mod mongo;
mod spans;
mod tenants;

use std::num::NonZeroU64;

use evp_shared::config::Durability;
use evp_shared::redis::ServerPromise;

use super::gather::{Disk, RedisFacts};
use super::{Check, Finding};
use crate::config::ProcessorConfig;

pub use mongo::mongo;
pub use spans::spans;

/// Events per second to expect where nobody says.
pub const RATE: NonZeroU64 = match NonZeroU64::new(1_000) {
    Some(rate) => rate,
    None => NonZeroU64::MIN,
};

/// Bytes of an event on the stream where none was appended yet, before compression, as they are
/// counted there. Source: design, 287 MB a million.
const EVENT_BYTES: u64 = 300;

/// Share of maxmemory, in percent, above which nothing is kept for live readers any more; ingest
/// refuses a little later, from `ingest.admission.memory_share` on.
const MEMORY_USED_MAX: u64 = 80;

/// Minutes without processors that Redis should outlast: a restart of everything takes less.
const BACKLOG_MINUTES_MIN: u64 = 10;

/// Clocks this far apart put events into wrong buckets; so far apart, reconcile looks too early.
const CLOCK_MS: (u64, u64) = (1_000, 60_000);

/// Free share of a disk, in percent, below which to warn and to fail.
const DISK_FREE: (u64, u64) = (20, 5);

/// Redis 7.0 is the first whose XAUTOCLAIM names the entries that are gone.
const REDIS_VERSION_MIN: (u32, u32) = (7, 0);

/// Redis does not answer.
pub fn no_redis(error: &anyhow::Error) -> Finding {
    let fix = "start redis-server, or set redis.url (REDIS_URL) to where it is";
    Check::RedisAnswers.fail(format!("{error:#}"), fix)
}

/// MongoDB does not answer.
pub fn no_mongo(error: &anyhow::Error) -> Finding {
    let fix = "start mongod, or set mongo.uri (MONGO_URI) to where it is";
    Check::MongoAnswers.fail(format!("{error:#}"), fix)
}

/// Judges Redis at `rate` events per second.
pub fn redis(config: &ProcessorConfig, facts: &RedisFacts, rate: NonZeroU64) -> Vec<Finding> {
    let server = &facts.server;
    let mut findings = vec![
        version(
            Check::RedisVersion,
            &server.version,
            REDIS_VERSION_MIN,
            "install redis-server 7.0 or newer",
        ),
        eviction(&server.promise),
        persistence(config.redis.durability, facts),
        log(facts),
        memory(facts, rate),
        disk(Check::RedisDisk, facts.disk),
        clock(Check::RedisClock, facts.ahead_ms),
        redis_identity(facts.identity.as_deref(), config.fingerprint()),
    ];
    if config.redis.durability == Durability::Replicated {
        findings.push(replica(facts));
    }
    findings
}

fn version(check: Check, version: &str, least: (u32, u32), fix: &str) -> Finding {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= least => check.pass(version),
        (Some(_), Some(_)) => check.fail(version, fix),
        _ => check.unknown(format!("{version:?}"), fix),
    }
}

fn eviction(promise: &ServerPromise) -> Finding {
    let check = Check::RedisEviction;
    let fix = "CONFIG SET maxmemory-policy noeviction, and the line `maxmemory-policy noeviction` \
               in redis.conf: any other policy deletes events that were accepted";
    match promise.eviction.as_deref() {
        Some("noeviction") => check.pass("maxmemory-policy noeviction"),
        Some(other) => check.fail(format!("maxmemory-policy {other}"), fix),
        None => check.unknown("CONFIG is not allowed", fix),
    }
}

fn persistence(declared: Durability, facts: &RedisFacts) -> Finding {
    let check = Check::RedisPersistence;
    let name = declared.as_str();
    let without_eviction = ServerPromise {
        eviction: None,
        ..facts.server.promise.clone()
    };
    let short = without_eviction.shortfalls(declared);
    if !short.is_empty() {
        let fix = "set it, and the same lines in redis.conf, or declare less in redis.durability";
        return check.fail(short.join("; "), fix);
    }
    if declared == Durability::Memory {
        let fix = "redis.durability = \"fsync\", unless losing accepted events with Redis is meant";
        return check.warn("durability memory", fix);
    }
    if facts.server.promise.append_only.is_none() {
        let fix = "check appendonly and appendfsync where Redis is configured";
        let found = format!("durability {name} as declared: CONFIG is not allowed");
        return check.unknown(found, fix);
    }
    check.pass(format!("keeps durability {name}"))
}

fn log(facts: &RedisFacts) -> Finding {
    let check = Check::RedisLog;
    if facts.server.log_written {
        return check.pass("the last write of the append-only file succeeded");
    }
    let fix = "see redis-server's log; mostly its disk is full";
    check.fail("the append-only file could not be written", fix)
}

fn replica(facts: &RedisFacts) -> Finding {
    let fix = "start a replica (replicaof HOST PORT), or declare less in redis.durability";
    match facts.server.replicas {
        0 => Check::RedisReplica.fail("durability replicated, and no replica is connected", fix),
        replicas => Check::RedisReplica.pass(format!("{replicas} connected")),
    }
}

fn memory(facts: &RedisFacts, rate: NonZeroU64) -> Finding {
    let check = Check::RedisMemory;
    let memory = facts.server.memory;
    let event_bytes = facts.event_bytes.unwrap_or(EVENT_BYTES).max(1);
    if memory.limit == 0 {
        let fix = "CONFIG SET maxmemory to what the machine can spare, and the same in redis.conf";
        let found = "no maxmemory: a backlog ends with the kernel killing redis-server";
        return check.warn(found, fix);
    }
    let usable = memory.limit / 100 * MEMORY_USED_MAX;
    let room = usable.saturating_sub(memory.used);
    let minute = event_bytes.saturating_mul(rate.get()).saturating_mul(60);
    let minutes = room / minute;
    let found = format!(
        "{} of {} used; room for {minutes} minutes of backlog at {rate} events/s of {event_bytes} \
         bytes",
        mib(memory.used),
        mib(memory.limit)
    );
    let wanted = minute.saturating_mul(BACKLOG_MINUTES_MIN);
    let wanted = (memory.used.saturating_add(wanted) / MEMORY_USED_MAX).saturating_mul(100);
    let wanted_mib = wanted.div_ceil(1 << 20);
    let fix = format!("CONFIG SET maxmemory {wanted_mib}mb or more");
    if room == 0 {
        check.fail(found, format!("see that processors run; {fix}"))
    } else if minutes < BACKLOG_MINUTES_MIN {
        check.warn(found, fix)
    } else {
        check.pass(found)
    }
}

fn disk(check: Check, disk: Option<Disk>) -> Finding {
    let fix = "free or add disk space: a full disk stops every write";
    let Some(Disk { free, total }) = disk else {
        return check.unknown("the disk cannot be seen from here", "");
    };
    let percent = free.saturating_mul(100) / total.max(1);
    let found = format!("{} of {} free", mib(free), mib(total));
    if percent < DISK_FREE.1 {
        check.fail(found, fix)
    } else if percent < DISK_FREE.0 {
        check.warn(found, fix)
    } else {
        check.pass(found)
    }
}

fn clock(check: Check, ahead_ms: i64) -> Finding {
    let apart = ahead_ms.unsigned_abs();
    let found = format!("{ahead_ms} ms ahead of this machine");
    let fix = "run a time service (chrony, systemd-timesyncd) on all machines";
    if apart >= CLOCK_MS.1 {
        check.fail(found, fix)
    } else if apart >= CLOCK_MS.0 {
        check.warn(found, fix)
    } else {
        check.pass("agrees with this machine's")
    }
}

fn redis_identity(found: Option<&str>, own: u32) -> Finding {
    let stored = found.map(|text| u32::from_str_radix(text, 16));
    match stored.transpose() {
        Ok(stored) => identity(Check::RedisIdentity, stored, own),
        Err(_) => Check::RedisIdentity.fail(
            format!("{:?} is no fingerprint", found.unwrap_or_default()),
            "another program uses this redis.key_prefix: choose another one",
        ),
    }
}

fn identity(check: Check, stored: Option<u32>, own: u32) -> Finding {
    match stored {
        None => check.pass("none yet: the first service writes it"),
        Some(stored) if stored == own => check.pass(format!("{own:08x}")),
        Some(stored) => check.fail(
            format!("{stored:08x} is there, this configuration makes {own:08x}"),
            "set dedupe.identity and storage.salt_bits as they were, or use a new database and \
             redis.key_prefix",
        ),
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests;
