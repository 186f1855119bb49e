//! Who asked for what, and what came of it.
//!
//! # Shape
//! Collection `audit`: `{_id, at, who: {user, host, pid}, what: "dead_letters.purge", filter: {...},
//! limit, state: "started" | "done" | "failed", count, outcome: "...", endedAt}`. An entry that
//! stays `started` is of an operation that died midway.

use bson::{Bson, DateTime, doc, oid::ObjectId};

use super::{DeadLetterError, DeadLetters, Filter, durable};
use crate::store::AUDIT;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The operating system's user, or the key of an admin request.
    pub user: String,
    /// The machine it was asked on.
    pub host: String,
}

impl Actor {
    /// `user` on this machine.
    pub fn here(user: String) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            user,
            host: host.trim().to_owned(),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Who asks.
    pub actor: &'a Actor,
    /// For what, such as `dead_letters.purge`.
    pub what: &'static str,
    /// Of which dead letters.
    pub filter: &'a Filter,
    /// Of how many at most.
    pub limit: u64,
}

/// An entry that is begun and not ended.
#[derive(Debug)]
#[must_use = "an audit entry is to be ended"]
pub struct Audit(ObjectId);

impl DeadLetters {
    /// Writes down that an operation begins.
    ///
    /// # Errors
    /// MongoDB's: then the operation must not begin.
    pub async fn begin_audit(&self, request: &Request<'_>) -> Result<Audit, DeadLetterError> {
        let id = ObjectId::new();
        let entry = doc! {
            "_id": id,
            "at": DateTime::now(),
            "who": {
                "user": &request.actor.user,
                "host": &request.actor.host,
                "pid": i64::from(std::process::id()),
            },
            "what": request.what,
            "filter": request.filter.describe(),
            "limit": i64::try_from(request.limit).unwrap_or(i64::MAX),
            "state": "started",
        };
        durable(&self.database, AUDIT).insert_one(entry).await?;
        Ok(Audit(id))
    }

    /// Writes down what came of it: letters handled and an outcome in words, or why it failed.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn end_audit(
        &self,
        audit: Audit,
        outcome: Result<(u64, String), String>,
    ) -> Result<(), DeadLetterError> {
        let (state, count, outcome) = match outcome {
            Ok((count, words)) => {
                let count = Bson::Int64(i64::try_from(count).unwrap_or(i64::MAX));
                ("done", count, words)
            }
            Err(words) => ("failed", Bson::Null, words),
        };
        let end = doc! { "$set": {
            "state": state, "count": count, "outcome": outcome, "endedAt": DateTime::now(),
        } };
        let entries = durable(&self.database, AUDIT);
        entries.update_one(doc! { "_id": audit.0 }, end).await?;
        Ok(())
    }
}
