//! The problems that routes answer with.

use std::collections::BTreeMap;

use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

/// An error, as `application/problem+json` (RFC 9457).
#[derive(Debug, ToSchema)]
#[schema(as = Problem, title = "Problem")]
#[expect(dead_code, reason = "describes what evp_shared::http::problem writes")]
pub struct ProblemSchema {
    /// `about:blank`.
    r#type: String,
    /// What to do, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong, from a closed list that only grows.
    code: String,
    /// Whether the same request may succeed later, unchanged.
    retryable: bool,
    /// What is wrong with this request.
    detail: Option<String>,
    /// As the header Retry-After.
    #[schema(rename = "retryAfterSeconds")]
    retry_after_seconds: Option<u64>,
    /// The parameter that is to blame.
    parameter: Option<String>,
}

const BAD: (u16, &str) = (
    400,
    "The request is wrong: `parameter` or `detail` says where",
);
const UNKNOWN: (u16, &str) = (
    401,
    "With `auth.mode = \"keys\"`: no key, or none that is good",
);
const REFUSED: (u16, &str) = (
    403,
    "The key does not allow this, or the Host or Origin may not use this service",
);
const OFF: (u16, &str) = (404, "This way of signing in is not open here");
const AWAY: (u16, &str) = (
    503,
    "Redis or MongoDB does not answer, or too much is under way",
);
const LIMITED: (u16, &str) = (
    429,
    "A client, a key or its tenant is over a rate or a quota",
);
const SLOW: (u16, &str) = (408, "The body came too slowly");
const LARGE: (u16, &str) = (413, "The body is too large");
const KIND: (u16, &str) = (415, "The body is of a type the route does not take");

/// Types that stand for the problems of routes.
macro_rules! problems_of {
    ($($(#[$doc:meta])* $Routes:ident: $($problem:ident)+;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $Routes;

        impl IntoResponses for $Routes {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                problems(&[$($problem),+])
            }
        }
    )*};
}

problems_of! {
    /// Problems of every route of the aggregator.
    Always: BAD UNKNOWN REFUSED;
    /// Problems of routes that read MongoDB or Redis.
    Reading: BAD UNKNOWN REFUSED AWAY;
    /// Problems of ingest.
    Taking: BAD UNKNOWN REFUSED SLOW LARGE KIND LIMITED AWAY;
    /// Problems of routes that take a body.
    WithBody: BAD UNKNOWN REFUSED SLOW LARGE KIND AWAY;
    /// Problems of signing in.
    SigningIn: BAD UNKNOWN REFUSED OFF SLOW LARGE KIND LIMITED AWAY;
}

fn problems(rows: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let problem = || Content::new(Some(Ref::from_schema_name("Problem")));
    let response = |(status, description): &(u16, &str)| {
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", problem());
        (status.to_string(), RefOr::T(response.build()))
    };
    rows.iter().map(response).collect()
}
