//! Why a query has no answer, and what the client is told.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use evp_shared::dead_letters::DeadLetterError;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use evp_shared::stream::StreamError;
use mongodb::error::{Error as MongoError, ErrorKind};

use crate::tries::Limited;

/// A dependency that went away is looked for again within this time.
const RETRY_AFTER: Duration = Duration::from_secs(2);

const TENANT_BUSY: &str = "as many of these as one tenant may have are under way: a quarter of them all; \
                           come back after Retry-After";

/// Why a query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The client has to change something.
    #[error("request is refused")]
    Refused(Box<Problem>),
    /// Nothing was found within the time limit.
    #[error("query ran out of time")]
    Timeout,
    /// MongoDB does not answer, or not as expected.
    #[error("events cannot be read")]
    Store {
        /// What the driver said, unless the answer was waited for too long.
        #[source]
        source: Option<MongoError>,
    },
    /// Redis does not answer, or not as expected.
    #[error("counters cannot be read")]
    Counters {
        /// What went wrong, unless the answer was waited for too long.
        #[source]
        source: Option<Arc<StreamError>>,
    },
    /// As many requests of this kind as may be are under way.
    #[error("too many requests of this kind")]
    Busy,
    /// As many of them as one tenant may have are.
    #[error("too many requests of this kind by one tenant")]
    TenantBusy,
    /// A client has tried as often as it may.
    #[error(transparent)]
    Limited(#[from] Limited),
}

impl From<Problem> for QueryError {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<RejectReason> for QueryError {
    fn from(reason: RejectReason) -> Self {
        Problem::from(reason).into()
    }
}

/// The code of mongod for a command that ran out of `maxTimeMS`.
const MAX_TIME_EXPIRED: i32 = 50;

impl From<MongoError> for QueryError {
    fn from(source: MongoError) -> Self {
        if evp_shared::store::code_of(&source) == Some(MAX_TIME_EXPIRED) {
            Self::Timeout
        } else {
            Self::Store {
                source: Some(source),
            }
        }
    }
}

impl From<StreamError> for QueryError {
    fn from(source: StreamError) -> Self {
        Self::Counters {
            source: Some(Arc::new(source)),
        }
    }
}

impl From<DeadLetterError> for QueryError {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::Mongo(error) => error.into(),
            DeadLetterError::NoAnswer(_) => Self::Store { source: None },
            DeadLetterError::Redis(error) => error.into(),
            error @ DeadLetterError::Identity => {
                tracing::error!(%error, "dead letters not replayed");
                Self::Store { source: None }
            }
            error @ DeadLetterError::NotWritten { .. } => {
                tracing::warn!(%error, "dead letters not written");
                Self::Store { source: None }
            }
            error @ (DeadLetterError::Append(_) | DeadLetterError::NoProducer { .. }) => {
                tracing::warn!(%error, "dead letters not replayed");
                Self::Counters { source: None }
            }
        }
    }
}

/// A known parameter with a value it does not take, and what to send instead.
pub fn bad_parameter(name: &str, detail: impl AsRef<str>) -> Problem {
    let problem = Problem::from(RejectReason::InvalidParameter).detail(detail);
    problem.with("parameter", name)
}

/// A cursor that is damaged or belongs to another query.
pub fn bad_cursor() -> Problem {
    Problem::from(RejectReason::CursorInvalid).with("parameter", "cursor")
}

impl QueryError {
    /// What the client has to change, where that is it.
    pub fn refusal(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether Redis or MongoDB is away by it, or only did not do what it was asked.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Store { source } => source.as_ref().is_none_or(|error| {
                matches!(
                    *error.kind,
                    ErrorKind::ServerSelection { .. }
                        | ErrorKind::Io(_)
                        | ErrorKind::ConnectionPoolCleared { .. }
                        | ErrorKind::DnsResolve { .. }
                )
            }),
            Self::Counters { source } => source.as_ref().is_none_or(|error| {
                matches!(
                    **error,
                    StreamError::NotConnected | StreamError::Unknown { .. }
                )
            }),
            Self::Refused(_) | Self::Busy | Self::TenantBusy | Self::Limited(_) => false,
        }
    }

    fn problem(self) -> Problem {
        let reason = match self {
            Self::Refused(problem) => return *problem,
            Self::Timeout => return RejectReason::QueryTimeout.into(),
            Self::Store { .. } => RejectReason::StoreUnavailable,
            Self::Counters { .. } => RejectReason::CountersUnavailable,
            Self::Busy => RejectReason::Busy,
            Self::Limited(limited) => return limited.into(),
            Self::TenantBusy => {
                let problem = Problem::from(RejectReason::Busy).detail(TENANT_BUSY);
                return problem.retry_after(RETRY_AFTER);
            }
        };
        Problem::from(reason).retry_after(RETRY_AFTER)
    }
}

impl IntoResponse for QueryError {
    fn into_response(self) -> Response {
        if matches!(self, Self::Store { .. } | Self::Counters { .. }) {
            // The probe reports a dependency that is away, once; a line per request would not help.
            tracing::debug!(error = &self as &dyn std::error::Error, "query failed");
        }
        let limited = match self {
            Self::Limited(limited) => Some(limited),
            _ => None,
        };
        let mut response = self.problem().into_response().map(Body::new);
        let headers = limited.into_iter().flat_map(Limited::headers);
        response.headers_mut().extend(headers);
        response
    }
}
