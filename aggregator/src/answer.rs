//! How long an answer of MongoDB is waited for.

use std::io;
use std::time::Duration;

use mongodb::error::Error as MongoError;
use tokio::time::timeout;

use crate::error::QueryError;

/// How much longer than MongoDB's own limit: the way there and back.
const SLACK: Duration = Duration::from_secs(1);

/// Waits for an answer no longer than its time limit and a little: the driver itself has no bound.
pub(crate) async fn answer<T, E: Into<QueryError>>(
    limit: Duration,
    command: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T, QueryError> {
    match timeout(limit + SLACK, command.into_future()).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(QueryError::Store { source: None }),
    }
}

/// The same, of `work` that has errors of its own.
pub(crate) async fn in_time<T, E: From<MongoError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(limit + SLACK, work).await {
        Ok(answer) => answer,
        Err(late) => Err(MongoError::from(io::Error::from(late)).into()),
    }
}
