//! Events out of MongoDB: lists, and one by its id.
//!
//! They lie in spans, each a collection with a row that says what it holds and by which indexes
//! ([`evp_shared::store::spans`]). A page reads all rows, then the spans that its events may lie in,
//! and merges what they give.
//!
//! Every command carries a time limit, and every condition a value of a fixed type: nothing a
//! client sends becomes an operator.

mod catalogue;
pub mod cursor;
mod draft;
pub mod filter;
mod list;
pub mod lookup;
mod merge;
pub mod page;
mod pieces;
pub mod plan;
pub mod position;
mod reader;
mod salts;
mod scan;
mod walk;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bson::RawDocumentBuf;
use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::Calendar;
use evp_shared::store::{Row, StoreError, spans};
use mongodb::{Collection, Database};

use self::catalogue::Types;
use crate::auth::Tenant;
use crate::cache::Cache;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::slots::Slots;

/// The events of all tenants; a query is of one.
#[derive(Debug, Clone)]
pub struct Events {
    database: Database,
    identity: IdentityConfig,
    /// It never changes once there is one.
    calendar: Arc<OnceLock<Calendar>>,
    types: Cache<(Tenant, String), Types>,
    clock: Clock,
    time_limit: Duration,
    connections: Option<Slots>,
}

impl Events {
    /// Reads from `database`, whose ids are made as `identity` says, each request for at most
    /// `time_limit`.
    pub fn new(
        database: &Database,
        identity: IdentityConfig,
        clock: Clock,
        time_limit: Duration,
    ) -> Self {
        Self {
            database: database.clone(),
            identity,
            calendar: Arc::default(),
            types: catalogue::cache(),
            clock,
            time_limit,
            connections: None,
        }
    }

    /// Has each tenant take its connections from among `connections`.
    #[must_use]
    pub fn among(self, connections: Slots) -> Self {
        Self {
            connections: Some(connections),
            ..self
        }
    }

    fn deadline(&self, tenant: &Tenant) -> Deadline {
        let connections = self.connections.clone();
        Deadline::after(self.time_limit, &self.clock, tenant, connections)
    }

    /// The events of the span that is called `name`.
    fn span(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }

    /// How time is cut into spans; `None` as long as nothing was stored.
    async fn calendar(&self, deadline: &Deadline) -> Result<Option<Calendar>, QueryError> {
        if let Some(calendar) = self.calendar.get() {
            return Ok(Some(*calendar));
        }
        let limit = deadline.left()?;
        let stored = spans::stored_calendar(&self.database, limit);
        let stored = async { stored.await.map_err(unreadable) };
        let stored = deadline.answer(limit, stored).await?;
        Ok(stored.map(|stored| *self.calendar.get_or_init(|| stored)))
    }

    /// The rows of all spans.
    async fn rows(&self, deadline: &Deadline) -> Result<Vec<Row>, QueryError> {
        let limit = deadline.left()?;
        let rows = spans::rows(&self.database, limit);
        deadline.answer(limit, rows).await
    }
}

fn unreadable(error: StoreError) -> QueryError {
    match error {
        StoreError::Mongo(error) => error.into(),
        error => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "events cannot be read"
            );
            QueryError::Store { source: None }
        }
    }
}
