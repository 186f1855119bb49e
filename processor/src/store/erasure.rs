//! Erasing stored events so that receipts and events agree again, whenever it is interrupted.
//!
//! Events go in batches. What is about to go is written down first; then each receipt of it is
//! given what goes of its frame, once, as it keeps the last batch that it was given; then the events
//! go, then the note. Whoever comes next finishes a batch that is noted, before anything else: only
//! one works at a time, under the lease.
//!
//! One who stood still until the lease was another's may still go on with a batch, or begin one, which
//! that one has finished. So only events are noted in receipts that are there, and are found there
//! after the receipts were read: while a batch is noted no other is begun, and its own events go after
//! all receipts were given it. What changes in between, the guard of the update tells by `gb`.
//!
//! # Shape
//! In `meta`: `{_id: "erasing", batch, from: <collection>, events: [[<canonical id>, <frame id>,
//! tenant, type], ...]}`, a frame id `null` where the document names none. In a receipt `g`, rows as in
//! `n`, of what was erased, and `gb`, the batch that changed it last.

use std::collections::{BTreeMap, HashMap};

use bson::{Bson, Document, bson, doc, oid::ObjectId};
use evp_shared::store::{RECEIPTS, spans};
use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::error::Error as MongoError;

const ERASING_ID: &str = "erasing";

/// Why events were not erased.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// MongoDB.
    #[error("mongodb failed")]
    Mongo(#[from] MongoError),
    /// MongoDB did not write what it was asked to.
    #[error("mongodb did not write: {found}")]
    NotWritten {
        /// Its words.
        found: String,
    },
    /// The note of what is being erased cannot be read.
    #[error(
        "the note of an erasure that was interrupted (_id {ERASING_ID:?} in meta) cannot be read"
    )]
    Unreadable,
}

/// An event that is to go.
#[derive(Debug, Clone, PartialEq)]
pub struct Doomed {
    /// Its `_id`.
    pub id: Bson,
    /// The frame that stored it; `None` where a change by hand left none.
    pub frame: Option<ObjectId>,
    /// Whose, and of which type.
    pub kind: (String, String),
}

impl Doomed {
    /// What [`Self::of`] needs of a document.
    pub fn fields() -> Document {
        doc! { "f": 1, "tenant": 1, "eventType": 1 }
    }

    /// What is to go of `document`.
    pub fn of(document: &Document) -> Option<Self> {
        let text = |name| document.get_str(name).unwrap_or_default().to_owned();
        Some(Self {
            id: document.get("_id")?.clone(),
            frame: document.get_object_id("f").ok(),
            kind: (text("tenant"), text("eventType")),
        })
    }

    fn noted(&self) -> Bson {
        let (tenant, kind) = &self.kind;
        bson!([self.id.clone(), self.frame, tenant.as_str(), kind.as_str()])
    }

    fn parse(noted: &Bson) -> Option<Self> {
        let [id, frame, tenant, kind] = noted.as_array()?.as_slice() else {
            return None;
        };
        Some(Self {
            id: id.clone(),
            frame: frame.as_object_id(),
            kind: (tenant.as_str()?.to_owned(), kind.as_str()?.to_owned()),
        })
    }
}

/// Whether a batch is noted that is not finished.
///
/// # Errors
/// MongoDB's.
pub async fn is_interrupted(database: &Database) -> Result<bool, MongoError> {
    let meta = spans::meta(database);
    let noted = meta.find_one(doc! { "_id": ERASING_ID }).await?;
    Ok(noted.is_some())
}

/// Finishes the batch that is noted, if any; returns how many events it erased.
///
/// # Errors
/// [`ErasureError`]; to be repeated.
pub async fn finish(database: &Database) -> Result<u64, ErasureError> {
    let meta = spans::meta(database);
    let Some(noted) = meta.find_one(doc! { "_id": ERASING_ID }).await? else {
        return Ok(0);
    };
    let unreadable = |_| ErasureError::Unreadable;
    let batch = noted.get_object_id("batch").map_err(unreadable)?;
    let from = noted.get_str("from").map_err(unreadable)?;
    let events = noted.get_array("events").map_err(unreadable)?.iter();
    let events: Option<Vec<Doomed>> = events.map(Doomed::parse).collect();
    let events = events.ok_or(ErasureError::Unreadable)?;
    note_in_receipts(database, batch, from, &events).await?;
    let gone = delete(database, from, &events).await?;
    meta.delete_one(doc! { "_id": ERASING_ID, "batch": batch })
        .await?;
    Ok(gone)
}

/// Erases those of `events`, which lie in the collection `from`, whose frame has its receipt, or
/// that have no frame; returns how many they were. The others are not done with yet: what becomes of
/// them is written down in a moment, and must not be without them. No batch may be noted.
///
/// # Errors
/// [`ErasureError`]; then [`finish`] comes first.
pub async fn erase(
    database: &Database,
    from: &str,
    mut events: Vec<Doomed>,
) -> Result<u64, ErasureError> {
    let receipts = receipts_of(database, &events).await?;
    events.retain(|event| {
        event
            .frame
            .is_none_or(|frame| receipts.contains_key(&frame))
    });
    if events.is_empty() {
        return Ok(0);
    }
    let noted: Vec<Bson> = events.iter().map(Doomed::noted).collect();
    let note = doc! {
        "_id": ERASING_ID, "batch": ObjectId::new(), "from": from, "events": noted,
    };
    spans::meta(database).insert_one(note).await?;
    finish(database).await
}

/// The receipts of the frames of `events`.
async fn receipts_of(
    database: &Database,
    events: &[Doomed],
) -> Result<HashMap<ObjectId, Document>, MongoError> {
    let mut frames: Vec<ObjectId> = events.iter().filter_map(|event| event.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let receipts = database.collection::<Document>(RECEIPTS);
    let found = receipts.find(doc! { "_id": { "$in": frames } });
    let found = found.projection(doc! { "g": 1, "gb": 1 }).await?;
    let with_id = |receipt: Document| async move {
        let id = receipt.get_object_id("_id").ok();
        Ok(id.map(|id| (id, receipt)))
    };
    found.try_filter_map(with_id).try_collect().await
}

/// Adds what goes of each frame to its receipt, unless this batch has done it.
async fn note_in_receipts(
    database: &Database,
    batch: ObjectId,
    from: &str,
    events: &[Doomed],
) -> Result<(), ErasureError> {
    let receipts = receipts_of(database, events).await?;
    let events = those_there(database, from, events).await?;
    let mut gone: BTreeMap<ObjectId, BTreeMap<&(String, String), i64>> = BTreeMap::new();
    for event in &events {
        if let Some(frame) = event.frame {
            *gone
                .entry(frame)
                .or_default()
                .entry(&event.kind)
                .or_default() += 1;
        }
    }
    let mut updates = Vec::new();
    for (frame, rows) in gone {
        let Some(receipt) = receipts.get(&frame) else {
            continue;
        };
        let last = receipt.get_object_id("gb").ok();
        if last != Some(batch) {
            let rows = with(receipt, rows);
            updates.push(doc! {
                "q": { "_id": frame, "gb": last },
                "u": { "$set": { "g": rows, "gb": batch } },
            });
        }
    }
    let due = updates.len();
    if due == 0 {
        return Ok(());
    }
    let reply = write(database, doc! { "update": RECEIPTS, "updates": updates }).await?;
    if reply
        .get_i32("n")
        .ok()
        .and_then(|n| usize::try_from(n).ok())
        == Some(due)
    {
        Ok(())
    } else {
        let found = reply.to_string();
        Err(ErasureError::NotWritten { found })
    }
}

/// Those of `events` that are in the collection `from`, each as its frame stored it.
async fn those_there(
    database: &Database,
    from: &str,
    events: &[Doomed],
) -> Result<Vec<Doomed>, MongoError> {
    let ids: Vec<&Bson> = events.iter().map(|event| &event.id).collect();
    let found = database.collection::<Document>(from);
    let found = found.find(doc! { "_id": { "$in": ids } });
    let found = found.projection(Doomed::fields()).await?;
    let found = found.map_ok(|document| Doomed::of(&document));
    let is_meant = |event: Option<Doomed>| event.filter(|event| events.contains(event));
    found
        .try_filter_map(|event| std::future::ready(Ok(is_meant(event))))
        .try_collect()
        .await
}

/// The rows `g` of `receipt`, and `more`.
fn with(receipt: &Document, more: BTreeMap<&(String, String), i64>) -> Vec<Bson> {
    let erased = receipt.get_array("g").cloned().unwrap_or_default();
    let mut rows = erased;
    for ((tenant, kind), count) in more {
        let is_its = |row: &&mut Bson| {
            let row = row.as_array().map(Vec::as_slice).unwrap_or_default();
            matches!(row, [Bson::String(t), Bson::String(k), Bson::Int64(_)] if t == tenant && k == kind)
        };
        let known = rows.iter_mut().find(is_its);
        let known = known
            .and_then(Bson::as_array_mut)
            .and_then(|row| row.get_mut(2));
        match known {
            Some(Bson::Int64(known)) => *known += count,
            _ => rows.push(bson!([tenant.as_str(), kind.as_str(), count])),
        }
    }
    rows
}

/// Deletes `events`, each only as its frame stored it: under the same id another one may have come.
async fn delete(database: &Database, from: &str, events: &[Doomed]) -> Result<u64, ErasureError> {
    let delete = |event: &Doomed| {
        let mut query = doc! { "_id": event.id.clone() };
        query.extend(event.frame.map(|frame| ("f".to_owned(), frame.into())));
        doc! { "q": query, "limit": 1 }
    };
    let deletes: Vec<Document> = events.iter().map(delete).collect();
    let reply = write(database, doc! { "delete": from, "deletes": deletes }).await?;
    Ok(reply
        .get_i32("n")
        .ok()
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0))
}

/// Runs a command that writes, which a fail-over cannot undo.
async fn write(database: &Database, mut command: Document) -> Result<Document, ErasureError> {
    command.extend(doc! { "ordered": false, "writeConcern": { "w": "majority", "j": true } });
    let reply = database.run_command(command).await?;
    for fault in ["writeErrors", "writeConcernError"] {
        if let Some(found) = reply.get(fault) {
            let found = found.to_string();
            return Err(ErasureError::NotWritten { found });
        }
    }
    Ok(reply)
}
