//! The public port, one module per resource.

pub(crate) mod admin;
pub(crate) mod analytics;
mod body;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod sign_in;
pub(crate) mod stream;
pub(crate) mod usage;

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use evp_shared::clock::Clock;
use evp_shared::outcome::RejectReason;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde::Serialize;

use crate::auth;
use crate::dashboard;
use crate::error::QueryError;
use crate::guard::guard;
use crate::metrics::RequestMetrics;
use crate::state::App;

pub(crate) fn router(app: App) -> Router {
    let measured = (Arc::new(RequestMetrics::resolve()), app.clock.clone());
    Router::new()
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::one))
        .route("/metrics", get(metrics::now))
        .route("/metrics/series", get(metrics::series))
        .route("/analytics", get(analytics::analytics))
        .route("/stream", get(stream::stream))
        .route("/usage", get(usage::usage))
        .merge(sign_in::routes())
        .merge(admin::routes())
        .merge(dashboard::routes())
        .route("/openapi.json", get(docs::openapi))
        // Its files name each other relative to a folder.
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(docs::browse))
        .route("/docs/{*file}", get(docs::browse))
        .route("/livez", get(docs::livez))
        .fallback(async || QueryError::from(RejectReason::NotFound))
        .method_not_allowed_fallback(async || QueryError::from(RejectReason::MethodNotAllowed))
        .layer(from_fn_with_state(app.door.clone(), auth::enter))
        .layer(from_fn_with_state(Arc::clone(&app.site), guard))
        .layer(map_response(unframed))
        .layer(from_fn_with_state(measured, measure))
        .with_state(app)
}

async fn measure(
    State((metrics, clock)): State<(Arc<RequestMetrics>, Clock)>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let began = clock.now();
    let uri = request.uri().clone();
    let response = next.run(request).await;
    // What no route matched has its path, of which nothing but its beginning becomes a label.
    let route = route
        .as_ref()
        .map_or_else(|| uri.path(), MatchedPath::as_str);
    metrics.record(route, response.status(), clock.now() - began);
    response
}

/// No page of another site may show an answer inside itself, where a click on its page would be
/// one on ours; what the page itself may do is the page's to say.
async fn unframed(mut response: Response) -> Response {
    let policy = response.headers_mut().entry(CONTENT_SECURITY_POLICY);
    policy.or_insert(HeaderValue::from_static("frame-ancestors 'none'"));
    response
}

/// What a path names; what nothing can be named by is `missing`.
fn named<T: FromStr>(
    path: Result<Path<String>, PathRejection>,
    missing: RejectReason,
) -> Result<T, RejectReason> {
    let name = path.ok().and_then(|Path(name)| name.parse().ok());
    name.ok_or(missing)
}

/// An answer that nobody may keep: the next one may differ.
fn json(value: &impl Serialize) -> Result<Response, QueryError> {
    // Fails only for a stored document that is no BSON.
    let text = serde_json::to_vec(value).map_err(|_| QueryError::Store { source: None })?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}
