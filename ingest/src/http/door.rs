//! Who may send events, and whose they are: judged by the head of a request, before anything is read
//! or held for it.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::access::credential;
use evp_shared::access::map::{AccessMap, Exceeded, Principal};
use evp_shared::access::reader::Access;
use evp_shared::access::share::Share;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::http::cors::Cors;

/// When a service that has learned nothing yet may be asked again.
const LEARNED_WITHIN: Duration = Duration::from_secs(1);
/// Whose events these are where nobody is asked who they are.
const DEFAULT_TENANT: &str = "default";

/// Who is let in.
#[derive(Debug)]
pub(crate) enum Door {
    /// Everybody: `auth.mode = "open"`.
    Open(Sender),
    /// Whoever shows a key that writes.
    Keys(Access),
}

/// Who sends events.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// Whose they are.
    pub(crate) tenant: Arc<str>,
    principal: Option<Arc<Principal>>,
}

impl Door {
    /// The one that is open.
    pub(crate) fn open() -> Self {
        Self::Open(Sender {
            tenant: DEFAULT_TENANT.into(),
            principal: None,
        })
    }

    /// Judges who sends events by the head of their request.
    ///
    /// # Errors
    /// They may not, or it is not known yet.
    pub(crate) fn enter(&self, parts: &Parts, cors: &Cors, now_ms: u64) -> Result<Sender, Problem> {
        let access = match self {
            Self::Open(sender) => {
                cors.check(&parts.headers, &[])?;
                return Ok(sender.clone());
            }
            Self::Keys(access) => access.map(),
        };
        let Some(map) = access.as_ref() else {
            let unknown = Problem::from(RejectReason::AccessUnknown);
            return Err(unknown.retry_after(LEARNED_WITHIN));
        };
        let key = credential::shown(&parts.headers, parts.uri.query())?;
        let principal = map.find(&key)?;
        let tenant = admit(principal, parts, cors, now_ms);
        Ok(Sender {
            tenant: tenant.inspect_err(|reason| principal.usage().refuse(*reason))?,
            principal: Some(Arc::clone(principal)),
        })
    }

    /// The origin of a request, when its pages may send events with some key: an answer may be read
    /// by whom a preflight, which carries no key, was allowed for.
    pub(crate) fn origin(&self, headers: &HeaderMap, cors: &Cors) -> Option<HeaderValue> {
        let map = match self {
            Self::Open(_) => None,
            Self::Keys(access) => access.map().clone(),
        };
        let of_a_key = |origin: &str| {
            map.as_deref()
                .is_some_and(|map: &AccessMap| map.has_origin(origin))
        };
        cors.origin_if(headers, of_a_key)
    }
}

fn admit(
    principal: &Principal,
    parts: &Parts,
    cors: &Cors,
    now_ms: u64,
) -> Result<Arc<str>, RejectReason> {
    principal.admit(now_ms)?;
    let tenant = principal.writes()?.shared();
    cors.check(&parts.headers, &principal.key.origins)?;
    Ok(tenant)
}

impl Sender {
    /// Notes events that were appended at Unix ms `now_ms`.
    pub(crate) fn accepted(&self, events: usize, now_ms: u64) {
        if let Some(principal) = &self.principal {
            principal.share().add(events as u64, now_ms / 1_000);
            principal.usage().accept(events as u64);
        }
    }

    /// Notes a request, or an event, that was refused.
    pub(crate) fn refused(&self, reason: RejectReason) {
        if let Some(principal) = &self.principal {
            principal.usage().refuse(reason);
        }
    }

    /// Judges whether anything of it passes at `now_ns`.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(crate) fn passes(&self, now_ns: u64) -> Result<(), Exceeded> {
        let principal = self.principal.as_ref();
        principal.map_or(Ok(()), |principal| principal.passes(now_ns))
    }

    /// Has a request of it pass, at `now` in ns of rates and in Unix ms.
    ///
    /// # Errors
    /// [`Exceeded`].
    pub(crate) fn take(
        &self,
        events: usize,
        bytes: usize,
        now: (u64, u64),
    ) -> Result<(), Exceeded> {
        let principal = self.principal.as_ref();
        let take = |principal: &Arc<Principal>| principal.take(events as u64, bytes as u64, now);
        principal.map_or(Ok(()), take)
    }

    /// Gives back what was taken of the day for events that were not stored.
    pub(crate) fn give_back(&self, events: usize, now_ms: u64) {
        if let Some(principal) = &self.principal {
            principal.give_back(events as u64, now_ms);
        }
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
