//! Who asked for what, and what came of it: written down before it is done, and after.
//!
//! # Shape
//! Collection `audit` of the database [`access`], of which nothing is ever changed: an action is two entries, its beginning and its
//! end, and whoever writes them needs no right to change what stands there.
//!
//! - `{_id: ObjectId, at, who, from, what: "dead_letters.purge", tenant, state: "started", ...}`
//! - `{_id: "<hex of the first one's>.end", at, what, tenant, state: "done" | "incomplete" | "failed", ...}`
//!
//! The rest of both is what was asked for, and what came of it. An action without an end died midway, or
//! is still under way. Builds before wrote one entry, `who: {user, host, pid}`, and changed it at its
//! end (`endedAt`): it is read as the action it is.
//!
//! MongoDB deletes entries 400 days after they were written.

use std::fmt::Display;
use std::time::Duration;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use futures::TryStreamExt as _;
use mongodb::error::Error as MongoError;
use mongodb::{Collection, Database};

use crate::choice::Choice as _;
use crate::store::{AUDIT, access, durable};

/// How long entries are kept.
pub const KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);

/// Who asks, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The operating system's user, the holder of a key, a member, or a part of EVP.
    pub who: String,
    /// The machine, or the address of a client.
    pub from: String,
}

impl Actor {
    /// `who`, on this machine.
    pub fn here(who: String) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            who,
            from: host.trim().to_owned(),
        }
    }

    /// Who runs this process. The kernel says who that is; the environment may say anything.
    pub fn of_process() -> Self {
        let uid = rustix::process::geteuid();
        Self::here(whoami::username().unwrap_or_else(|_| format!("uid {}", uid.as_raw())))
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its name, such as `dead_letters.purge`.
    pub what: &'static str,
    /// Whose data it is about; `None` is nobody's, or everybody's.
    pub tenant: Option<String>,
    /// The particulars, none of which is a secret.
    pub detail: Document,
}

impl Action {
    /// `what` is done to what is `tenant`'s, or to nobody's in particular.
    pub fn of(what: &'static str, tenant: Option<impl ToString>, detail: Document) -> Self {
        Self {
            what,
            tenant: tenant.map(|tenant| tenant.to_string()),
            detail,
        }
    }
}

crate::choices! {
    /// How an action stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum State {
        /// No end of it is known.
        Started = "started",
        /// It was done.
        Done = "done",
        /// It was done in part.
        Incomplete = "incomplete",
        /// It was not done, or not wholly.
        Failed = "failed",
    }
}

/// What came of an action.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub state: State,
    /// The particulars.
    pub detail: Document,
}

impl Outcome {
    /// It was done.
    pub const fn done(detail: Document) -> Self {
        let state = State::Done;
        Self { state, detail }
    }

    /// It was done, and there is no more to say.
    pub fn plain<T>(_: &T) -> Self {
        Self::done(doc! {})
    }
}

/// An action as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is known by.
    pub id: ObjectId,
    /// When it began.
    pub at: DateTime,
    /// Who asked.
    pub who: String,
    /// From where.
    pub from: String,
    /// For what.
    pub what: String,
    /// Whose data it was about.
    pub tenant: Option<String>,
    /// How it stands.
    pub state: State,
    /// When it ended, where that is known.
    pub ended: Option<DateTime>,
    /// The particulars.
    pub detail: Document,
}

/// What is written down, of one database.
#[derive(Debug, Clone)]
pub struct Audit {
    entries: Collection<Document>,
}

impl Audit {
    /// That of the events in `database`.
    pub fn new(database: &Database) -> Self {
        Self {
            entries: durable(&access(database), AUDIT),
        }
    }

    /// Makes the indexes that are missing: one lets entries end, one finds a tenant's.
    ///
    /// # Errors
    /// MongoDB's; repeating is harmless.
    pub async fn prepare(&self, database: &Database) -> Result<(), MongoError> {
        let kept_s = i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX);
        let indexes = [
            doc! { "name": "kept", "key": { "at": 1 }, "expireAfterSeconds": kept_s },
            doc! { "name": "tenant", "key": { "tenant": 1, "_id": -1 } },
        ];
        let create = doc! { "createIndexes": self.entries.name(), "indexes": indexes.to_vec() };
        access(database).run_command(create).await?;
        Ok(())
    }

    /// Does `work`, which `actor` asked for as `action`: nothing of it before that is written down, and
    /// what `describe` says came of it after.
    ///
    /// # Errors
    /// Those of `work`, and MongoDB's, where nothing was done. An end that could not be written down is
    /// logged: what was done is done.
    pub async fn around<T, E>(
        &self,
        actor: &Actor,
        action: Action,
        work: impl Future<Output = Result<T, E>>,
        describe: impl FnOnce(&T) -> Outcome,
    ) -> Result<T, E>
    where
        E: From<MongoError> + Display,
    {
        let id = ObjectId::new();
        let Action { what, tenant, .. } = &action;
        let mut begin = doc! {
            "_id": id,
            "at": DateTime::now(),
            "who": &actor.who,
            "from": &actor.from,
            "what": *what,
            "tenant": tenant,
            "state": State::Started.as_str(),
        };
        begin.extend(action.detail.clone());
        self.entries.insert_one(begin).await?;
        let result = work.await;
        let outcome = match &result {
            Ok(done) => describe(done),
            // Without its cause: the words of a server may repeat a query, and whom it names.
            Err(error) => Outcome {
                state: State::Failed,
                detail: doc! { "outcome": error.to_string() },
            },
        };
        let mut end = doc! {
            "_id": end_of(id),
            "at": DateTime::now(),
            "what": *what,
            "tenant": tenant,
            "state": outcome.state.as_str(),
        };
        end.extend(outcome.detail);
        if let Err(error) = self.entries.insert_one(end).await {
            tracing::error!(%id, what, %error, "what came of an action is not written down");
        }
        result
    }

    /// The newest `limit` actions, of `tenant` or of all, that began before `before`; newest first.
    /// MongoDB may work on each read for `max_time`; zero is no limit.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn page(
        &self,
        tenant: Option<&str>,
        before: Option<ObjectId>,
        limit: u64,
        max_time: Duration,
    ) -> Result<Vec<Entry>, MongoError> {
        // Only beginnings have an id of this type.
        let before = before.unwrap_or_else(|| ObjectId::from_bytes([0xFF; 12]));
        let mut filter = doc! { "_id": { "$lt": before } };
        if let Some(tenant) = tenant {
            filter.insert("tenant", tenant);
        }
        let begun = self.entries.find(filter).sort(doc! { "_id": -1 });
        let begun = begun.limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let begun: Vec<Document> = begun.max_time(max_time).await?.try_collect().await?;
        let ends: Vec<String> = begun.iter().filter_map(id_of).map(end_of).collect();
        let ended = self.entries.find(doc! { "_id": { "$in": ends } });
        let ended: Vec<Document> = ended.max_time(max_time).await?.try_collect().await?;
        let end = |id| {
            let name = end_of(id);
            let is_its = |end: &&Document| end.get_str("_id").is_ok_and(|id| id == name);
            ended.iter().find(is_its).cloned()
        };
        let read = |begin: Document| Entry::read(begin, end);
        Ok(begun.into_iter().filter_map(read).collect())
    }
}

fn id_of(begin: &Document) -> Option<ObjectId> {
    begin.get_object_id("_id").ok()
}

fn end_of(id: ObjectId) -> String {
    format!("{}.end", id.to_hex())
}

impl Entry {
    /// Joins a beginning with its end, if there is one.
    fn read(mut begin: Document, end: impl FnOnce(ObjectId) -> Option<Document>) -> Option<Self> {
        let id = id_of(&begin)?;
        begin.remove("_id");
        let (who, from) = asked_by(begin.remove("who")?, begin.remove("from"))?;
        let at = begin.remove("at")?.as_datetime().copied()?;
        let what = text(begin.remove("what")?)?;
        let tenant = begin.remove("tenant").and_then(text);
        let mut state = state_of(&mut begin);
        let mut ended = begin
            .remove("endedAt")
            .and_then(|at| at.as_datetime().copied());
        let mut detail = begin;
        if let Some(mut end) = end(id) {
            state = state_of(&mut end);
            ended = end.remove("at").and_then(|at| at.as_datetime().copied());
            for said in ["_id", "what", "tenant"] {
                end.remove(said);
            }
            detail.extend(end);
        }
        Some(Self {
            id,
            at,
            who,
            from,
            what,
            tenant,
            state,
            ended,
            detail,
        })
    }
}

fn state_of(entry: &mut Document) -> State {
    let state = entry.remove("state").and_then(text);
    let state = state.and_then(|state| State::named(&state));
    state.unwrap_or(State::Started)
}

fn asked_by(who: Bson, from: Option<Bson>) -> Option<(String, String)> {
    match who {
        Bson::Document(mut who) => {
            let mut part = |name| who.remove(name).and_then(text).unwrap_or_default();
            Some((part("user"), part("host")))
        }
        who => Some((text(who)?, from.and_then(text).unwrap_or_default())),
    }
}

fn text(bson: Bson) -> Option<String> {
    match bson {
        Bson::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime {
        DateTime::from_millis(ms)
    }

    #[test]
    fn the_user_is_who_the_kernel_says_it_is() {
        let id = |what| {
            let said = std::process::Command::new("id").arg(what).output().unwrap();
            String::from_utf8(said.stdout).unwrap().trim().to_owned()
        };
        let name = id("-un");
        let without_name = format!("uid {}", id("-u"));
        let expected = if name.is_empty() { without_name } else { name };
        assert_eq!(Actor::of_process().who, expected);
    }

    #[test]
    fn an_action_is_its_beginning_with_its_end() {
        let id = ObjectId::new();
        let begin = doc! {
            "_id": id, "at": at(1), "who": "jane", "from": "192.0.2.1", "what": "key.revoke",
            "tenant": "acme", "state": "started", "key": "key_1",
        };
        let entry = Entry::read(begin.clone(), |_| None).unwrap();
        assert_eq!((entry.state, entry.ended), (State::Started, None));
        let end = doc! {
            "_id": end_of(id), "at": at(2), "what": "key.revoke", "tenant": "acme",
            "state": "failed", "outcome": "mongodb did not answer",
        };
        let entry = Entry::read(begin, |_| Some(end)).unwrap();
        assert_eq!((entry.state, entry.ended), (State::Failed, Some(at(2))));
        assert_eq!(
            (entry.who.as_str(), entry.from.as_str()),
            ("jane", "192.0.2.1")
        );
        assert_eq!(entry.tenant.as_deref(), Some("acme"));
        let detail = doc! { "key": "key_1", "outcome": "mongodb did not answer" };
        assert_eq!(entry.detail, detail);
    }

    #[test]
    fn an_entry_that_was_changed_at_its_end_is_read() {
        let begin = doc! {
            "_id": ObjectId::new(), "at": at(1), "what": "dead_letters.purge",
            "who": { "user": "jane", "host": "box", "pid": 7_i64 }, "filter": {},
            "state": "done", "count": 2_i64, "endedAt": at(3),
        };
        let entry = Entry::read(begin, |_| None).unwrap();
        assert_eq!((entry.state, entry.ended), (State::Done, Some(at(3))));
        assert_eq!((entry.who.as_str(), entry.from.as_str()), ("jane", "box"));
        assert_eq!(entry.detail, doc! { "filter": {}, "count": 2_i64 });
    }
}
