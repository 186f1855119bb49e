//! The public port, one module per resource.

mod events;
mod metrics;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use evp_shared::http::admin;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use crate::app::App;
use crate::error::QueryError;

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::one))
        .route("/metrics", get(metrics::now))
        .route("/metrics/series", get(metrics::series))
        .route("/livez", get(async || admin::livez().map(Body::new)))
        .fallback(async || QueryError::NotFound)
        .method_not_allowed_fallback(async || QueryError::MethodNotAllowed)
        .with_state(app)
}

/// An answer that nobody may keep: the next one may differ.
fn json(value: &impl Serialize) -> Result<Response, QueryError> {
    // Fails only for a stored document that is no BSON.
    let text = serde_json::to_vec(value).map_err(|_| QueryError::Store { source: None })?;
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
