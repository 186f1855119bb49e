//! Who a key belongs to: what a service looks up, one hash and one look-up for a request. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::record::{Key, Records, Scope, TenantId, TenantState};
use super::token::{self, KeyHash, KeyKind};
use crate::outcome::RejectReason;

/// Everybody who may come in, as of one version.
#[derive(Debug, Default)]
pub struct AccessMap {
    keys: HashMap<KeyHash, Arc<Principal>>,
    origins: BTreeSet<String>,
}

/// Who asks: a key that is known, with what is known of its tenant.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key: Key,
    /// Whether its tenant's credentials work.
    is_disabled: bool,
}

impl AccessMap {
    /// Builds it. A key of a tenant that is not there is refused as one of a disabled tenant.
    pub fn new(records: Records) -> Self {
        let active: BTreeSet<TenantId> = records
            .tenants
            .into_iter()
            .filter(|tenant| tenant.state == TenantState::Active)
            .map(|tenant| tenant.id)
            .collect();
        let origins = records.keys.iter().flat_map(|key| key.origins.clone());
        let origins = origins.collect();
        let keys = records.keys.into_iter().map(|key| {
            let is_disabled = key.tenant.as_ref().is_some_and(|id| !active.contains(id));
            (key.hash, Arc::new(Principal { key, is_disabled }))
        });
        Self {
            keys: keys.collect(),
            origins,
        }
    }

    /// Finds whose the key `text` is, at `now_ms`.
    ///
    /// # Errors
    /// Why it is refused: one of `malformed_key`, `unknown_key`, `key_revoked`, `key_expired`,
    /// `tenant_disabled`.
    pub fn authenticate(&self, text: &str, now_ms: u64) -> Result<&Arc<Principal>, RejectReason> {
        token::kind_of(text).map_err(|_| RejectReason::MalformedKey)?;
        let found = self.keys.get(&KeyHash::of(text));
        let principal = found.ok_or(RejectReason::UnknownKey)?;
        let has_come = |moment: Option<u64>| moment.is_some_and(|moment| moment <= now_ms);
        if has_come(principal.key.revoked_ms) {
            Err(RejectReason::KeyRevoked)
        } else if has_come(principal.key.expires_ms) {
            Err(RejectReason::KeyExpired)
        } else if principal.is_disabled {
            Err(RejectReason::TenantDisabled)
        } else {
            Ok(principal)
        }
    }

    /// Whether pages of `origin` may use some key: what a preflight is answered by, which carries
    /// none.
    pub fn has_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Principal {
    /// Whose events it may send.
    ///
    /// # Errors
    /// `scope_missing`.
    pub fn writes(&self) -> Result<&TenantId, RejectReason> {
        self.tenant_for(&[Scope::Write])
    }

    /// Whose data it may see.
    ///
    /// # Errors
    /// `scope_missing`.
    pub fn reads(&self) -> Result<&TenantId, RejectReason> {
        self.tenant_for(&[Scope::Read, Scope::Admin])
    }

    /// Whose dead letters, keys and members it may act on.
    ///
    /// # Errors
    /// `scope_missing`.
    pub fn administers(&self) -> Result<&TenantId, RejectReason> {
        self.tenant_for(&[Scope::Admin])
    }

    /// Judges whether it may see and mend the whole system.
    ///
    /// # Errors
    /// `scope_missing`.
    pub fn operates(&self) -> Result<(), RejectReason> {
        let may = self.key.scope == Scope::Operator && self.key.kind == KeyKind::Secret;
        may.then_some(()).ok_or(RejectReason::ScopeMissing)
    }

    fn tenant_for(&self, scopes: &[Scope]) -> Result<&TenantId, RejectReason> {
        let may = scopes.contains(&self.key.scope)
            && (self.key.kind == KeyKind::Secret || scopes == [Scope::Write]);
        let tenant = self.key.tenant.as_ref().filter(|_| may);
        tenant.ok_or(RejectReason::ScopeMissing)
    }

    /// Whether it may send events of `kind`.
    pub fn sends(&self, kind: &str) -> bool {
        let types = &self.key.types;
        types.is_empty() || types.iter().any(|one| one == kind)
    }
}
