//! Who asks, and whose data a request may see: the one place that says so.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use evp_shared::access::credential;
use evp_shared::access::map::Principal;
use evp_shared::access::reader::Access;
use evp_shared::access::record::{Key, Scope, TenantId};
use evp_shared::access::token::KeyHash;
use evp_shared::audit::Actor;
use evp_shared::clock::Clock;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::request::Parts;

use crate::error::QueryError;

const DEFAULT_TENANT: &str = "default";
/// How often an answer that lasts looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// When a service that has learned nothing yet may be asked again.
const LEARNED_WITHIN: Duration = Duration::from_secs(1);
/// What nobody has to show a credential for: the pages, which hold no data, and what describes the
/// service.
const PUBLIC: [&str; 14] = [
    "/",
    "/live",
    "/browse",
    "/pipeline",
    "/quota",
    "/access",
    "/start",
    "/demo",
    "/favicon.svg",
    "/theme.js",
    "/livez",
    "/docs",
    "/docs/",
    "/openapi.json",
];
const PUBLIC_FOLDERS: [&str; 2] = ["/assets/", "/docs/"];

/// Who is let in.
#[derive(Debug, Clone)]
pub enum Door {
    /// Everybody: `auth.mode = "open"`.
    Open,
    /// Whoever shows a key; what it may see is for the routes to ask.
    Keys(Access, Clock),
}

/// Who asks.
#[derive(Debug, Clone)]
enum Caller {
    /// Anybody.
    Anyone,
    /// The holder of a key.
    Key(Arc<Principal>, Validity),
}

/// Whether who asked may go on with an answer that lasts.
#[derive(Debug, Clone)]
pub(crate) struct Validity(Option<(Access, Clock, KeyHash)>);

impl Validity {
    /// Whether the credential was revoked or ended since.
    pub(crate) fn is_over(&self) -> bool {
        let Some((access, clock, hash)) = &self.0 else {
            return false;
        };
        let map = access.map();
        let principal = map.as_ref().and_then(|map| map.of_hash(hash).ok());
        principal.is_none_or(|principal| principal.admit(clock.now_ms()).is_err())
    }

    /// Waits until it is over.
    pub(crate) async fn ended(self) {
        while !self.is_over() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Validity {
    type Rejection = QueryError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, QueryError> {
        Ok(match caller(parts)? {
            Caller::Anyone => Self(None),
            Caller::Key(_, validity) => validity.clone(),
        })
    }
}

/// Lets through what is public, and who may come in: routes that are not there are no exception.
pub(crate) async fn enter(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let caller = door.judge(&parts);
    request = Request::from_parts(parts, body);
    match caller {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => QueryError::from(problem).into_response(),
    }
}

impl Door {
    /// How many of `all` places one tenant may have: a quarter, and all where it is the only one there
    /// is.
    pub(crate) fn part_of(&self, all: usize) -> usize {
        match self {
            Self::Open => all,
            Self::Keys(..) => (all / 4).max(1),
        }
    }

    /// Whether unique and top users of `tenant` are sketched.
    pub(crate) fn has_analytics(&self, tenant: &Tenant) -> bool {
        match self {
            Self::Open => true,
            Self::Keys(access, _) => {
                let map = access.map();
                map.as_ref()
                    .is_some_and(|map| map.has_analytics(tenant.as_str()))
            }
        }
    }

    /// Says who asks; nobody in particular for what is public.
    fn judge(&self, parts: &Parts) -> Result<Option<Caller>, Problem> {
        let (held, access, clock) = match self {
            Self::Open => return Ok(Some(Caller::Anyone)),
            Self::Keys(..) if is_public(parts.uri.path()) => return Ok(None),
            Self::Keys(access, clock) => (access, access.map(), clock),
        };
        let Some(map) = access.as_ref() else {
            let unknown = Problem::from(RejectReason::AccessUnknown);
            return Err(unknown.retry_after(LEARNED_WITHIN));
        };
        let key = credential::shown(&parts.headers, parts.uri.query())?;
        let principal = map.find(&key)?;
        principal.admit(clock.now_ms())?;
        let validity = Validity(Some((held.clone(), clock.clone(), principal.key.hash)));
        Ok(Some(Caller::Key(Arc::clone(principal), validity)))
    }
}

fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path) || PUBLIC_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

fn caller(parts: &Parts) -> Result<&Caller, RejectReason> {
    let caller = parts.extensions.get::<Caller>();
    caller.ok_or(RejectReason::MissingKey)
}

/// The tenant a request acts for. Every query, counter and stream is of one tenant, and takes it
/// from here: only a request's credential makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of everybody while no credentials are asked for.
    pub fn of_everybody() -> Self {
        Self(DEFAULT_TENANT.into())
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
        Ok(Self(matches!(caller(parts)?, Caller::Anyone)))
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

    /// Whether it may see and end `key`.
    pub(crate) fn manages(&self, key: &Key) -> bool {
        self.tenant.is_none() || self.tenant == key.tenant
    }

    /// Whose a new key of `scope` is that is asked for `tenant`.
    ///
    /// # Errors
    /// It may not make such a key.
    pub(crate) fn tenant_of(
        &self,
        scope: Scope,
        tenant: Option<TenantId>,
    ) -> Result<Option<TenantId>, RejectReason> {
        match (&self.tenant, tenant) {
            (None, tenant) => Ok(tenant),
            (Some(_), _) if scope == Scope::Operator => Err(RejectReason::ScopeMissing),
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
            Caller::Key(principal, _) => format!("{} ({})", principal.key.id, principal.key.name),
        };
        let from = "a client".to_owned();
        Ok(Self(Actor { who, from }))
    }
}
