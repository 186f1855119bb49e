//! Gathering what is known of the spans.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bson::{Document, doc};
use evp_shared::access::tenants::Learned;
use evp_shared::event::span::SPANS;
use evp_shared::store::{Row, SpanIndex, State, spans, whole};
use evp_shared::stream::{EntryId, Stream};
use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::results::CollectionSpecification;

use crate::store::erasure;
use crate::upkeep::housekeeper::building::indexes_of;
use crate::upkeep::housekeeper::memory::{Memory, now_ms};

/// What is known of the spans.
#[derive(Debug, Clone, Default)]
pub struct SpansFacts {
    /// Each span, and its indexes as MongoDB has them; `None` where it has no collection.
    pub spans: Vec<(Row, Option<Vec<SpanIndex>>)>,
    /// Spans whose collection is another one than their row says.
    pub moved: Vec<String>,
    /// Collections that are named as spans and are none.
    pub strangers: Vec<String>,
    /// Whether a batch of an erasure is noted that is not finished.
    pub is_erasing: bool,
    /// Unix ms by MongoDB.
    pub now_ms: u64,
    /// Bytes of the indexes of the spans that are not sealed.
    pub hot_index_bytes: u64,
    /// Bytes of mongod's cache; `None` where it does not tell.
    pub cache_bytes: Option<u64>,
    /// How many types of each tenant are counted by name.
    pub types: BTreeMap<String, usize>,
    /// Files mongod may have open; `None` where that cannot be seen from here.
    pub open_files: Option<u64>,
    /// The partition and the entry that spans are not dropped before.
    pub held_by: Option<(usize, EntryId)>,
}

/// Asks MongoDB, and Redis for what holds up an end.
///
/// # Errors
/// Why one of them does not answer.
pub async fn gather(stream: &Stream, database: &Database) -> anyhow::Result<SpansFacts> {
    let collections = database.list_collections().await?;
    let collections: Vec<_> = collections.try_collect().await?;
    let rows = spans::rows(database, Duration::ZERO).await?;
    let known: BTreeMap<String, &Row> = rows.iter().map(|row| (row.name(), row)).collect();
    let (mut strangers, mut moved) = (Vec::new(), Vec::new());
    let is_span = |one: &&CollectionSpecification| one.name.starts_with(SPANS.0);
    for one in collections.iter().filter(is_span) {
        let uuid = one.info.uuid.as_ref().and_then(|uuid| uuid.to_uuid().ok());
        match known.get(&one.name) {
            None => strangers.push(one.name.clone()),
            Some(row) if uuid.is_some_and(|uuid| uuid != row.uuid) => moved.push(one.name.clone()),
            Some(_) => {}
        }
    }
    let mut facts = SpansFacts {
        moved,
        strangers,
        is_erasing: erasure::is_interrupted(database).await?,
        now_ms: now_ms(database).await?,
        held_by: held_by(stream, database).await?,
        types: types(stream).await?,
        ..SpansFacts::default()
    };
    for row in rows {
        let there = indexes_of(database, &row.name()).await?;
        if row.state == State::Hot && there.is_some() {
            let stats = database.run_command(doc! { "collStats": row.name() });
            let bytes = stats.await?.get("totalIndexSize").and_then(whole);
            facts.hot_index_bytes += bytes.unwrap_or(0);
        }
        facts.spans.push((row, there));
    }
    // What only a cluster's monitor may ask is not told to all.
    let status = database.run_command(doc! { "serverStatus": 1 }).await;
    let status = status.unwrap_or_default();
    facts.cache_bytes = cache_in(&status);
    facts.open_files = open_files(&status);
    Ok(facts)
}

async fn types(stream: &Stream) -> anyhow::Result<BTreeMap<String, usize>> {
    let tenants = Learned::default().look(stream).await?.unwrap_or_default();
    let tenants = tenants.into_iter().map(|tenant| tenant.id.to_string());
    let mut found = BTreeMap::new();
    for tenant in tenants.chain(["default".to_owned()]) {
        let mut types = HashSet::new();
        for partition in 0..stream.partitions() {
            types.extend(stream.types(partition, &tenant).await?);
        }
        found.insert(tenant, types.len());
    }
    Ok(found)
}

async fn held_by(stream: &Stream, database: &Database) -> anyhow::Result<Option<(usize, EntryId)>> {
    let memory = Memory::read(database).await?;
    let mut oldest = Vec::new();
    for partition in 0..stream.partitions() {
        let found = stream.oldest_uncommitted(partition).await?;
        oldest.push(found.map(|found| found.id));
    }
    Ok(memory.ending.held_by(&oldest))
}

fn cache_in(status: &Document) -> Option<u64> {
    let cache = status.get_document("wiredTiger").ok()?;
    let cache = cache.get_document("cache").ok()?;
    whole(cache.get("maximum bytes configured")?)
}

/// How many files mongod may have open, where it is a process of this machine.
fn open_files(status: &Document) -> Option<u64> {
    let pid = whole(status.get("pid")?)?;
    let of_process = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let is_mongod = of_process("comm")?.trim() == "mongod";
    let limits = of_process("limits").filter(|_| is_mongod)?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
