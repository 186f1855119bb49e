//! Who sends events, and what passes of them.

use std::sync::Arc;

use evp_shared::access::map::{Exceeded, Principal, Unit};
use evp_shared::access::share::Share;
use evp_shared::canary;
use evp_shared::outcome::RejectReason;

/// Whose events these are where nobody is asked who they are.
const DEFAULT_TENANT: &str = "default";

/// Who sends events.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// Whose they are.
    pub(crate) tenant: Arc<str>,
    principal: Option<Arc<Principal>>,
}

impl Sender {
    /// Anybody, where nobody is asked who they are.
    pub(crate) fn anybody() -> Self {
        Self {
            tenant: DEFAULT_TENANT.into(),
            principal: None,
        }
    }

    /// This ingest itself, for its canaries.
    pub(crate) fn canary() -> Self {
        Self {
            tenant: canary::TENANT.into(),
            principal: None,
        }
    }

    /// The holder of a key, for `tenant`.
    pub(crate) fn new(tenant: Arc<str>, principal: Arc<Principal>) -> Self {
        Self {
            tenant,
            principal: Some(principal),
        }
    }

    /// Notes events that are to be appended: what the tenant wants of the load, whether there is room
    /// for it or not.
    pub(crate) fn sends(&self, events: usize, now_ms: u64) {
        if let Some(principal) = &self.principal {
            principal.share().add(events as u64, now_ms / 1_000);
        }
    }

    /// Notes events that were appended.
    pub(crate) fn accepted(&self, events: usize) {
        if let Some(principal) = &self.principal {
            principal.usage().accept(events as u64);
        }
    }

    /// Notes a request, or an event, that was refused.
    pub(crate) fn refused(&self, reason: RejectReason) {
        if let Some(principal) = &self.principal {
            principal.usage().refuse(reason);
        }
    }

    /// Judges whether anything of it passes, at `now` in ns of rates and in Unix ms.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(crate) fn passes(&self, now: (u64, u64)) -> Result<(), Exceeded> {
        self.limited(|principal| principal.passes(now))
    }

    /// Has so much of `unit` pass its rates, at `now_ns`.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(crate) fn take_rate(&self, unit: Unit, units: usize, now_ns: u64) -> Result<(), Exceeded> {
        self.limited(|principal| principal.take_rate(unit, units as u64, now_ns))
    }

    /// Has so many events pass the quota of the day.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(crate) fn take_quota(&self, events: usize, now_ms: u64) -> Result<(), Exceeded> {
        self.limited(|principal| principal.take_quota(events as u64, now_ms))
    }

    /// Gives back what was taken of the day at `taken_ms` for events that were not stored.
    pub(crate) fn give_back(&self, events: usize, taken_ms: u64) {
        if let Some(principal) = &self.principal {
            principal.give_back(events as u64, taken_ms);
        }
    }

    fn limited(
        &self,
        judge: impl FnOnce(&Principal) -> Result<(), Exceeded>,
    ) -> Result<(), Exceeded> {
        self.principal.as_deref().map_or(Ok(()), judge)
    }

    /// What of the load is its tenant's; nothing is told apart where there is one for all.
    pub(crate) fn share(&self) -> Option<&Arc<Share>> {
        self.principal.as_ref().map(|principal| principal.share())
    }

    /// Types of events it may send; all where there are none.
    pub(crate) fn types(&self) -> &[String] {
        let key = self.principal.as_ref().map(|principal| &principal.key);
        key.map_or(&[], |key| &key.types)
    }
}
