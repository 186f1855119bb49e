//! Events out of MongoDB: lists, and one by its id.
//!
//! Every command carries a time limit, and every condition a value of a fixed type: nothing a
//! client sends becomes an operator.

pub mod catalogue;
pub mod cursor;
pub mod filter;
pub mod lookup;
pub mod page;
pub mod plan;
pub mod position;

use std::time::{Duration, Instant};

use bson::RawDocumentBuf;
use evp_shared::clock::Clock;
use evp_shared::store::{DEAD_LETTERS, EVENTS};
use mongodb::{Collection, Database};

use crate::error::QueryError;

/// How much longer than MongoDB's own limit an answer is waited for: the way there and back.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// The events of all tenants; a query is of one.
#[derive(Debug, Clone)]
pub struct Events {
    database: Database,
    events: Collection<RawDocumentBuf>,
    dead_letters: Collection<RawDocumentBuf>,
    catalogues: catalogue::Catalogues,
    clock: Clock,
    time_limit: Duration,
}

impl Events {
    /// Reads from `database`, each request for at most `time_limit`.
    pub fn new(database: Database, clock: Clock, time_limit: Duration) -> Self {
        Self {
            events: database.collection(EVENTS),
            dead_letters: database.collection(DEAD_LETTERS),
            catalogues: catalogue::Catalogues::new(),
            database,
            clock,
            time_limit,
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline {
            at: self.clock.now() + self.time_limit,
            clock: self.clock.clone(),
        }
    }
}

/// When the work on one request is to end.
#[derive(Debug, Clone)]
struct Deadline {
    clock: Clock,
    at: Instant,
}

impl Deadline {
    /// What is left for one command.
    ///
    /// # Errors
    /// [`QueryError::Timeout`] when that is nothing: mongod reads 0 as no limit.
    fn left(&self) -> Result<Duration, QueryError> {
        let left = self.at.saturating_duration_since(self.clock.now());
        if left < Duration::from_millis(1) {
            return Err(QueryError::Timeout);
        }
        Ok(left)
    }
}

/// Waits for an answer no longer than its time limit and a little: the driver itself has none.
pub(crate) async fn answer<T, E: Into<QueryError>>(
    limit: Duration,
    command: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T, QueryError> {
    match tokio::time::timeout(limit + ANSWER_SLACK, command.into_future()).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(QueryError::Store { source: None }),
    }
}
