//! `GET /openapi.json`, `GET /docs` and `GET /livez`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use evp_shared::http::admin;
use evp_shared::outcome::RejectReason;
use http::Uri;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use utoipa_swagger_ui::Config;

use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::Always;
use crate::state::App;

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    operation_id = "describe",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Always)
)]
pub(crate) async fn openapi(State(app): State<App>, uri: Uri) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    Ok(file("application/json", app.description))
}

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/livez",
    tag = "service",
    operation_id = "live",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(crate) async fn livez() -> Response {
    admin::livez().map(Body::new)
}

/// A browser for the description; its files are in the binary.
pub(super) async fn browse(path: Option<Path<String>>) -> Result<Response, QueryError> {
    let path = path.map(|Path(path)| path).unwrap_or_default();
    let config = Arc::new(Config::new(["/openapi.json"]));
    match utoipa_swagger_ui::serve(&path, config) {
        Ok(Some(found)) => Ok(file(&found.content_type, found.bytes.into_owned())),
        Ok(None) | Err(_) => Err(RejectReason::NotFound.into()),
    }
}

fn file(kind: &str, content: impl Into<Body>) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
    (headers, content.into()).into_response()
}
