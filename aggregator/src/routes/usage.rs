//! `GET /usage`: what became of a tenant's events, and what is left of its quota.

use axum::extract::State;
use axum::response::Response;
use evp_shared::access::usage::ACCEPTED;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::auth::Tenant;
use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::Reading;
use crate::state::App;
use crate::time::rfc3339;

/// The answer of `GET /usage`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageAnswer {
    as_of: String,
    /// `null` where there is none.
    quota: Option<QuotaAnswer>,
    /// Events that were accepted in the last 24 hours.
    accepted: u64,
    /// Requests and events that were refused in the last 24 hours, by code, most first.
    refused: Vec<RefusedAnswer>,
}

/// A quota of a UTC day.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuotaAnswer {
    events_per_day: u64,
    /// Not given out to an instance yet.
    left: u64,
}

/// How often something was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedAnswer {
    code: String,
    count: u64,
}

/// What became of events
///
/// Best effort: what happened in the last seconds is missing, and what an instance had not told when
/// it crashed. With `auth.mode = "open"` nothing is told apart, and all is zero.
#[utoipa::path(
    get,
    path = "/usage",
    tag = "query",
    operation_id = "usage",
    responses((status = 200, description = "Of the last 24 hours", body = UsageAnswer), Reading)
)]
pub(crate) async fn usage(
    State(app): State<App>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let now_ms = app.clock.now_ms();
    let per_day = app.door.events_per_day(&tenant);
    let mut usage = app.keys.usage(tenant.as_str(), per_day, now_ms).await?;
    let accepted = usage.counts.remove(ACCEPTED).unwrap_or(0);
    let refused = usage.counts.into_iter();
    let mut refused: Vec<_> = refused
        .map(|(code, count)| RefusedAnswer { code, count })
        .collect();
    refused.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
    json(&UsageAnswer {
        as_of: rfc3339(now_ms),
        quota: usage.quota.map(|(events_per_day, given)| QuotaAnswer {
            events_per_day,
            left: events_per_day.saturating_sub(given),
        }),
        accepted,
        refused,
    })
}
