//! Who a key belongs to: what a service looks up, one hash and one look-up for a request. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::quota::DayQuota;
use super::rate::{Bucket, Buckets, Rate};
use super::record::{Key, Records, Scope, Tenant, TenantId, TenantState};
use super::share::{EvenShare, Share};
use super::token::{self, KeyHash, KeyKind};
use super::usage::Usage;
use crate::outcome::RejectReason;

/// Everybody who may come in, as of one version.
#[derive(Debug, Default)]
pub struct AccessMap {
    keys: HashMap<KeyHash, Arc<Principal>>,
    tenants: HashMap<TenantId, Arc<Shared>>,
    origins: BTreeSet<String>,
}

/// Who asks: a key that is known, with what is known of its tenant.
#[derive(Debug)]
pub struct Principal {
    /// The key.
    pub key: Key,
    buckets: Buckets,
    /// When it was used since that was told last, Unix ms; zero for not at all.
    used_ms: AtomicU64,
    /// What its tenant has.
    shared: Arc<Shared>,
}

/// What instances hold of a tenant.
#[derive(Debug, Default)]
struct Shared {
    /// Whether its credentials work.
    is_active: bool,
    has_analytics: bool,
    usage: Arc<Usage>,
    buckets: Buckets,
    quota: Option<Arc<DayQuota>>,
    share: Arc<Share>,
}

/// Too much has passed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// `rate_limited` or `quota_exceeded`.
    pub reason: RejectReason,
    /// Of what: `key-events`, `key-bytes`, `tenant-events`, `tenant-bytes` or `tenant-day`.
    pub limit: &'static str,
    /// How much passes within the window.
    pub quota: u64,
    /// The window, in seconds.
    pub window_s: u64,
    /// When something passes again.
    pub wait: Duration,
}

impl Exceeded {
    fn rate(limit: &'static str, rate: Rate, wait: Duration) -> Self {
        Self {
            reason: RejectReason::RateLimited,
            limit,
            quota: rate.burst.max(1),
            window_s: rate.burst.div_ceil(rate.per_second.max(1)).max(1),
            wait,
        }
    }
}

impl AccessMap {
    /// Builds it, with what has passed `before`. A key of a tenant that is not there is refused as one
    /// of a disabled tenant.
    pub fn new(records: Records, before: Option<&Self>) -> Self {
        let tenants: HashMap<TenantId, Arc<Shared>> = records
            .tenants
            .into_iter()
            .map(|tenant| {
                let before = before.and_then(|before| before.tenants.get(&tenant.id));
                let before = before.map(Arc::as_ref);
                (tenant.id.clone(), Arc::new(Shared::new(&tenant, before)))
            })
            .collect();
        let origins = records.keys.iter().flat_map(|key| key.origins.clone());
        let origins = origins.collect();
        let keys = records.keys.into_iter().map(|key| {
            let shared = key.tenant.as_ref().and_then(|id| tenants.get(id));
            let before = before.and_then(|before| before.keys.get(&key.hash));
            let used_ms = before.map_or(0, |before| before.used_ms.load(Ordering::Relaxed));
            let principal = Principal {
                buckets: Buckets::new(key.limits, before.map(|before| &before.buckets)),
                used_ms: AtomicU64::new(used_ms),
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

    /// Finds whose the key `text` is, good or not.
    ///
    /// # Errors
    /// `malformed_key` or `unknown_key`.
    pub fn find(&self, text: &str) -> Result<&Arc<Principal>, RejectReason> {
        token::kind_of(text).map_err(|_| RejectReason::MalformedKey)?;
        self.of_hash(&KeyHash::of(text))
    }

    /// As [`find`](Self::find), of a key that was shown before.
    ///
    /// # Errors
    /// `unknown_key`.
    pub fn of_hash(&self, hash: &KeyHash) -> Result<&Arc<Principal>, RejectReason> {
        self.keys.get(hash).ok_or(RejectReason::UnknownKey)
    }

    /// Whether the credentials of `tenant` work.
    pub fn is_active(&self, tenant: &TenantId) -> bool {
        self.tenants
            .get(tenant)
            .is_some_and(|shared| shared.is_active)
    }

    /// Whether pages of `origin` may use some key: what a preflight is answered by, which carries
    /// none.
    pub fn has_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    /// Whether unique and top users of `tenant` are sketched.
    pub fn has_analytics(&self, tenant: &str) -> bool {
        let shared = self.tenants.get(tenant);
        shared.is_some_and(|shared| shared.has_analytics)
    }

    /// How many events `tenant` may send in a UTC day, if it has such a quota.
    pub fn events_per_day(&self, tenant: &str) -> Option<u64> {
        let quota = self.tenants.get(tenant)?.quota.as_ref()?;
        Some(quota.per_day())
    }

    /// What is held of the days of tenants that have a quota.
    pub fn quotas(&self) -> impl Iterator<Item = (&TenantId, &DayQuota)> {
        let tenants = self.tenants.iter();
        tenants.filter_map(|(id, shared)| Some((id, shared.quota.as_deref()?)))
    }

    /// What is one tenant's part of the load of the ten seconds up to `now_s` when all have the same.
    pub fn even_share(&self, now_s: u64) -> EvenShare {
        EvenShare::of(
            self.tenants
                .values()
                .map(|shared| shared.share.events(now_s)),
        )
    }

    /// What becomes of each tenant's events.
    pub fn usages(&self) -> impl Iterator<Item = (&TenantId, &Usage)> {
        let tenants = self.tenants.iter();
        tenants.map(|(id, shared)| (id, &*shared.usage))
    }

    /// Takes when keys were used since it was taken last: their ids, in Unix ms.
    pub fn take_used(&self) -> Vec<(String, u64)> {
        let used = self.keys.values().map(|principal| {
            let at_ms = principal.used_ms.swap(0, Ordering::Relaxed);
            (at_ms > 0).then(|| (principal.key.id.clone(), at_ms))
        });
        used.flatten().collect()
    }
}

impl Shared {
    fn new(tenant: &Tenant, before: Option<&Self>) -> Self {
        let quota = tenant.events_per_day.map(|per_day| {
            let same = before.and_then(|before| before.quota.as_ref());
            let same = same.filter(|quota| quota.per_day() == per_day);
            same.map_or_else(|| Arc::new(DayQuota::new(per_day)), Arc::clone)
        });
        Self {
            buckets: Buckets::new(tenant.limits, before.map(|before| &before.buckets)),
            quota,
            share: before.map_or_else(Arc::default, |before| Arc::clone(&before.share)),
            is_active: tenant.state == TenantState::Active,
            has_analytics: tenant.has_analytics(),
            usage: before.map_or_else(Arc::default, |before| Arc::clone(&before.usage)),
        }
    }
}

impl Principal {
    /// Judges whether the key is good at `now_ms`.
    ///
    /// # Errors
    /// Why not: `key_revoked`, `key_expired` or `tenant_disabled`.
    pub fn admit(&self, now_ms: u64) -> Result<(), RejectReason> {
        let has_come = |moment: Option<u64>| moment.is_some_and(|moment| moment <= now_ms);
        if has_come(self.key.revoked_ms) {
            Err(RejectReason::KeyRevoked)
        } else if has_come(self.key.expires_ms) {
            Err(RejectReason::KeyExpired)
        } else if self.key.tenant.is_some() && !self.shared.is_active {
            Err(RejectReason::TenantDisabled)
        } else {
            self.used_ms.store(now_ms, Ordering::Relaxed);
            Ok(())
        }
    }

    /// What becomes of its tenant's events.
    pub fn usage(&self) -> &Usage {
        &self.shared.usage
    }

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

    /// Judges whether anything passes, at `now_ns` of rates and `now_ms` of days.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub fn passes(&self, (now_ns, now_ms): (u64, u64)) -> Result<(), Exceeded> {
        let over = self.limits().find_map(|(limit, bucket, _)| {
            let wait = bucket.wait(now_ns)?;
            Some(Exceeded::rate(limit, bucket.rate(), wait))
        });
        over.map_or(Ok(()), Err)?;
        self.within_quota(|quota| quota.passes(now_ms))
    }

    /// Has so much of `unit` pass its rates. They are held one by one: what one took stays taken when
    /// another refuses.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub fn take_rate(&self, unit: Unit, units: u64, now_ns: u64) -> Result<(), Exceeded> {
        for (limit, bucket, _) in self.limits().filter(|(_, _, of)| *of == unit) {
            let exceeded = |wait| Exceeded::rate(limit, bucket.rate(), wait);
            bucket.take(units, now_ns).map_err(exceeded)?;
        }
        Ok(())
    }

    /// Has so many events pass the quota of the day.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub fn take_quota(&self, events: u64, now_ms: u64) -> Result<(), Exceeded> {
        self.within_quota(|quota| quota.take(events, now_ms))
    }

    /// Gives back what was taken of the day at `taken_ms` for events that were not stored.
    pub fn give_back(&self, events: u64, taken_ms: u64) {
        if let Some(quota) = &self.shared.quota {
            quota.give_back(events, taken_ms);
        }
    }

    fn within_quota(
        &self,
        judge: impl FnOnce(&DayQuota) -> Result<(), Duration>,
    ) -> Result<(), Exceeded> {
        let Some(quota) = &self.shared.quota else {
            return Ok(());
        };
        judge(quota).map_err(|wait| Exceeded {
            reason: RejectReason::QuotaExceeded,
            limit: "tenant-day",
            quota: quota.per_day(),
            window_s: 86_400,
            wait,
        })
    }

    /// What of the load is its tenant's.
    pub fn share(&self) -> &Arc<Share> {
        &self.shared.share
    }

    fn limits(&self) -> impl Iterator<Item = (&'static str, &Bucket, Unit)> {
        let all = [
            ("key-events", &self.buckets.events, Unit::Events),
            ("key-bytes", &self.buckets.bytes, Unit::Bytes),
            ("tenant-events", &self.shared.buckets.events, Unit::Events),
            ("tenant-bytes", &self.shared.buckets.bytes, Unit::Bytes),
        ];
        let all = all.into_iter();
        all.filter_map(|(limit, bucket, unit)| Some((limit, bucket.as_deref()?, unit)))
    }
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Events, rejected ones too.
    Events,
    /// Bytes of bodies, decompressed.
    Bytes,
}
