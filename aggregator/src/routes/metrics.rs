//! `GET /metrics` and `GET /metrics/series`: counts, never from MongoDB.

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::auth::{SeesAll, Tenant};
use crate::counters::series::{SeriesAnswer, SeriesRequest};
use crate::counters::{AllTime, WINDOW_S};
use crate::counts::{NAMED_TYPES_MAX, TypeCount};
use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::Reading;
use crate::state::App;
use crate::time::rfc3339;

/// The answer of `GET /metrics`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetricsAnswer {
    total_events_last_minute: i64,
    by_type: Vec<TypeCount>,
    window_seconds: u64,
    as_of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<TotalsAnswer>,
}

/// Its totals over all time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TotalsAnswer {
    events: i64,
    by_type: Vec<TypeCount>,
    /// Of all tenants together, as the three after it; only for an operator who signed in, and with
    /// `auth.mode = "open"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_lettered: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appended: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backlog: Option<i64>,
}

impl TotalsAnswer {
    fn of(SeesAll(sees_all): SeesAll, all_time: &AllTime) -> Self {
        let totals = &all_time.totals;
        let of_all = |count: i64| sees_all.then_some(count);
        Self {
            events: all_time.counts.total(),
            by_type: all_time.counts.ranked(NAMED_TYPES_MAX),
            duplicates: of_all(totals.duplicate_events),
            dead_lettered: of_all(totals.dead_lettered_events),
            appended: of_all(totals.appended_events),
            backlog: of_all(totals.backlog_events()),
        }
    }
}

/// Counts of the last minute
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "query",
    operation_id = "lastMinute",
    params(("window" = Option<String>, Query, description = "`all` adds totals over all time", pattern = "^all$")),
    responses((status = 200, description = "Exact as of `asOf`", body = MetricsAnswer), Reading)
)]
pub(crate) async fn now(
    State(app): State<App>,
    tenant: Tenant,
    sees_all: SeesAll,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, &["window"])?;
    let parse_all = |window: &str| (window == "all").then_some(());
    let asked = params.parsed("window", "send all or leave it out", parse_all)?;
    let minute = app.counters.last_minute(&tenant).await?;
    let all_time = match asked.is_some() {
        true => Some(app.counters.all_time(&tenant).await?),
        false => None,
    };
    let read_ms = all_time.as_ref().map(|all_time| all_time.as_of_ms);
    json(&MetricsAnswer {
        total_events_last_minute: minute.value.all.total(),
        by_type: minute.value.all.ranked(NAMED_TYPES_MAX),
        window_seconds: WINDOW_S,
        as_of: rfc3339(minute.as_of_ms.min(read_ms.unwrap_or(u64::MAX))),
        totals: all_time.map(|all_time| TotalsAnswer::of(sees_all, &all_time.value)),
    })
}

/// Counts over time
#[utoipa::path(
    get,
    path = "/metrics/series",
    tag = "query",
    operation_id = "series",
    params(
        ("window" = Option<String>, Query, description = "`90s`, `15m`, `2h`, `7d`...", pattern = "^[1-9][0-9]{0,2}[smhd]$"),
        ("step" = Option<String>, Query, description = "`second`, `minute` or `hour`", pattern = "^(second|minute|hour)$"),
        ("type" = Option<Vec<String>>, Query, description = "Event types, at most 50"),
    ),
    responses((status = 200, description = "A point for each step", body = SeriesAnswer), Reading)
)]
pub(crate) async fn series(
    State(app): State<App>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, &["window", "step", "type"])?;
    let request = SeriesRequest::parse(&params, app.clock.now_ms())?;
    json(&app.counters.series(&tenant, &request).await?)
}
