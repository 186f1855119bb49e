//! Who a key belongs to: what a service looks up, one hash and one look-up for a request. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::rate::{Bucket, Buckets, Rate};
use super::record::{Key, Records, Scope, TenantId, TenantState};
use super::token::{self, KeyHash, KeyKind};
use crate::outcome::RejectReason;

/// Everybody who may come in, as of one version.
#[derive(Debug, Default)]
pub struct AccessMap {
    keys: HashMap<KeyHash, Arc<Principal>>,
    /// Buckets of the active tenants.
    tenants: HashMap<TenantId, Arc<Buckets>>,
    origins: BTreeSet<String>,
}

/// Who asks: a key that is known, with what is known of its tenant.
#[derive(Debug)]
pub struct Principal {
    /// The key.
    pub key: Key,
    /// Whether its tenant's credentials work.
    is_disabled: bool,
    buckets: Buckets,
    /// Those of its tenant.
    shared: Arc<Buckets>,
}

/// Too much has passed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateExceeded {
    /// Of what: `key-events`, `key-bytes`, `tenant-events` or `tenant-bytes`.
    pub limit: &'static str,
    /// What that is.
    pub rate: Rate,
    /// When something passes again.
    pub wait: Duration,
}

impl AccessMap {
    /// Builds it, with what has passed `before`. A key of a tenant that is not there is refused as one
    /// of a disabled tenant.
    pub fn new(records: Records, before: Option<&Self>) -> Self {
        let active = records
            .tenants
            .into_iter()
            .filter(|tenant| tenant.state == TenantState::Active);
        let tenants: HashMap<TenantId, Arc<Buckets>> = active
            .map(|tenant| {
                let before = before.and_then(|before| before.tenants.get(&tenant.id));
                let buckets = Buckets::new(tenant.limits, before.map(Arc::as_ref));
                (tenant.id, Arc::new(buckets))
            })
            .collect();
        let origins = records.keys.iter().flat_map(|key| key.origins.clone());
        let origins = origins.collect();
        let keys = records.keys.into_iter().map(|key| {
            let shared = key.tenant.as_ref().and_then(|id| tenants.get(id));
            let before = before.and_then(|before| before.keys.get(&key.hash));
            let principal = Principal {
                is_disabled: key.tenant.is_some() && shared.is_none(),
                buckets: Buckets::new(key.limits, before.map(|before| &before.buckets)),
                shared: shared.cloned().unwrap_or_default(),
                key,
            };
            (principal.key.hash, Arc::new(principal))
        });
        Self {
            keys: keys.collect(),
            tenants,
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
        self.judge(&KeyHash::of(text), now_ms)
    }

    /// As [`authenticate`](Self::authenticate), of a key that was shown before.
    ///
    /// # Errors
    /// As there.
    pub fn judge(&self, hash: &KeyHash, now_ms: u64) -> Result<&Arc<Principal>, RejectReason> {
        let found = self.keys.get(hash);
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

    /// Judges whether anything passes at `now_ns`.
    ///
    /// # Errors
    /// [`RateExceeded`].
    pub fn passes(&self, now_ns: u64) -> Result<(), RateExceeded> {
        let over = self.limits().find_map(|(limit, bucket, _)| {
            let wait = bucket.wait(now_ns)?;
            let rate = bucket.rate();
            Some(RateExceeded { limit, rate, wait })
        });
        over.map_or(Ok(()), Err)
    }

    /// Has a request pass. The limits are held one by one: what one took stays taken when another
    /// refuses.
    ///
    /// # Errors
    /// [`RateExceeded`].
    pub fn take(&self, events: u64, bytes: u64, now_ns: u64) -> Result<(), RateExceeded> {
        for (limit, bucket, unit) in self.limits() {
            let units = match unit {
                Unit::Events => events,
                Unit::Bytes => bytes,
            };
            let rate = bucket.rate();
            let exceeded = |wait| RateExceeded { limit, rate, wait };
            bucket.take(units, now_ns).map_err(exceeded)?;
        }
        Ok(())
    }

    fn limits(&self) -> impl Iterator<Item = (&'static str, &Bucket, Unit)> {
        let all = [
            ("key-events", &self.buckets.events, Unit::Events),
            ("key-bytes", &self.buckets.bytes, Unit::Bytes),
            ("tenant-events", &self.shared.events, Unit::Events),
            ("tenant-bytes", &self.shared.bytes, Unit::Bytes),
        ];
        let all = all.into_iter();
        all.filter_map(|(limit, bucket, unit)| Some((limit, bucket.as_deref()?, unit)))
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Events,
    Bytes,
}
