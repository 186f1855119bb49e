//! Who asks, and whose data a request may see: the one place that says so.

mod extract;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use evp_shared::access::credential;
use evp_shared::access::map::Principal;
use evp_shared::access::reader::Access;
use evp_shared::clock::Clock;
use evp_shared::http::client::ClientAddr;
use evp_shared::http::problem::Problem;
use evp_shared::http::server::Connection;
use evp_shared::outcome::RejectReason;
use http::Extensions;
use http::request::Parts;

pub(crate) use self::extract::{Asker, Manager, SeesAll, named};
pub use self::extract::{Operator, Tenant};
use crate::error::QueryError;
use crate::sign_in::SignIn;
use crate::sign_in::cookie::SESSION;
use crate::sign_in::session::Standing;
use crate::sign_in::sessions::hash_of;

/// How often an answer that lasts looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// When a service that has learned nothing yet may be asked again.
const LEARNED_WITHIN: Duration = Duration::from_secs(1);
/// What nobody has to show a credential for: the pages, which hold no data, and what describes the
/// service.
const PUBLIC: &[&str] = &[
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
    "/sign-in",
    "/sign-in/key",
    "/sign-in/link",
    "/sign-in/code",
    "/sign-in/code/confirm",
];
const PUBLIC_FOLDERS: [&str; 2] = ["/assets/", "/docs/"];

/// Who is let in.
#[derive(Debug, Clone)]
pub enum Door {
    /// Everybody: `auth.mode = "open"`.
    Open,
    /// Whoever shows a key or a session; what that may see is for the routes to ask.
    Keys(Arc<Lock>),
}

/// What a door is opened with.
#[derive(Debug)]
pub struct Lock {
    /// Who may come in.
    pub access: Access,
    /// When.
    pub clock: Clock,
    /// By a session.
    pub sign_in: SignIn,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Anybody.
    Anyone,
    /// The holder of a key.
    Key(Arc<Principal>, Arc<Lock>),
    /// Somebody who signed in.
    Session(Arc<Standing>, Arc<Lock>),
}

/// Whether who asked may go on with an answer that lasts.
#[derive(Debug, Clone)]
pub(crate) struct Validity(Caller);

impl Validity {
    /// Whether the credential ended since, or sees another tenant. Where nobody can say, it has not.
    pub(crate) async fn is_over(&self) -> bool {
        match &self.0 {
            Caller::Anyone => false,
            Caller::Key(shown, lock) => {
                let map = lock.access.map();
                let principal = map
                    .as_ref()
                    .and_then(|map| map.of_hash(&shown.key.hash).ok());
                principal.is_none_or(|principal| principal.admit(lock.clock.now_ms()).is_err())
            }
            Caller::Session(shown, lock) => {
                let tenant = &shown.session.tenant;
                match lock.sign_in.sessions.lasting(&shown.session.hash).await {
                    Ok(standing) => standing.reads().ok() != Some(tenant),
                    Err(error) => matches!(error, QueryError::Refused(_)),
                }
            }
        }
    }

    /// Waits until it is over.
    pub(crate) async fn ended(self) {
        while !self.is_over().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Lets through what is public, and who may come in: routes that are not there are no exception.
pub(crate) async fn enter(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let caller = door.judge(&parts).await;
    request = Request::from_parts(parts, body);
    match caller {
        Ok(caller) => {
            if let Some(caller) = caller {
                if let Some(connection) = request.extensions().get::<Connection>() {
                    connection.note_credential();
                }
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

impl Door {
    /// How many of `all` places one tenant may have: a quarter, and all where it is the only one there
    /// is.
    pub(crate) fn part_of(&self, all: usize) -> usize {
        match self {
            Self::Open => all,
            Self::Keys(_) => (all / 4).max(1),
        }
    }

    /// Whether unique and top users of `tenant` are sketched.
    pub(crate) fn has_analytics(&self, tenant: &Tenant) -> bool {
        match self {
            Self::Open => true,
            Self::Keys(lock) => {
                let map = lock.access.map();
                map.as_ref()
                    .is_some_and(|map| map.has_analytics(tenant.as_str()))
            }
        }
    }

    /// How many events `tenant` may send in a UTC day, if it has such a quota.
    pub(crate) fn events_per_day(&self, tenant: &Tenant) -> Option<u64> {
        match self {
            Self::Open => None,
            Self::Keys(lock) => {
                let map = lock.access.map();
                map.as_ref()?.events_per_day(tenant.as_str())
            }
        }
    }

    /// What signing in takes.
    ///
    /// # Errors
    /// `sign_in_off`: nobody has to.
    pub(crate) fn sign_in(&self) -> Result<&Arc<Lock>, RejectReason> {
        match self {
            Self::Open => Err(RejectReason::SignInOff),
            Self::Keys(lock) => Ok(lock),
        }
    }

    /// Says who asks; nobody in particular for what is public.
    async fn judge(&self, parts: &Parts) -> Result<Option<Caller>, QueryError> {
        let lock = match self {
            Self::Open => return Ok(Some(Caller::Anyone)),
            Self::Keys(_) if is_public(parts.uri.path()) => return Ok(None),
            Self::Keys(lock) => lock,
        };
        let session = lock.sign_in.cookies.read(&parts.headers, SESSION)?;
        let key = credential::shown(&parts.headers, parts.uri.query());
        let caller = match (session, key) {
            (Some(_), Ok(_)) => return Err(RejectReason::ConflictingKeys.into()),
            (Some(text), Err(RejectReason::MissingKey)) => {
                let standing = lock.session(client(&parts.extensions), text).await?;
                Caller::Session(Arc::new(standing), Arc::clone(lock))
            }
            (_, key) => Caller::Key(lock.principal(&key?)?, Arc::clone(lock)),
        };
        Ok(Some(caller))
    }
}

impl Lock {
    /// The holder of a key that is good.
    ///
    /// # Errors
    /// What is wrong with it; `access_unknown` while nobody can say.
    pub(crate) fn principal(&self, key: &str) -> Result<Arc<Principal>, Problem> {
        let map = self.access.map();
        let map = map.as_ref().ok_or_else(access_unknown)?;
        let principal = map.find(key)?;
        principal.admit(self.clock.now_ms())?;
        Ok(Arc::clone(principal))
    }

    /// Who signed in with the session of a cookie. Of a client that shows too many that are none, only
    /// those are looked up for a while that were good here before: others come from its address too.
    async fn session(&self, client: IpAddr, text: &str) -> Result<Standing, QueryError> {
        let SignIn {
            sessions, unknown, ..
        } = &self.sign_in;
        let hash = hash_of(text)?;
        if sessions.was_good(&hash) {
            return sessions.find(&hash).await;
        }
        let look = unknown.take(client).await?;
        let found = sessions.find(&hash).await;
        let refusal = found.as_ref().err().and_then(QueryError::refusal);
        if refusal.is_none_or(|problem| problem.code() != RejectReason::SessionEnded.as_str()) {
            look.give_back();
        }
        found
    }
}

/// While nobody can say who may come in.
pub(crate) fn access_unknown() -> Problem {
    Problem::from(RejectReason::AccessUnknown).retry_after(LEARNED_WITHIN)
}

/// The address of the client: of the connection, or as a trusted proxy says.
pub(crate) fn client(extensions: &Extensions) -> IpAddr {
    let known = extensions.get::<ClientAddr>();
    known.map_or_else(|| Ipv4Addr::UNSPECIFIED.into(), |client| client.0)
}

fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path) || PUBLIC_FOLDERS.iter().any(|folder| path.starts_with(folder))
}
