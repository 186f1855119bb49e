//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::outcome::RejectReason;

/// An error for a client.
///
/// # Shape
/// `{"type":"about:blank","title":"...","status":503,"code":"...","retryable":true,"detail":"..."}`
/// and any extension members. `code` is stable and from a closed list; texts may change. Texts
/// reach the public: no addresses, keys or driver messages in them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(rename = "retryAfterSeconds", skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    #[serde(flatten)]
    extensions: Map<String, Value>,
}

impl From<RejectReason> for Problem {
    /// The problem of a reason that refuses a whole request.
    fn from(reason: RejectReason) -> Self {
        let bad = StatusCode::BAD_REQUEST;
        Self {
            status: reason.status().unwrap_or(bad.as_u16()),
            retryable: reason.is_retryable(),
            ..Self::new(bad, reason.as_str(), reason.message())
        }
    }
}

impl Problem {
    /// Starts a problem that sending the same request again will not cure.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            code,
            retryable: false,
            detail: None,
            retry_after_s: None,
            extensions: Map::new(),
        }
    }

    /// Says what is wrong with this request; control characters are escaped, so that a client's
    /// own text cannot forge lines in its terminal or log.
    #[must_use]
    pub fn detail(mut self, detail: impl AsRef<str>) -> Self {
        self.detail = Some(escape_control(detail.as_ref()));
        self
    }

    /// Says that the same request may succeed after `wait`: whole seconds, rounded up, at least 1.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        let rest = if wait.subsec_nanos() > 0 { 1 } else { 0 };
        let seconds = wait.as_secs().saturating_add(rest);
        self.retry_after_s = Some(if seconds == 0 { 1 } else { seconds });
        self.retryable = true;
        self
    }

    /// Adds a member of this code's own; the standard members cannot be replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        debug_assert!(!STANDARD.contains(&name), "{name} is a standard member");
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What it says under `name`, of the standard members too; null for what it does not say.
    #[cfg(any(test, feature = "test-util"))]
    pub fn member(&self, name: &str) -> Value {
        let mut members = serde_json::to_value(self).unwrap_or_default();
        members.get_mut(name).map(Value::take).unwrap_or_default()
    }

    /// Renders the answer, with `Retry-After` where a wait was given.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let body = serde_json::to_vec(&self).unwrap_or_else(|_| br#"{"status":500}"#.to_vec());
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"evp\""),
            );
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

const STANDARD: [&str; 7] = [
    "type",
    "title",
    "status",
    "code",
    "retryable",
    "detail",
    "retryAfterSeconds",
];

fn escape_control(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn render(problem: Problem) -> (http::response::Parts, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_problem_has_its_members_and_headers() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded")
            .detail("the backlog is long")
            .retry_after(Duration::from_millis(1_200))
            .with("eventIds", vec!["a", "b"]);
        assert_eq!(problem.member("retryable"), true);
        let (parts, body) = render(problem).await;
        assert_eq!(parts.status, 503);
        assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(parts.headers[RETRY_AFTER], "2");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Overloaded", "status": 503, "code": "overloaded",
            "retryable": true, "detail": "the backlog is long", "retryAfterSeconds": 2,
            "eventIds": ["a", "b"],
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_plain_problem_is_not_retryable() {
        let (parts, body) = render(Problem::new(StatusCode::NOT_FOUND, "no_route", "None")).await;
        assert!(!parts.headers.contains_key(RETRY_AFTER));
        assert_eq!(body["retryable"], false);
        assert!(body.get("detail").is_none());
    }

    #[tokio::test]
    async fn control_characters_in_the_detail_are_escaped() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "x", "X").detail("a\nb\u{1b}[31m ü");
        let (_, body) = render(problem).await;
        assert_eq!(body["detail"], r"a\nb\u{1b}[31m ü");
    }

    #[test]
    fn a_wait_is_at_least_a_second() {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "x", "X");
        let response = problem.retry_after(Duration::ZERO).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
