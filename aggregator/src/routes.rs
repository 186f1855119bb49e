//! The public port, one module per resource.

mod admin;
mod events;
mod metrics;
mod stream;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use evp_shared::http::admin::livez;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use crate::app::App;
use crate::error::QueryError;
use crate::guard::guard;

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::one))
        .route("/metrics", get(metrics::now))
        .route("/metrics/series", get(metrics::series))
        .route("/stream", get(stream::stream))
        .merge(admin::routes())
        .route("/livez", get(async || livez().map(Body::new)))
        .fallback(async || QueryError::NotFound)
        .method_not_allowed_fallback(async || QueryError::MethodNotAllowed)
        .layer(from_fn_with_state(app.clone(), guard))
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
