//! Cross-origin requests: which origins' pages may send events. None by default.
//!
//! A browser sends a page's simple POST anywhere, and says only where the page is from: so a request
//! that names another origin is refused, not just its answer hidden. No page is of ingest's own
//! origin, also where `Host` says so: a name can be made to lead to any address (DNS rebinding).

use evp_shared::outcome::RejectReason;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::http::response::Answer;

const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, x-api-key, content-type, content-encoding, idempotency-key, x-request-id, \
     traceparent",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "evp-durability, retry-after, ratelimit, ratelimit-policy, x-request-id",
);
/// How long browsers may remember a preflight, in seconds.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// See the module.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    pub(crate) fn new(origins: &[String]) -> Self {
        let origins = origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self {
            origins: origins.collect(),
        }
    }

    /// The origin of a request, when its pages may send events: one of these, or one that `may`.
    pub(crate) fn origin_if(
        &self,
        headers: &HeaderMap,
        may: impl Fn(&str) -> bool,
    ) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let is_allowed = self.origins.contains(origin) || origin.to_str().is_ok_and(may);
        is_allowed.then(|| origin.clone())
    }

    /// Judges who sends events: a page of one of `origins`, or of these where there are none.
    ///
    /// # Errors
    /// It is a page of an origin that may not. Programs name none.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        origins: &[String],
    ) -> Result<(), RejectReason> {
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let may = match origins {
            [] => self.origins.contains(origin),
            origins => origins.iter().any(|allowed| *allowed == *origin),
        };
        may.then_some(()).ok_or(RejectReason::OriginNotAllowed)
    }

    /// Completes the answer to OPTIONS.
    pub(crate) fn preflight(&self, mut answer: Answer, is_allowed: bool) -> Answer {
        let headers = answer.headers_mut();
        headers.insert(ALLOW, METHODS);
        if is_allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        }
        answer
    }

    /// Lets the page of an allowed origin read the answer, also to a request with credentials:
    /// `sendBeacon` makes no other.
    pub(crate) fn mark(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        headers.insert(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
    }
}
