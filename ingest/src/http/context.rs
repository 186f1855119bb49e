//! What requests share.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use evp_shared::clock::Clock;
use evp_shared::event::id::Identity;
use http::HeaderValue;
use tokio::sync::{Notify, mpsc};

use crate::admission::{AdmissionLimits, Load};
use crate::append::submission::Submission;
use crate::config::IngestConfig;
use crate::http::cors::Cors;
use crate::http::door::Door;
use crate::metrics::Metrics;

/// What the request path needs; one for the service.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) door: Door,
    pub(crate) identity: Identity,
    pub(crate) config: IngestConfig,
    pub(crate) load: Load,
    pub(crate) submissions: mpsc::Sender<Submission>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) in_force: Arc<ArcSwap<InForce>>,
    /// Wakes who takes slices of quotas.
    pub(crate) wants_quota: Arc<Notify>,
    pub(crate) durability: HeaderValue,
    pub(crate) clock: Clock,
    /// What rates are measured from.
    pub(crate) started: Instant,
}

/// What is taken over from a changed configuration while ingest runs.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) admission: AdmissionLimits,
    pub(crate) cors: Cors,
}

impl InForce {
    pub(crate) fn of(config: &IngestConfig) -> Self {
        Self {
            admission: config.admission,
            cors: Cors::new(&config.cors_origins),
        }
    }
}

impl Context {
    /// From where on requests are refused.
    pub(crate) fn limits(&self) -> AdmissionLimits {
        self.in_force.load().admission
    }

    /// The time that rates are measured by.
    pub(crate) fn now_ns(&self) -> u64 {
        let since = self.clock.now().saturating_duration_since(self.started);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
