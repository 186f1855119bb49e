//! Bodies of requests that change something.

use std::time::Duration;

use axum::body::Body;
use evp_shared::http::body::{self, BodyError, BodyLimits};
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use crate::error::bad_parameter;

/// Room for a thousand ids, and slow clients.
const BODY: BodyLimits = BodyLimits {
    wire_bytes: 256 * 1024,
    idle: Duration::from_secs(10),
    total: Duration::from_secs(30),
};

/// Reads JSON, and only what says that it is: a form of another page's cannot say so.
///
/// # Errors
/// What is wrong with it; `parameter` names the member that is to blame.
pub(super) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let refuse = |reason: RejectReason, detail: &str| Problem::from(reason).detail(detail);
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    if !kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json")) {
        return Err(refuse(
            RejectReason::UnsupportedContentType,
            "send application/json",
        ));
    }
    let read = body::read(body, &BODY, || false).await;
    let bytes = read.map_err(|error| match error {
        BodyError::TooLarge { .. } => {
            let detail = format!("send at most {} bytes", BODY.wire_bytes);
            refuse(RejectReason::BodyTooLarge, &detail)
        }
        BodyError::Stalled { .. } | BodyError::Deadline { .. } => {
            refuse(RejectReason::BodyTimeout, "send the body without pauses")
        }
        BodyError::Aborted(_) => refuse(RejectReason::TruncatedBody, "send the whole body"),
    })?;
    parse(&bytes)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = |error: serde_json::Error| {
        Problem::from(RejectReason::MalformedJson).detail(error.to_string())
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let asked = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            bad_parameter(&path, error.to_string())
        } else {
            malformed(error)
        }
    })?;
    json.end().map_err(malformed)?;
    Ok(asked)
}
