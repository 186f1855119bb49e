//! The numbers under which Redis says what is kept.

use bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::{AccessError, AccessStore};
use crate::store::{META, durable, whole};

/// `_id` in `meta` of the number that versions are taken from.
const ACCESS: &str = "access";

impl AccessStore {
    /// A number above all that were given before, and above `seen` and the clock of MongoDB in
    /// Unix ms: also where MongoDB, Redis or both are restored from an old copy.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(in crate::access) async fn next_version(&self, seen: u64) -> Result<u64, AccessError> {
        let seen = i64::try_from(seen).unwrap_or(i64::MAX);
        let highest = doc! { "$max": ["$version", seen, { "$toLong": "$$NOW" }] };
        let next = doc! { "$set": { "version": { "$add": [highest, 1_i64] } } };
        let meta = durable(&self.database, META);
        let given = meta
            .find_one_and_update(doc! { "_id": ACCESS }, vec![next])
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await?;
        Ok(given.as_ref().and_then(version_in).unwrap_or_default())
    }

    /// The number that was given last; zero for none.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(in crate::access) async fn last_version(&self) -> Result<u64, AccessError> {
        let meta = self.collection(META);
        let given = meta.find_one(doc! { "_id": ACCESS }).await?;
        Ok(given.as_ref().and_then(version_in).unwrap_or_default())
    }
}

fn version_in(given: &Document) -> Option<u64> {
    given.get("version").and_then(whole)
}
