//! Whose data a request may see: the one place that says so.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The tenant of everybody while no credentials are asked for.
const DEFAULT_TENANT: &str = "default";

/// The tenant a request acts for. Every query, counter and stream is of one tenant, and takes it
/// from here: only a request's credential makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
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
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(DEFAULT_TENANT.into()))
    }
}

/// Somebody who may see and mend the whole system, of all tenants: everybody, while no credentials
/// are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Operator(());

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(()))
    }
}
