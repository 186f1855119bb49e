//! `GET /analytics`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::analytics::answer::{AnalyticsAnswer, TimeRange};
use crate::analytics::{FRESH, STALE};
use crate::auth::Tenant;
use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::Reading;
use crate::state::App;

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
        (status = 304, description = "The one of If-None-Match is the one"),
        Reading,
    )
)]
pub(crate) async fn analytics(
    State(app): State<App>,
    tenant: Tenant,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, &["range"])?;
    let range = TimeRange::parse(&params)?;
    let answer = app.analytics.get(tenant, range).await?;
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == answer.etag)
    });
    let mut response = if is_known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(answer.body.clone()))
    };
    let headers = response.headers_mut();
    if !is_known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let stale = (STALE - FRESH).as_secs();
    let control = format!(
        "private, max-age={}, stale-while-revalidate={stale}",
        FRESH.as_secs()
    );
    for (name, value) in [(CACHE_CONTROL, &control), (ETAG, &answer.etag)] {
        // Both are plain ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}
