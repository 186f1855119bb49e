//! What every handler works with.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use evp_shared::clock::Clock;
use evp_shared::event::id::Identity;
use evp_shared::shutdown::Shutdown;

use crate::admin::Admin;
use crate::admin::keys::Keys;
use crate::analytics::Analytics;
use crate::auth::{Door, Tenant};
use crate::changes::Changes;
use crate::counters::Counters;
use crate::error::QueryError;
use crate::events::Events;
use crate::feed::Feed;
use crate::guard::Site;
use crate::sign_in::members::Members;
use crate::slots::{Slot, Slots};

/// Exports under way at the same time: each keeps MongoDB at work for as long as its client reads.
pub(crate) const EXPORTS_AT_ONCE: usize = 4;

/// What every handler works with; each has a clone.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) counters: Arc<Counters>,
    pub(crate) events: Arc<Events>,
    pub(crate) analytics: Analytics,
    pub(crate) feed: Arc<Feed>,
    pub(crate) admin: Arc<Admin>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) members: Members,
    pub(crate) changes: Changes,
    pub(crate) exports: Slots,
    /// Those to MongoDB.
    pub(crate) connections: Slots,
    /// How long one is waited for.
    pub(crate) patience: Duration,
    pub(crate) shutdown: Shutdown,
    pub(crate) identity: Arc<Identity>,
    pub(crate) door: Door,
    pub(crate) site: Arc<Site>,
    pub(crate) ingest_url: Arc<str>,
    /// `/openapi.json`, which is written above the routes it describes.
    pub(crate) description: Bytes,
    pub(crate) clock: Clock,
}

impl App {
    /// Takes a connection to MongoDB out of the part of `tenant`, until it is dropped; an operator needs
    /// none.
    ///
    /// # Errors
    /// As [`Slots::take`].
    pub(crate) async fn connection(
        &self,
        tenant: Option<Tenant>,
    ) -> Result<Option<Slot>, QueryError> {
        self.connections.part(tenant, self.patience).await
    }
}
