//! Gathering the facts.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use evp_shared::clock::Clock;
use evp_shared::event::span::Span;
use evp_shared::keys::Keys;
use evp_shared::redis::{ServerFacts, text_at};
use evp_shared::store::{META, Row, code_of, spans, stored_fingerprint};
use evp_shared::stream::Stream;
use mongodb::Database;
use mongodb::error::Error as MongoError;

use crate::config::ProcessorConfig;

/// Room on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Not used yet.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// What is known of Redis.
#[derive(Debug, Clone, Default)]
pub struct RedisFacts {
    /// What it says of itself.
    pub server: ServerFacts,
    /// Its disk, when it is on this machine.
    pub disk: Option<Disk>,
    /// How far its clock is ahead of this machine's, in ms.
    pub ahead_ms: i64,
    /// The fingerprint of the identity it was first used under.
    pub identity: Option<String>,
    /// Bytes an event takes in a frame, on average; `None` before the first one.
    pub event_bytes: Option<u64>,
}

/// What is known of MongoDB.
#[derive(Debug, Clone, Default)]
pub struct MongoFacts {
    /// Its version.
    pub version: String,
    /// Name of the replica set.
    pub replica_set: Option<String>,
    /// Members that hold data, and arbiters.
    pub members: (usize, usize),
    /// Whether it is a router of a sharded cluster.
    pub router: bool,
    /// The disk its data is on.
    pub disk: Option<Disk>,
    /// How far its clock is ahead of this machine's, in ms.
    pub ahead_ms: i64,
    /// The fingerprint of the events in it.
    pub identity: Option<u32>,
    /// The collection of the newest span that has a time; the next two are of it.
    pub newest: Option<String>,
    /// Names of its indexes, and whether each is unique.
    pub indexes: Vec<(String, bool)>,
    /// Its shard key.
    pub shard_key: Option<Document>,
    /// Why a majority did not take a journaled write; `None` when it did or was not asked.
    pub write_refused: Option<String>,
}

/// Whether to write as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// One small document, with the write concern of the service.
    Write,
    /// Only read.
    Nothing,
}

/// Asks Redis.
///
/// # Errors
/// Why it does not answer.
pub async fn redis(config: &ProcessorConfig, stream: &Stream) -> anyhow::Result<RedisFacts> {
    let client = stream.client();
    let clock = Clock::system();
    let asked = clock.now_ms();
    let server = ServerFacts::ask(client).await?;
    let keys = Keys::new(config.redis.key_prefix.as_str());
    let identity = text_at(client, keys.identity()).await?;
    let (mut events, mut bytes) = (0, 0);
    for partition in 0..stream.partitions() {
        let totals = stream.totals(partition).await?;
        events += totals.appended_events;
        bytes += totals.appended_bytes;
    }
    let event_bytes = bytes.checked_div(events);
    let local = ["127.0.0.1", "localhost", "[::1]"];
    let url = config.redis.url.expose();
    let is_local = local.iter().any(|host| url.contains(host));
    let disk = server.dir.as_deref().filter(|_| is_local).and_then(disk_of);
    Ok(RedisFacts {
        ahead_ms: ahead(server.now_ms, (asked, clock.now_ms())),
        disk,
        identity,
        event_bytes: event_bytes.and_then(|each| u64::try_from(each).ok()),
        server,
    })
}

/// Asks MongoDB.
///
/// # Errors
/// Why it does not answer.
pub async fn mongo(database: &Database, probe: Probe) -> anyhow::Result<MongoFacts> {
    let clock = Clock::system();
    let asked = clock.now_ms();
    let hello = database.run_command(doc! { "hello": 1 }).await?;
    let answered = clock.now_ms();
    let build = database.run_command(doc! { "buildInfo": 1 }).await?;
    let list = |name: &str| hello.get_array(name).map_or(0, Vec::len);
    let text = |document: &Document, name: &str| document.get_str(name).ok().map(str::to_owned);
    let local_time = hello.get_datetime("localTime").ok();
    let newest = newest_span(database).await?;
    let server_ms = local_time.and_then(|time| u64::try_from(time.timestamp_millis()).ok());
    Ok(MongoFacts {
        version: text(&build, "version").unwrap_or_default(),
        replica_set: text(&hello, "setName"),
        members: (list("hosts") + list("passives"), list("arbiters")),
        router: hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"),
        disk: disk_in(&database.run_command(doc! { "dbStats": 1 }).await?),
        ahead_ms: server_ms.map_or(0, |ms| ahead(ms, (asked, answered))),
        identity: stored_fingerprint(database, Duration::ZERO).await?,
        indexes: match &newest {
            Some(name) => indexes(database, name).await?,
            None => Vec::new(),
        },
        shard_key: match &newest {
            Some(name) => shard_key(database, name).await,
            None => None,
        },
        newest,
        write_refused: match probe {
            Probe::Write => write_refused(database).await?,
            Probe::Nothing => None,
        },
    })
}

/// The collection of the newest span; the undated one has no time.
async fn newest_span(database: &Database) -> Result<Option<String>, MongoError> {
    let rows = spans::rows(database, Duration::ZERO).await?;
    let newest = rows.iter().rev().find(|row| row.span != Span::Undated);
    Ok(newest.map(Row::name))
}

async fn indexes(database: &Database, name: &str) -> Result<Vec<(String, bool)>, MongoError> {
    const NAMESPACE_NOT_FOUND: i32 = 26;
    let reply = match database.run_command(doc! { "listIndexes": name }).await {
        Err(error) if code_of(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
        reply => reply?,
    };
    let cursor = reply.get_document("cursor");
    let first = cursor.and_then(|cursor| cursor.get_array("firstBatch"));
    let index = |index: &Bson| {
        let index = index.as_document()?;
        let unique = index.get_bool("unique").unwrap_or(false);
        Some((index.get_str("name").ok()?.to_owned(), unique))
    };
    Ok(first.into_iter().flatten().filter_map(index).collect())
}

/// The shard key; what a server without routers does not know, or we may not read, is none.
async fn shard_key(database: &Database, name: &str) -> Option<Document> {
    let name = format!("{}.{name}", database.name());
    let config = database.client().database("config");
    let collections = config.collection::<Document>("collections");
    let found = collections.find_one(doc! { "_id": name }).await.ok()??;
    found.get_document("key").ok().cloned()
}

async fn write_refused(database: &Database) -> Result<Option<String>, MongoError> {
    let command = doc! {
        "update": META,
        "updates": [{
            "q": { "_id": "doctor" },
            "u": { "$set": { "at": DateTime::now() } },
            "upsert": true,
        }],
        "writeConcern": { "w": "majority", "j": true, "wtimeout": 5_000 },
    };
    let reply = database.run_command(command).await?;
    let faults = ["writeConcernError", "writeErrors"];
    let fault = faults.iter().find_map(|fault| reply.get(fault));
    Ok(fault.map(ToString::to_string))
}

fn disk_in(stats: &Document) -> Option<Disk> {
    let bytes = |name: &str| match stats.get(name)? {
        Bson::Double(bytes) => format!("{bytes:.0}").parse::<u64>().ok(),
        Bson::Int64(bytes) => u64::try_from(*bytes).ok(),
        Bson::Int32(bytes) => u64::try_from(*bytes).ok(),
        _ => None,
    };
    let (total, used) = (bytes("fsTotalSize")?, bytes("fsUsedSize")?);
    Some(Disk {
        free: total.checked_sub(used)?,
        total,
    })
}

/// The file system of `dir`, and what of it anybody may use.
fn disk_of(dir: &str) -> Option<Disk> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(Disk {
        free: stat.f_bavail * stat.f_frsize,
        total: stat.f_blocks * stat.f_frsize,
    })
}

/// How far a clock that showed `server` between `asked` and `answered` is ahead of that which
/// showed these: 0 where it may have lain between them.
fn ahead(server: u64, (asked, answered): (u64, u64)) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    if server < asked {
        signed(server) - signed(asked)
    } else {
        signed(server.saturating_sub(answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_on_a_disk_is_that_of_its_file_system() {
        let disk = disk_of(".").unwrap();
        assert!(disk.free < disk.total, "{disk:?}");
        // `df` says in KiB, rounded up, how large it is.
        let df = std::process::Command::new("df").args(["-Pk", "."]).output();
        let text = String::from_utf8(df.unwrap().stdout).unwrap();
        let total = text.lines().nth(1).unwrap().split_whitespace().nth(1);
        let total: u64 = total.unwrap().parse().unwrap();
        assert_eq!(disk.total.div_ceil(1_024), total);
        assert_eq!(disk_of("/no/such/directory"), None);
    }

    #[test]
    fn a_clock_is_ahead_only_by_what_the_way_does_not_explain() {
        assert_eq!(ahead(105, (100, 110)), 0);
        assert_eq!(ahead(90, (100, 110)), -10);
        assert_eq!(ahead(130, (100, 110)), 20);
    }
}
