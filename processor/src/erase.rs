//! Erase: takes a person out of everything that EVP keeps, and leaves the counts as they are.
//!
//! What goes: the events in all spans, dead letters, all entries that are kept for live readers, and
//! the names in sketches of top users. What stays: counts, receipts (with what was erased of each
//! frame, [`crate::store::erasure`]), unique users, which name nobody, and what waits on the stream,
//! which is stored and counted when its turn comes. Everything may be repeated.
//!
//! An `_id` that was erased is free: sent again, the event is a new one.

mod events;

use std::time::Duration;

use bson::doc;
use evp_shared::audit::{Action, Actor, Audit, Outcome, State};
use evp_shared::clock::Clock;
use evp_shared::dead_letters::{DeadLetterError, DeadLetters};
use evp_shared::document::user_bucket;
use evp_shared::stream::{Stream, StreamError};
use mongodb::Database;
use mongodb::error::Error as MongoError;

use crate::store::erasure::ErasureError;
use crate::store::lease::{LeaseError, under};

/// How long processors take to begin their sketches anew: they look every second.
const PROCESSORS_LEARN: Duration = Duration::from_secs(3);

/// Why it was not done, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// MongoDB.
    #[error("mongodb failed")]
    Mongo(#[from] MongoError),
    /// Redis.
    #[error("redis failed")]
    Redis(#[from] StreamError),
    /// The dead letters.
    #[error("dead letters not erased")]
    DeadLetters(#[from] DeadLetterError),
    /// The events.
    #[error("events not erased")]
    Events(#[from] ErasureError),
    /// Another one works on the spans.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

/// Who is erased.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Whose events.
    pub tenant: String,
    /// As `userId` names the person.
    pub user: String,
}

impl std::fmt::Debug for Person {
    /// Names nobody: it may be logged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hash())
    }
}

impl Person {
    /// What the audit entry says instead of the name: whoever knows it can find the entry.
    pub fn hash(&self) -> String {
        let parts = [self.tenant.as_bytes(), &[0x1F], self.user.as_bytes()];
        blake3::hash(&parts.concat()).to_string()
    }

    /// Which events are that person's. The bucket is for the index of spans that are not sealed.
    fn filter(&self) -> bson::Document {
        let (tenant, user) = (&self.tenant, &self.user);
        doc! { "u": user_bucket(tenant, user), "tenant": tenant, "userId": user }
    }
}

/// What there is of a person, or what was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Events.
    pub events: u64,
    /// Events whose frame has no receipt yet: they are left.
    pub unsettled: u64,
    /// Dead letters.
    pub letters: u64,
    /// Dead letters that do not decode: nobody can say whose they are.
    pub unknown_letters: u64,
    /// Entries kept for live readers, whosever they are.
    pub kept_entries: u64,
    /// Sketches of top users that name the person.
    pub sketches: u64,
    /// Events that wait on the stream, whosever they are; of an erasure, how many did when it began
    /// or when it ended, whichever were more.
    pub backlog_events: u64,
}

impl Found {
    /// Whether nothing is known to be left.
    pub fn is_everything(&self) -> bool {
        self.unsettled == 0 && self.unknown_letters == 0 && self.backlog_events == 0
    }

    fn outcome(&self) -> Outcome {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Outcome {
            state: if self.is_everything() {
                State::Done
            } else {
                State::Incomplete
            },
            detail: doc! {
                "count": number(self.events),
                "deadLetters": number(self.letters),
                "left": number(self.unsettled + self.unknown_letters),
                "waiting": number(self.backlog_events),
            },
        }
    }
}

/// Erases one person.
#[derive(Debug)]
pub struct Eraser {
    /// Where events and dead letters are.
    pub database: Database,
    /// Where entries and sketches are.
    pub stream: Stream,
    /// Who.
    pub person: Person,
}

impl Eraser {
    /// What there is; nothing is changed.
    ///
    /// # Errors
    /// [`EraseError`].
    pub async fn count(&self) -> Result<Found, EraseError> {
        let mut found = Found {
            events: events::count(&self.database, &self.person).await?,
            ..Found::default()
        };
        for partition in 0..self.stream.partitions() {
            found.kept_entries += self.stream.kept_entries(partition).await?;
        }
        found.backlog_events = self.backlog().await?;
        self.rest(&mut found, false).await?;
        Ok(found)
    }

    /// Erases; what is done is written down before, and what came of it after.
    ///
    /// # Errors
    /// [`EraseError`]; to be repeated.
    pub async fn erase(&self, actor: &Actor) -> Result<Found, EraseError> {
        let action = Action {
            what: "erase",
            tenant: Some(self.person.tenant.clone()),
            detail: doc! { "person": self.person.hash() },
        };
        let work = async {
            match under(&self.database, "erase", Box::pin(self.erase_all())).await {
                Ok(result) => result,
                Err(error) => Err(error.into()),
            }
        };
        let audit = Audit::new(&self.database);
        audit.around(actor, action, work, Found::outcome).await
    }

    /// From the store to its readers: what leaves the stream meanwhile is found in neither.
    async fn erase_all(&self) -> Result<Found, EraseError> {
        let mut found = Found::default();
        self.stream.begin_sketches_anew().await?;
        let begun = Clock::system().now();
        // What waits now may be stored where has been looked already, and wait no more at the end.
        let waiting = self.backlog().await?;
        events::erase(&self.database, &self.person, &mut found).await?;
        for partition in 0..self.stream.partitions() {
            found.kept_entries += self.stream.empty_kept_window(partition).await?;
        }
        if self.is_processed().await? {
            let waited = Clock::system().now() - begun;
            tokio::time::sleep(PROCESSORS_LEARN.saturating_sub(waited)).await;
        }
        self.rest(&mut found, true).await?;
        found.backlog_events = waiting.max(self.backlog().await?);
        Ok(found)
    }

    /// Whether a processor may be running.
    async fn is_processed(&self) -> Result<bool, StreamError> {
        for partition in 0..self.stream.partitions() {
            if !self.stream.look(partition).await?.consumers.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn rest(&self, found: &mut Found, erases: bool) -> Result<(), EraseError> {
        let Person { tenant, user } = &self.person;
        let letters = DeadLetters::new(self.database.clone(), Duration::ZERO);
        let letters = letters.of_person(tenant, user, erases).await?;
        (found.letters, found.unknown_letters) = (letters.letters, letters.unknown);
        found.sketches = self.stream.top_users_naming(tenant, user, erases).await?;
        Ok(())
    }

    /// Events that wait on the stream.
    async fn backlog(&self) -> Result<u64, StreamError> {
        let mut events = 0;
        for partition in 0..self.stream.partitions() {
            let backlog = self.stream.totals(partition).await?.backlog_events();
            events += u64::try_from(backlog).unwrap_or(0);
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_not_named_where_it_is_logged() {
        let person = Person {
            tenant: "t".to_owned(),
            user: "jane".to_owned(),
        };
        let shown = format!("{person:?}");
        assert!(!shown.contains("jane") && shown.len() == 64, "{shown}");
    }
}
