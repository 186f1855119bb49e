//! Who asks, and whose data a request may see: the one place that says so.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use evp_shared::access::credential;
use evp_shared::access::map::Principal;
use evp_shared::access::reader::Access;
use evp_shared::clock::Clock;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::request::Parts;

use crate::error::QueryError;

const DEFAULT_TENANT: &str = "default";
/// When a service that has learned nothing yet may be asked again.
const LEARNED_WITHIN: Duration = Duration::from_secs(1);
/// What nobody has to show a credential for: the pages, which hold no data, and what describes the
/// service.
const PUBLIC: [&str; 12] = [
    "/",
    "/live",
    "/browse",
    "/pipeline",
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
    Key(Arc<Principal>),
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
    /// Says who asks; nobody in particular for what is public.
    fn judge(&self, parts: &Parts) -> Result<Option<Caller>, Problem> {
        let (access, clock) = match self {
            Self::Open => return Ok(Some(Caller::Anyone)),
            Self::Keys(..) if is_public(parts.uri.path()) => return Ok(None),
            Self::Keys(access, clock) => (access.map(), clock),
        };
        let Some(map) = access.as_ref() else {
            let unknown = Problem::from(RejectReason::AccessUnknown);
            return Err(unknown.retry_after(LEARNED_WITHIN));
        };
        let key = credential::shown(&parts.headers, parts.uri.query())?;
        let principal = map.authenticate(&key, clock.now_ms())?;
        Ok(Some(Caller::Key(Arc::clone(principal))))
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
            Caller::Key(principal) => Self(principal.reads()?.shared()),
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
            Caller::Key(principal) => principal.operates()?,
        }
        Ok(Self(()))
    }
}
