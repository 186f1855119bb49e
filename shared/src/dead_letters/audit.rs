//! Does what operators ask for, and writes down who asked for what, and what came of it.
//!
//! # Shape
//! Collection `audit`: `{_id, at, who: {user, host, pid}, what: "dead_letters.purge", filter: {...},
//! limit, state: "started" | "done" | "failed", count, outcome: "...", endedAt}`. An entry that
//! stays `started` is of an operation that died midway.

use bson::{Bson, DateTime, doc, oid::ObjectId};

use super::{DeadLetterError, DeadLetters, Filter, Handled, Replay};
use crate::service::Chain;
use crate::store::{AUDIT, durable};

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

/// What is done with dead letters.
#[derive(Debug)]
pub enum Operation {
    /// They are put onto the stream again.
    Replay(Replay),
    /// They are deleted.
    Purge,
    /// They are deleted, because their events would be by now.
    Expire,
}

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub actor: Actor,
    /// For what.
    pub operation: Operation,
    /// With which dead letters.
    pub filter: Filter,
    /// With how many at most.
    pub limit: u64,
    /// How many there were before.
    pub matched: u64,
}

impl Request {
    /// What came of it, in words.
    pub fn describe(&self, handled: &Handled) -> String {
        let (matched, done) = (self.matched, handled.done);
        match self.operation {
            Operation::Replay(_) => format!(
                "replayed {done} of {matched} dead letters: {} appended, {} waiting, {} impossible",
                handled.appended, handled.waiting, handled.impossible
            ),
            Operation::Purge => format!("purged {done} of {matched} dead letters"),
            Operation::Expire => format!("expired {done} of {matched} dead letters"),
        }
    }
}

impl DeadLetters {
    /// Does what is asked for; what that is is written down before, and what came of it after.
    ///
    /// # Errors
    /// [`DeadLetterError`]; repeating is harmless.
    pub async fn operate(&self, request: &Request) -> Result<Handled, DeadLetterError> {
        let Request { filter, limit, .. } = request;
        let id = ObjectId::new();
        let entries = durable(&self.database, AUDIT);
        let entry = doc! {
            "_id": id,
            "at": DateTime::now(),
            "who": {
                "user": &request.actor.user,
                "host": &request.actor.host,
                "pid": i64::from(std::process::id()),
            },
            "what": match request.operation {
                Operation::Replay(_) => "dead_letters.replay",
                Operation::Purge => "dead_letters.purge",
                Operation::Expire => "dead_letters.expire",
            },
            "filter": filter.describe(),
            "limit": i64::try_from(*limit).unwrap_or(i64::MAX),
            "state": "started",
        };
        entries.insert_one(entry).await?;
        let result = match &request.operation {
            Operation::Replay(replay) => Box::pin(self.replay(filter, *limit, replay)).await,
            Operation::Purge | Operation::Expire => {
                let done = self.purge(filter, *limit).await;
                done.map(|done| Handled {
                    done,
                    ..Handled::default()
                })
            }
        };
        let (state, count, words) = match &result {
            Ok(handled) => {
                let count = i64::try_from(handled.done).unwrap_or(i64::MAX);
                ("done", count.into(), request.describe(handled))
            }
            Err(error) => ("failed", Bson::Null, Chain(error).to_string()),
        };
        let end = doc! { "$set": {
            "state": state, "count": count, "outcome": words, "endedAt": DateTime::now(),
        } };
        entries.update_one(doc! { "_id": id }, end).await?;
        result
    }
}
