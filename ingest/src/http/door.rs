//! Who may send events, and whose they are: judged by the head of a request, before anything is read
//! or held for it.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::access::credential;
use evp_shared::access::map::{AccessMap, Principal};
use evp_shared::access::reader::Access;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::http::cors::Cors;
use crate::sender::Sender;

/// When a service that has learned nothing yet may be asked again.
const LEARNED_WITHIN: Duration = Duration::from_secs(1);

/// Who is let in.
#[derive(Debug)]
pub(crate) enum Door {
    /// Everybody: `auth.mode = "open"`.
    Open(Sender),
    /// Whoever shows a key that writes.
    Keys(Access),
}

impl Door {
    /// The one that is open.
    pub(crate) fn open() -> Self {
        Self::Open(Sender::anybody())
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
        let tenant = tenant.inspect_err(|reason| principal.usage().refuse(*reason))?;
        Ok(Sender::new(tenant, Arc::clone(principal)))
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
