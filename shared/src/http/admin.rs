//! The admin port of every service: `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;

use super::problem::Problem;
use super::server::{self, RequestBody, ServerLimits};
use crate::config::Secret;
use crate::health::Health;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// Scrapers and probes are few; more is a mistake or an attack.
const CONNECTIONS: usize = 64;
/// Of one address: it leaves room for the scrapers and probes of others.
const CONNECTIONS_PER_ADDRESS: usize = 16;
/// Between two requests of who has not shown the token, where there is one.
const STRANGER_IDLE: Duration = Duration::from_secs(5);

/// Answers are made at once, so what is open when the order comes is idle.
const GRACE: Duration = Duration::from_millis(500);

/// Serves the admin port until the shutdown, which comes after the service has drained: until
/// then probes must see that it is not ready. With a `token`, only who shows it learns more than
/// whether the service is ready.
///
/// # Errors
/// None: the type is what a task set asks for.
pub async fn serve(
    listener: TcpListener,
    token: Option<Secret>,
    health: Health,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    let limits = ServerLimits {
        connections: CONNECTIONS,
        connections_per_address: CONNECTIONS_PER_ADDRESS,
        stranger_idle: STRANGER_IDLE,
        ..ServerLimits::named("admin")
    };
    let service = move |request: Request<RequestBody>| {
        let is_known = token
            .as_ref()
            .is_none_or(|token| shows(request.headers(), token));
        if is_known {
            request.body().connection().note_credential();
        }
        let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
        std::future::ready(match request.uri().path() {
            "/livez" | "/readyz" | "/metrics" if !is_read => method_not_allowed(),
            "/livez" => livez(),
            "/readyz" => readyz(&health, is_known),
            "/metrics" if !is_known => no_token(),
            "/metrics" => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                health.show();
                body(StatusCode::OK, kind, telemetry.render().into())
            }
            _ => not_found(),
        })
    };
    server::serve(listener, limits, service, shutdown, GRACE).await;
    Ok(())
}

/// Answers `/livez`, on the public port too: the process runs and answers.
pub fn livez() -> Response<Full<Bytes>> {
    body(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        Bytes::from_static(b"ok\n"),
    )
}

/// Compares hashes: how long it takes tells nothing of the token.
fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let shown = value.and_then(|value| value.strip_prefix(b"Bearer "));
    shown.is_some_and(|shown| blake3::hash(shown) == blake3::hash(token.expose().as_bytes()))
}

fn no_token() -> Response<Full<Bytes>> {
    Problem::new(StatusCode::UNAUTHORIZED, "admin_token", "Not let in")
        .detail("send the value of admin.token as Authorization: Bearer")
        .into_response()
}

fn readyz(health: &Health, tells_why: bool) -> Response<Full<Bytes>> {
    let readiness = health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let json = if tells_why {
        serde_json::to_vec(&readiness).unwrap_or_default()
    } else {
        format!("{{\"ready\":{}}}", readiness.ready).into_bytes()
    };
    body(status, "application/json", Bytes::from(json))
}

fn body(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn not_found() -> Response<Full<Bytes>> {
    Problem::new(StatusCode::NOT_FOUND, "no_route", "No such route")
        .detail("the admin port has /livez, /readyz and /metrics")
        .into_response()
}

fn method_not_allowed() -> Response<Full<Bytes>> {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Method not allowed",
    );
    let mut response = problem
        .detail("the admin port is read only")
        .into_response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
