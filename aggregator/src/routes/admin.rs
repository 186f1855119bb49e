//! `/admin/...`: what operators see and do.

pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod tenants;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::admin::pipeline::PipelineState;
use crate::auth::Operator;
use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::{Always, Reading};
use crate::state::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/info", get(info))
        .route("/admin/pipeline", get(pipeline))
        .route("/admin/audit", get(audit::audit))
        .route("/admin/dead-letters", get(dead_letters::list))
        .route("/admin/dead-letters/replay", post(dead_letters::replay))
        .route("/admin/dead-letters/purge", post(dead_letters::purge))
        .route("/admin/dead-letters/{id}", get(dead_letters::one))
        .merge(tenants::routes())
        .merge(keys::routes())
        .merge(members::routes())
}

/// The answer of `GET /admin/info`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InfoAnswer<'a> {
    /// The version of this aggregator.
    version: &'static str,
    /// Where browsers reach ingest.
    ingest_url: &'a str,
}

/// What a dashboard has to know
///
/// Whoever is let in may ask: there is nothing in it that `/openapi.json` does not say.
#[utoipa::path(
    get,
    path = "/admin/info",
    tag = "admin",
    operation_id = "info",
    responses((status = 200, description = "Version and addresses", body = InfoAnswer), Always)
)]
pub(crate) async fn info(State(app): State<App>, uri: Uri) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    json(&InfoAnswer {
        version: env!("CARGO_PKG_VERSION"),
        ingest_url: &app.ingest_url,
    })
}

/// The state of the pipeline
#[utoipa::path(
    get,
    path = "/admin/pipeline",
    tag = "admin",
    operation_id = "pipeline",
    responses((status = 200, description = "Streams, consumers, totals, servers", body = PipelineState), Reading)
)]
pub(crate) async fn pipeline(
    State(app): State<App>,
    _: Operator,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let stored_through = app.counters.stored_through_ms().await.ok();
    json(&*app.admin.pipeline(stored_through).await?)
}
