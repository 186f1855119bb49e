//! What every handler works with.

use std::sync::Arc;

use axum::body::Bytes;
use evp_shared::clock::Clock;
use evp_shared::event::id::Identity;
use evp_shared::shutdown::Shutdown;

use crate::admin::Admin;
use crate::admin::keys::Keys;
use crate::analytics::Analytics;
use crate::auth::Door;
use crate::changes::Changes;
use crate::counters::Counters;
use crate::events::Events;
use crate::feed::Feed;
use crate::guard::Site;
use crate::sign_in::members::Members;
use crate::slots::Slots;

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
    pub(crate) shutdown: Shutdown,
    pub(crate) identity: Arc<Identity>,
    pub(crate) door: Door,
    pub(crate) site: Arc<Site>,
    pub(crate) ingest_url: Arc<str>,
    /// `/openapi.json`, which is written above the routes it describes.
    pub(crate) description: Bytes,
    pub(crate) clock: Clock,
}
