//! What rounds remember, in MongoDB: a restart, or another processor, goes on with it.
//!
//! # Shape
//! In `meta`: `{_id: "house", asked: <ms>, ending: {...}, sizes: {events_2013: {...}}, backup: <ms>}`.
//! `asked` is written by those who drop by hand, and only rises, `backup` by those who made one.

use bson::{Bson, Document, doc};
use evp_shared::store::spans::meta;
use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::error::Error as MongoError;

use super::ending::Ending;
use super::sealing::Sizes;

const HOUSE_ID: &str = "house";

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Up to which Unix ms events end because somebody said so.
    pub asked_ms: u64,
    /// Of which moment the last backup is, Unix ms; 0 for none.
    pub backup_ms: u64,
    /// How far dropping is.
    pub ending: Ending,
    /// Sizes of what waits for being sealed.
    pub sizes: Sizes,
}

impl Memory {
    /// Reads it. What cannot be read is as if it had never been: every wait begins anew.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn read(database: &Database) -> Result<Self, MongoError> {
        let found = meta(database).find_one(doc! { "_id": HOUSE_ID }).await?;
        let found = found.unwrap_or_default();
        let time = |name| u64::try_from(found.get_i64(name).unwrap_or(0)).unwrap_or(0);
        Ok(Self {
            asked_ms: time("asked"),
            backup_ms: time("backup"),
            ending: part(&found, "ending"),
            sizes: part(&found, "sizes"),
        })
    }

    /// Writes it, but for what is asked by hand.
    ///
    /// # Errors
    /// MongoDB's; repeating is harmless.
    pub async fn write(&self, database: &Database) -> Result<(), MongoError> {
        let ending = bson::serialize_to_bson(&self.ending).unwrap_or(Bson::Null);
        let sizes = bson::serialize_to_bson(&self.sizes).unwrap_or(Bson::Null);
        let set = doc! { "$set": { "ending": ending, "sizes": sizes } };
        let meta = meta(database);
        let update = meta.update_one(doc! { "_id": HOUSE_ID }, set);
        update.upsert(true).await.map(drop)
    }
}

fn part<T: serde::de::DeserializeOwned + Default>(found: &Document, name: &str) -> T {
    let part = found.get(name).cloned().unwrap_or(Bson::Null);
    bson::deserialize_from_bson(part).unwrap_or_default()
}

/// Lets events end up to `to_ms`, by hand.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn ask_to_end(database: &Database, to_ms: u64) -> Result<(), MongoError> {
    update(database, "$max", doc! { "asked": number(to_ms) }).await
}

/// Notes that the last backup is of `at_ms`.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn note_backup(database: &Database, at_ms: u64) -> Result<(), MongoError> {
    update(database, "$set", doc! { "backup": number(at_ms) }).await
}

async fn update(database: &Database, how: &str, what: Document) -> Result<(), MongoError> {
    let meta = meta(database);
    let update = meta.update_one(doc! { "_id": HOUSE_ID }, doc! { how: what });
    update.upsert(true).await.map(drop)
}

fn number(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Unix ms by the primary's clock.
///
/// # Errors
/// MongoDB's.
pub async fn now_ms(database: &Database) -> Result<u64, MongoError> {
    let asked = database.aggregate([doc! { "$documents": [{ "now": "$$NOW" }] }]);
    let answer: Option<Document> = asked.await?.try_next().await?;
    let now = answer.and_then(|answer| answer.get_datetime("now").ok().copied());
    let now = now.and_then(|now| u64::try_from(now.timestamp_millis()).ok());
    now.ok_or_else(|| MongoError::custom("no time in the answer"))
}
