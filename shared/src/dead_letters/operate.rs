//! Does what operators ask for, and has it written down.

use bson::doc;

use super::{DeadLetterError, DeadLetters, Filter, Handled, Replay};
use crate::audit::{Action, Actor, Audit, Outcome};

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

    fn action(&self) -> Action {
        Action {
            what: match self.operation {
                Operation::Replay(_) => "dead_letters.replay",
                Operation::Purge => "dead_letters.purge",
                Operation::Expire => "dead_letters.expire",
            },
            tenant: self.filter.tenant.clone(),
            detail: doc! {
                "filter": self.filter.describe(),
                "limit": i64::try_from(self.limit).unwrap_or(i64::MAX),
            },
        }
    }

    fn outcome(&self, handled: &Handled) -> Outcome {
        let count = i64::try_from(handled.done).unwrap_or(i64::MAX);
        Outcome::done(doc! { "count": count, "outcome": self.describe(handled) })
    }
}

impl DeadLetters {
    /// Does what is asked for; what that is is written down before, and what came of it after.
    ///
    /// # Errors
    /// [`DeadLetterError`]; repeating is harmless.
    pub async fn operate(&self, request: &Request) -> Result<Handled, DeadLetterError> {
        let Request { filter, limit, .. } = request;
        let work = async {
            match &request.operation {
                Operation::Replay(replay) => Box::pin(self.replay(filter, *limit, replay)).await,
                Operation::Purge | Operation::Expire => Ok(Handled {
                    done: self.purge(filter, *limit).await?,
                    ..Handled::default()
                }),
            }
        };
        let describe = |handled: &Handled| request.outcome(handled);
        let audit = Audit::new(&self.database);
        let done = audit.around(&request.actor, request.action(), work, describe);
        done.await
    }
}
