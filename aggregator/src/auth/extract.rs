//! What handlers ask of whoever asks, each by the type of an argument: whose data, what for, as whom.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use evp_shared::access::map::Principal;
use evp_shared::access::record::{Key, TenantId};
use evp_shared::audit::Actor;
use evp_shared::canary;
use evp_shared::outcome::RejectReason;
use http::request::Parts;

use super::{Caller, Validity, client};
use crate::error::QueryError;
use crate::sign_in::role::Role;

const DEFAULT_TENANT: &str = "default";

/// The tenant a request acts for. Every query, counter and stream is of one tenant, and takes it
/// from here: only a request's credential makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of everybody while no credentials are asked for.
    pub fn of_everybody() -> Self {
        Self(DEFAULT_TENANT.into())
    }

    /// That of the canaries, which no credential makes.
    pub fn of_canaries() -> Self {
        Self(canary::TENANT.into())
    }

    /// The name, as in documents and counters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        Ok(match caller(parts)? {
            Caller::Anyone => Self::of_everybody(),
            Caller::Key(principal, _) => Self(principal.reads()?.shared()),
            Caller::Session(standing, _) => Self(standing.reads()?.shared()),
        })
    }
}

/// Somebody who may see and mend the whole system, of all tenants: everybody, while no credentials
/// are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Operator(());

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        match caller(parts)? {
            Caller::Anyone => {}
            Caller::Key(principal, _) => principal.operates()?,
            Caller::Session(standing, _) if standing.role == Role::Operator => {}
            Caller::Session(..) => return Err(RejectReason::ScopeMissing.into()),
        }
        Ok(Self(()))
    }
}

/// Whether who asks also sees what is of all tenants together: everybody, while no credentials are
/// asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeesAll(pub(crate) bool);

impl<S: Send + Sync> FromRequestParts<S> for SeesAll {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        Ok(Self(match caller(parts)? {
            Caller::Anyone => true,
            Caller::Key(..) => false,
            Caller::Session(standing, _) => standing.role == Role::Operator,
        }))
    }
}

/// Somebody who may act on keys and dead letters: those of a tenant, or all.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    /// Whose; everybody's for an operator.
    tenant: Option<TenantId>,
}

impl Manager {
    /// Whose it may act on; `None` is everybody's.
    pub(crate) fn tenant(&self) -> Option<String> {
        self.tenant.as_ref().map(ToString::to_string)
    }

    /// Of whose part of what is shared out it takes; an operator takes of nobody's.
    pub(crate) fn part(&self) -> Option<Tenant> {
        let tenant = self.tenant.as_ref();
        tenant.map(|tenant| Tenant(tenant.shared()))
    }

    /// Whether it may see and end `key`.
    pub(crate) fn manages(&self, key: &Key) -> bool {
        self.tenant.is_none() || self.tenant == key.tenant
    }

    /// Whose a new key or member is, an operator's where it `is_operator`, that is asked for `tenant`.
    ///
    /// # Errors
    /// It may not make such a one.
    pub(crate) fn tenant_of(
        &self,
        is_operator: bool,
        tenant: Option<TenantId>,
    ) -> Result<Option<TenantId>, RejectReason> {
        match (&self.tenant, tenant) {
            (None, tenant) => Ok(tenant),
            (Some(_), _) if is_operator => Err(RejectReason::ScopeMissing),
            (Some(own), Some(other)) if *own != other => Err(RejectReason::ScopeMissing),
            (Some(own), _) => Ok(Some(own.clone())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Manager {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        let principal = match caller(parts)? {
            Caller::Anyone => return Ok(Self { tenant: None }),
            Caller::Key(principal, _) => principal,
            Caller::Session(standing, _) => {
                let tenant = standing.administers()?.cloned();
                return Ok(Self { tenant });
            }
        };
        let tenant = match principal.operates() {
            Ok(()) => None,
            Err(_) => Some(principal.administers()?.clone()),
        };
        Ok(Self { tenant })
    }
}

/// Who asks, for the audit.
#[derive(Debug, Clone)]
pub(crate) struct Asker(pub(crate) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        let who = match caller(parts)? {
            Caller::Anyone => "admin API, without credentials".to_owned(),
            Caller::Key(principal, _) => named(principal),
            Caller::Session(standing, _) => standing.session.person.clone(),
        };
        let from = client(&parts.extensions).to_string();
        Ok(Self(Actor { who, from }))
    }
}

/// What audits call the holder of a key.
pub(crate) fn named(principal: &Principal) -> String {
    format!("{} ({})", principal.key.id, principal.key.name)
}

impl<S: Send + Sync> FromRequestParts<S> for Validity {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        Ok(Self(caller(parts)?.clone()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        Ok(caller(parts)?.clone())
    }
}

fn caller(parts: &Parts) -> Result<&Caller, RejectReason> {
    let caller = parts.extensions.get::<Caller>();
    caller.ok_or(RejectReason::MissingKey)
}
