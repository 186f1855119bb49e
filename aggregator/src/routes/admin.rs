//! `/admin/...`: what operators see and do.

mod dead_letters;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::Uri;
use serde::Serialize;

use super::json;
use crate::app::App;
use crate::auth::Operator;
use crate::error::QueryError;
use crate::params::Params;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/info", get(info))
        .route("/admin/pipeline", get(pipeline))
        .route("/admin/dead-letters", get(dead_letters::list))
        .route("/admin/dead-letters/replay", post(dead_letters::replay))
        .route("/admin/dead-letters/purge", post(dead_letters::purge))
        .route("/admin/dead-letters/{id}", get(dead_letters::one))
}

/// The answer of `GET /admin/info`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoAnswer<'a> {
    /// The version of this aggregator.
    version: &'static str,
    /// Where browsers reach ingest.
    ingest_url: &'a str,
}

async fn info(State(app): State<App>, _: Operator, uri: Uri) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    json(&InfoAnswer {
        version: env!("CARGO_PKG_VERSION"),
        ingest_url: &app.ingest_url,
    })
}

async fn pipeline(State(app): State<App>, _: Operator, uri: Uri) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let stored_through = app.counters.stored_through_ms().await.ok();
    json(&*app.admin.pipeline(stored_through).await?)
}
