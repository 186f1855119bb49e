//! Tenants and keys: changes of them are kept in MongoDB and, before they are answered, said by Redis.

use std::collections::HashMap;
use std::time::Duration;

use evp_shared::access::projector::{COMPARE_MAX, Projector};
use evp_shared::access::record::{Key, Records, Tenant, TenantId};
use evp_shared::access::store::{AccessError, AccessStore, Change, NewKey, NewTenant};
use evp_shared::access::token::Token;
use evp_shared::audit::Actor;
use evp_shared::clock::Clock;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use evp_shared::service::Chain;
use evp_shared::stream::{Stream, UsageCounts};

use crate::answer::answer;
use crate::error::{QueryError, bad_parameter};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

/// When a change that is not in force may be looked at again.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Keys {
    store: AccessStore,
    stream: Stream,
    projector: Projector,
    clock: Clock,
    limit: Duration,
}

/// What became of a tenant's events.
#[derive(Debug)]
pub struct Usage {
    /// By name.
    pub counts: UsageCounts,
    /// Events of a day, and how many of them were given out to instances.
    pub quota: Option<(u64, u64)>,
}

impl Keys {
    /// Those of `store`, which answers within `limit`, and which `projector` has said through `stream`.
    pub fn new(
        store: AccessStore,
        projector: Projector,
        stream: Stream,
        clock: Clock,
        limit: Duration,
    ) -> Self {
        Self {
            store,
            stream,
            projector,
            clock,
            limit,
        }
    }

    /// All there is.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn records(&self) -> Result<Records, QueryError> {
        self.answer(self.store.records()).await
    }

    /// All tenants.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn tenants(&self) -> Result<Vec<Tenant>, QueryError> {
        self.answer(self.store.tenants()).await
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`QueryError`]: among others there is none.
    pub async fn key(&self, id: &str) -> Result<Key, QueryError> {
        self.answer(self.store.key(id)).await
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// [`QueryError`]; `not_in_force` when it is kept and Redis has not said it yet.
    pub async fn add_tenant(&self, actor: Actor, new: NewTenant) -> Result<Tenant, QueryError> {
        let (changes, now_ms) = (self.store.by(actor), self.clock.now_ms());
        let made = self.answer(changes.add_tenant(new, now_ms)).await?;
        self.in_force(made).await
    }

    /// Changes what is said of a tenant.
    ///
    /// # Errors
    /// As [`add_tenant`](Self::add_tenant).
    pub async fn change(
        &self,
        actor: Actor,
        id: &TenantId,
        change: &Change,
    ) -> Result<Tenant, QueryError> {
        let changes = self.store.by(actor);
        self.answer(changes.change(id, change)).await?;
        let changed = self
            .tenants()
            .await?
            .into_iter()
            .find(|tenant| tenant.id == *id);
        self.in_force(changed.ok_or(RejectReason::TenantNotFound)?)
            .await
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As [`add_tenant`](Self::add_tenant); its text is lost then.
    pub async fn add_key(&self, actor: Actor, new: NewKey) -> Result<(Key, Token), QueryError> {
        let (changes, now_ms) = (self.store.by(actor), self.clock.now_ms());
        let made = self.answer(changes.add_key(new, now_ms)).await?;
        self.in_force(made).await
    }

    /// Makes a key like `old`, which ends after `overlap`.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key).
    pub async fn rotate_key(
        &self,
        actor: Actor,
        old: &Key,
        overlap: Duration,
    ) -> Result<(Key, Token), QueryError> {
        let (changes, now_ms) = (self.store.by(actor), self.clock.now_ms());
        let made = changes.rotate_key(old, overlap, now_ms);
        let made = self.answer(made).await?;
        self.in_force(made).await
    }

    /// Has a key refused from now on.
    ///
    /// # Errors
    /// As [`add_tenant`](Self::add_tenant).
    pub async fn revoke_key(&self, actor: Actor, key: &Key) -> Result<Key, QueryError> {
        let (changes, now_ms) = (self.store.by(actor), self.clock.now_ms());
        self.answer(changes.revoke_key(key, now_ms)).await?;
        let revoked = self.key(&key.id).await?;
        self.in_force(revoked).await
    }

    /// What became of the events of `tenant` in the 24 hours up to `now_ms`, and what was given out of
    /// its quota, where it has one of `per_day`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn usage(
        &self,
        tenant: &str,
        per_day: Option<u64>,
        now_ms: u64,
    ) -> Result<Usage, QueryError> {
        let counts = self.stream.usage(tenant, now_ms / HOUR_MS).await?;
        let quota = match per_day {
            Some(per_day) => {
                let given = self.stream.quota_given(tenant, now_ms / DAY_MS).await?;
                Some((per_day, given))
            }
            None => None,
        };
        Ok(Usage { counts, quota })
    }

    /// When keys were used last, Unix ms by id.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn used(&self) -> Result<HashMap<String, u64>, QueryError> {
        Ok(self.stream.used().await?)
    }

    /// Waits for what the store answers, or did: no longer than for any answer of MongoDB.
    async fn answer<T>(
        &self,
        command: impl Future<Output = Result<T, AccessError>>,
    ) -> Result<T, QueryError> {
        answer(self.limit, command).await
    }

    async fn in_force<T>(&self, done: T) -> Result<T, QueryError> {
        let fault = match tokio::time::timeout(COMPARE_MAX, self.projector.project()).await {
            Ok(Ok(_)) => return Ok(done),
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(fault, "a change of tenants or keys is not in force");
        let problem = Problem::from(RejectReason::NotInForce);
        Err(problem.retry_after(IN_FORCE_WITHIN).into())
    }
}

/// What bodies call `field`: they say how long something lasts in seconds.
fn in_body(field: &'static str) -> &'static str {
    match field {
        "expires" => "expiresInSeconds",
        "overlap" => "overlapSeconds",
        same => same,
    }
}

impl From<AccessError> for QueryError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Mongo(error) => error.into(),
            AccessError::Invalid { field, fault } => bad_parameter(in_body(field), fault).into(),
            AccessError::NoTenant { .. } => RejectReason::TenantNotFound.into(),
            AccessError::NoMember => RejectReason::MemberNotFound.into(),
            AccessError::NoKey { .. } => RejectReason::KeyNotFound.into(),
            error @ AccessError::Record { .. } => {
                tracing::error!(error = %Chain(&error), "tenants and keys cannot be read");
                Self::Store { source: None }
            }
        }
    }
}
