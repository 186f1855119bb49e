//! The lease under which spans are sealed, dropped, mended and erased: one of all processors and
//! commands works at a time. By MongoDB's clock, never by the holder's.
//!
//! # Shape
//! `{_id: "lease", holder, until: <date>}` in [`META`](super::META).

use std::time::Duration;

use bson::{Bson, doc};
use mongodb::Database;
use mongodb::error::Error as MongoError;
use mongodb::options::ReturnDocument;

use super::spans::meta;

const LEASE_ID: &str = "lease";

/// Takes the lease for `holder`, or makes it longer: until `time` from now. Says who has it.
///
/// A holder that stands still for longer than `time` may go on when another one has it, until it asks
/// again. So each step that is done under it must be safe to be done late and once more, by guards of
/// its own.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn take(database: &Database, holder: &str, time: Duration) -> Result<String, MongoError> {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let is_free = doc! { "$or": [
        { "$eq": ["$holder", holder] },
        { "$lte": [{ "$ifNull": ["$until", "$$NOW"] }, "$$NOW"] },
    ] };
    let set = |own: Bson, field: &str| doc! { "$cond": [&is_free, own, format!("${field}")] };
    let until = doc! { "$add": ["$$NOW", ms] };
    let take = doc! { "$set": {
        "holder": set(holder.into(), "holder"),
        "until": set(until.into(), "until"),
    } };
    let meta = meta(database);
    let taken = meta.find_one_and_update(doc! { "_id": LEASE_ID }, vec![take]);
    let taken = taken.upsert(true).return_document(ReturnDocument::After);
    let taken = taken.await?;
    let holder = taken
        .as_ref()
        .and_then(|lease| lease.get_str("holder").ok());
    Ok(holder.unwrap_or_default().to_owned())
}

/// Gives the lease back, if `holder` has it.
///
/// # Errors
/// MongoDB's; repeating is harmless, and without it the lease ends by itself.
pub async fn release(database: &Database, holder: &str) -> Result<(), MongoError> {
    let own = doc! { "_id": LEASE_ID, "holder": holder };
    meta(database).delete_one(own).await.map(drop)
}
