//! Bringing spans to the indexes they are to have: what is to be built one at a time, and never while
//! there is a backlog; what costs no building, many at once.

use std::time::Duration;

use bson::{Bson, Document, doc};
use evp_shared::choice::Choice as _;
use evp_shared::store::spans::{self, create_indexes_of, meta};
use evp_shared::store::{Index, Row, SpanIndex, State, code_of};
use mongodb::Database;
use mongodb::error::Error as MongoError;
use tracing::{error, info, warn};

use super::sealing::{Sizes, Work, has_ended, has_room, is_quiet};
use super::waits::Waits;

const NAMESPACE_NOT_FOUND: i32 = 26;
const INDEX_NOT_FOUND: i32 = 27;

/// After so long without an answer an index is asked for again, which waits for the same build: the
/// connection may lead to a server that is gone.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// So many spans at most are brought to what they are to have without building, in one round.
const UNBUILT_MAX: usize = 100;

/// What decides whether an index is built.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// Where.
    pub database: &'a Database,
    /// What every span is indexed by.
    pub indexes: &'a [Index],
    /// How long to wait for what.
    pub waits: &'a Waits,
    /// Unix ms by MongoDB.
    pub now_ms: u64,
    /// Bytes free on MongoDB's disk; `None` where it does not tell.
    pub free: Option<u64>,
    /// Whether there is no backlog.
    pub is_calm: bool,
}

/// A span and what is to be done with its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its row, as it is.
    pub row: Row,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done next, in this order, and how many of `rows` have no collection. At most the last
/// one builds.
///
/// # Errors
/// MongoDB's.
pub async fn next(
    site: &Site<'_>,
    rows: &[Row],
    sizes: &mut Sizes,
) -> Result<(Vec<Job>, usize), MongoError> {
    let mut missing = 0;
    let mut jobs: Vec<Job> = Vec::new();
    let mut there_of = Vec::new();
    for row in rows {
        let Some(there) = indexes_of(site.database, &row.name()).await? else {
            error!(span = %row.span, "a span has no collection: events of it stay pending");
            missing += 1;
            continue;
        };
        let row = heal(site.database, row, &there).await?;
        let work = Work::of(&row, &there, row.state, site.indexes);
        let found = work.map(|work| Job {
            row: row.clone(),
            work,
        });
        if let Some(found) = found
            && may_begin(site, &found, &jobs).await?
        {
            jobs.push(found);
        }
        there_of.push((row, there));
    }
    sizes.retain(|name, _| rows.iter().any(|row| row.name() == *name));
    for (row, there) in there_of {
        if has_ended(&row, site.now_ms, site.waits).is_err() {
            continue;
        }
        let (name, now_ms) = (row.name(), site.now_ms);
        let events = events_in(site.database, &name).await?;
        let is_quiet = is_quiet(sizes, &name, events, now_ms, site.waits);
        // What is changed already is sealed in another round.
        if !is_quiet || jobs.iter().any(|job| job.row.span == row.span) {
            continue;
        }
        let found = seal(&row, &there, site.indexes);
        if may_begin(site, &found, &jobs).await? {
            jobs.push(found);
        }
    }
    jobs.sort_by_key(Job::builds);
    Ok((jobs, missing))
}

/// What seals `row`, of which MongoDB has the indexes `there`.
pub fn seal(row: &Row, there: &[SpanIndex], indexes: &[Index]) -> Job {
    let nothing = Work {
        state: State::Sealed,
        build: Vec::new(),
        wanted: SpanIndex::wanted(indexes, State::Sealed),
        drop: Vec::new(),
    };
    Job {
        row: row.clone(),
        work: Work::of(row, there, State::Sealed, indexes).unwrap_or(nothing),
    }
}

/// Takes out of a row what is not there any more, so that no list relies on it while it is built.
async fn heal(database: &Database, row: &Row, there: &[SpanIndex]) -> Result<Row, MongoError> {
    let mut healed = row.clone();
    healed.indexes.retain(|index| there.contains(index));
    if healed.indexes != row.indexes {
        warn!(span = %row.span, "an index was dropped by somebody else, and is built again");
        write_row(database, row, row.state, &healed.indexes).await?;
    }
    Ok(healed)
}

/// Whether `job` may be done in the round that does `jobs`.
async fn may_begin(site: &Site<'_>, job: &Job, jobs: &[Job]) -> Result<bool, MongoError> {
    let same = jobs.iter().filter(|other| other.builds() == job.builds());
    if !job.builds() {
        return Ok(same.count() < UNBUILT_MAX);
    }
    if !site.is_calm || same.count() > 0 {
        return Ok(false);
    }
    let events = events_in(site.database, &job.row.name()).await?;
    let is_room = site.free.is_none_or(|free| has_room(events, free));
    if !is_room {
        let span = job.row.span;
        warn!(%span, events, "no room on mongodb's disk to build an index: lower storage.keep");
    }
    Ok(is_room)
}

/// The indexes of the collection `name` that are EVP's, those that are being built among them; `None`
/// where there is no such collection.
///
/// # Errors
/// MongoDB's.
pub async fn indexes_of(
    database: &Database,
    name: &str,
) -> Result<Option<Vec<SpanIndex>>, MongoError> {
    let reply = match database.run_command(doc! { "listIndexes": name }).await {
        Err(error) if code_of(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(None),
        reply => reply?,
    };
    let cursor = reply.get_document("cursor");
    let first = cursor.and_then(|cursor| cursor.get_array("firstBatch"));
    let named = |index: &Bson| SpanIndex::named(index.as_document()?.get_str("name").ok()?);
    Ok(Some(
        first.into_iter().flatten().filter_map(named).collect(),
    ))
}

/// About how many events the collection `name` holds.
///
/// # Errors
/// MongoDB's.
pub async fn events_in(database: &Database, name: &str) -> Result<u64, MongoError> {
    let events = database.collection::<Document>(name);
    events.estimated_document_count().await
}

impl Job {
    /// Does it: builds, then lets the row say so, then drops what is not wanted.
    ///
    /// # Errors
    /// MongoDB's; repeating is harmless.
    ///
    /// # Cancel safety
    /// Safe: mongod goes on with what it has begun, and the next one waits for it.
    pub async fn run(&self, database: &Database) -> Result<(), MongoError> {
        let Self { row, work } = self;
        let name = row.name();
        if self.builds() {
            info!(span = name, build = ?work.build, "indexes are being built");
        }
        // A deadline of seconds would only ask again for what is under way.
        let build = || create_indexes_of(database, row, &work.build);
        loop {
            match tokio::time::timeout(ASK_AGAIN, build()).await {
                Ok(built) => break built?,
                Err(_) => info!(span = name, "an index is still being built"),
            }
        }
        if !write_row(database, row, work.state, &work.wanted).await? {
            info!(
                span = name,
                "another one changed the span, and it is looked at again"
            );
            return Ok(());
        }
        if !work.drop.is_empty() {
            drop_indexes(database, &name, &work.drop).await?;
        }
        let state = work.state.as_str();
        info!(span = name, state, "indexes are as they are to be");
        Ok(())
    }

    /// Whether it builds an index, which takes as long as the span is large.
    pub fn builds(&self) -> bool {
        !self.work.build.is_empty()
    }

    /// Whether a span is sealed by it.
    pub fn is_seal(&self) -> bool {
        self.row.state == State::Hot && self.work.state == State::Sealed
    }
}

/// Writes what `row` becomes; `false` where it is not as it was read any more.
async fn write_row(
    database: &Database,
    row: &Row,
    state: State,
    indexes: &[SpanIndex],
) -> Result<bool, MongoError> {
    let names = |indexes: &[SpanIndex]| -> Vec<&str> {
        indexes.iter().map(|index| index.as_str()).collect()
    };
    let as_read = doc! {
        "_id": row.name(),
        "uuid": row.uuid,
        "state": row.state.as_str(),
        "indexes": names(&row.indexes),
    };
    let set = doc! { "$set": { "state": state.as_str(), "indexes": names(indexes) } };
    let written = meta(database).update_one(as_read, set).await?;
    Ok(written.matched_count > 0)
}

async fn drop_indexes(
    database: &Database,
    name: &str,
    indexes: &[SpanIndex],
) -> Result<(), MongoError> {
    for index in indexes {
        let command = doc! { "dropIndexes": name, "index": index.as_str() };
        match database.run_command(command).await {
            Err(error)
                if matches!(code_of(&error), Some(NAMESPACE_NOT_FOUND | INDEX_NOT_FOUND)) => {}
            other => other.map(drop)?,
        }
    }
    Ok(())
}

/// The row of the span called `name`.
///
/// # Errors
/// MongoDB's.
pub async fn row_named(database: &Database, name: &str) -> Result<Option<Row>, MongoError> {
    let rows = spans::rows(database, Duration::ZERO).await?;
    Ok(rows.into_iter().find(|row| row.name() == name))
}
