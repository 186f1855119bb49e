//! `GET /analytics`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::analytics::answer::{AnalyticsAnswer, TimeRange};
use crate::auth::Tenant;
use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::Reading;
use crate::state::App;

/// What `FRESH` and, beyond it, `STALE` of [`crate::analytics`] come to.
const CONTROL: &str = "private, max-age=10, stale-while-revalidate=50";

/// What happened lately
///
/// Counts are exact; unique ids and top users are estimates, with their error.
#[utoipa::path(
    get,
    path = "/analytics",
    tag = "query",
    operation_id = "analytics",
    params((
        "range" = Option<String>, Query,
        description = "`15m`, `1h` (the default), `24h` or `7d`", pattern = "^(15m|1h|24h|7d)$",
    )),
    responses(
        (status = 200, description = "At most 10 s old, or a minute while its successor is read", body = AnalyticsAnswer),
        Reading,
    )
)]
pub(crate) async fn analytics(
    State(app): State<App>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, &["range"])?;
    let range = TimeRange::parse(&params)?;
    let is_sketched = app.door.has_analytics(&tenant);
    let answer = app.analytics.get((tenant, is_sketched), range).await?;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, CONTROL)];
    Ok((headers, answer.body.clone()).into_response())
}
