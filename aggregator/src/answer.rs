//! How long an answer of MongoDB is waited for.

use std::time::Duration;

use crate::error::QueryError;

/// How much longer than MongoDB's own limit: the way there and back.
const SLACK: Duration = Duration::from_secs(1);

/// Waits for an answer no longer than its time limit and a little: the driver itself has none.
pub(crate) async fn answer<T, E: Into<QueryError>>(
    limit: Duration,
    command: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T, QueryError> {
    match tokio::time::timeout(limit + SLACK, command.into_future()).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(QueryError::Store { source: None }),
    }
}
