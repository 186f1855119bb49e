//! Why a query has no answer, and what the client is told.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use evp_shared::dead_letters::DeadLetterError;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use evp_shared::stream::StreamError;
use http::StatusCode;
use mongodb::error::Error as MongoError;

use crate::params::BadParameter;
use crate::time::rfc3339;

/// A dependency that went away is looked for again within this time.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The request is wrong.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    /// The cursor is damaged or belongs to another query.
    #[error("cursor is not one of this query")]
    Cursor,
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
    /// There is no such event.
    #[error("no such event")]
    EventNotFound {
        /// Everything accepted before this Unix ms is stored.
        stored_through_ms: u64,
    },
    /// There is no such dead letter.
    #[error("no such dead letter")]
    DeadLetterNotFound,
    /// The request may not be made from where it comes.
    #[error("request is refused")]
    Refused(RejectReason),
    /// The body is not one the resource takes.
    #[error("body: {fault}")]
    Body {
        /// What is wrong with it.
        reason: RejectReason,
        /// What to send instead.
        fault: Cow<'static, str>,
    },
    /// As many requests of this kind as may be are under way.
    #[error("too many requests of this kind")]
    Busy,
    /// There is no such resource.
    #[error("no such resource")]
    NotFound,
    /// The resource does not take this method.
    #[error("method not allowed")]
    MethodNotAllowed,
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
            DeadLetterError::Redis(error) => error.into(),
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

impl QueryError {
    /// The reason, from the closed list.
    pub const fn reason(&self) -> RejectReason {
        match self {
            Self::Parameter(bad) => bad.reason,
            Self::Cursor => RejectReason::CursorInvalid,
            Self::Timeout => RejectReason::QueryTimeout,
            Self::Store { .. } => RejectReason::StoreUnavailable,
            Self::Counters { .. } => RejectReason::CountersUnavailable,
            Self::EventNotFound { .. } => RejectReason::EventNotFound,
            Self::DeadLetterNotFound => RejectReason::DeadLetterNotFound,
            Self::Refused(reason) => *reason,
            Self::Body { reason, .. } => *reason,
            Self::Busy => RejectReason::Busy,
            Self::NotFound => RejectReason::NotFound,
            Self::MethodNotAllowed => RejectReason::MethodNotAllowed,
        }
    }

    fn problem(&self) -> Problem {
        let reason = self.reason();
        let status = reason
            .status()
            .and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Problem::new(status, reason.as_str(), reason.message());
        match self {
            Self::Parameter(bad) => problem
                .detail(&bad.fault)
                .with("parameter", bad.name.as_str()),
            Self::Cursor => problem.with("parameter", "cursor"),
            Self::EventNotFound { stored_through_ms } => {
                problem.with("storedThrough", rfc3339(*stored_through_ms))
            }
            Self::Timeout => problem.retryable(),
            Self::Body { fault, .. } => problem.detail(fault),
            Self::Store { .. } | Self::Counters { .. } | Self::Busy => {
                problem.retry_after(RETRY_AFTER)
            }
            Self::DeadLetterNotFound
            | Self::Refused(_)
            | Self::NotFound
            | Self::MethodNotAllowed => problem,
        }
    }
}

impl IntoResponse for QueryError {
    fn into_response(self) -> Response {
        if matches!(self, Self::Store { .. } | Self::Counters { .. }) {
            // The probe reports a dependency that is away, once; a line per request would not help.
            tracing::debug!(error = &self as &dyn std::error::Error, "query failed");
        }
        self.problem().into_response().map(Body::new)
    }
}
