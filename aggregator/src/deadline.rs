//! How long the work on one request may take.

use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use evp_shared::redis::is_connected;
use evp_shared::stream::{Stream, StreamError};

use crate::answer::answer;
use crate::auth::Tenant;
use crate::error::QueryError;
use crate::slots::Slots;

/// When the work on one request is to end, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    clock: Clock,
    at: Instant,
    tenant: Tenant,
    /// The connections to MongoDB, where they are shared out.
    connections: Option<Slots>,
}

impl Deadline {
    /// `limit` from now on, for `tenant`, which takes its connections from among `connections`.
    pub(crate) fn after(
        limit: Duration,
        clock: &Clock,
        tenant: &Tenant,
        connections: Option<Slots>,
    ) -> Self {
        Self {
            at: clock.now() + limit,
            clock: clock.clone(),
            tenant: tenant.clone(),
            connections,
        }
    }

    /// Waits for a connection that the tenant may have, and then for an answer, for each no longer than
    /// `limit` and a little: the driver itself has none.
    pub(crate) async fn answer<T, E: Into<QueryError>>(
        &self,
        limit: Duration,
        command: impl IntoFuture<Output = Result<T, E>>,
    ) -> Result<T, QueryError> {
        let _slot = match &self.connections {
            Some(connections) => Some(connections.take(&self.tenant, limit).await?),
            None => None,
        };
        answer(limit, command).await
    }

    /// What is left for one command.
    ///
    /// # Errors
    /// [`QueryError::Timeout`] when that is nothing: mongod reads 0 as no limit.
    pub(crate) fn left(&self) -> Result<Duration, QueryError> {
        let left = self.at.saturating_duration_since(self.clock.now());
        if left < Duration::from_millis(1) {
            return Err(QueryError::Timeout);
        }
        Ok(left)
    }
}

/// Reads Redis only while there is a connection, and not for longer than `limit`.
pub(crate) async fn answer_of_redis<T>(
    stream: &Stream,
    limit: Duration,
    read: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, QueryError> {
    if !is_connected(stream.client()) {
        return Err(StreamError::NotConnected.into());
    }
    match tokio::time::timeout(limit, read).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(QueryError::Counters { source: None }),
    }
}
