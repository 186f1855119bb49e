//! `/admin/tenants`.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, patch};
use evp_shared::access::rate::{Rate, RateLimits};
use evp_shared::access::record::{Tenant, TenantId, TenantState};
use evp_shared::access::store::{Change, NewTenant};
use evp_shared::choice::Choice as _;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Asker, Operator};
use crate::error::{QueryError, bad_parameter};
use crate::params::Params;
use crate::routes::body::{Asked, object_or_null};
use crate::routes::{json, named};
use crate::schema::problem::{ProblemSchema, Reading, WithBody};
use crate::state::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/tenants", get(tenants).post(add_tenant))
        .route("/admin/tenants/{id}", patch(change_tenant))
}

/// What passes; everything where nothing is said. Each instance of ingest counts for itself.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Events.
    #[serde(default, deserialize_with = "object_or_null")]
    events: Option<LimitRate>,
    /// Bytes of bodies, decompressed.
    #[serde(default, deserialize_with = "object_or_null")]
    bytes: Option<LimitRate>,
}

/// How much passes in the long run, and at once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitRate {
    per_second: u64,
    burst: u64,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantItem {
    id: String,
    name: String,
    /// `active`, or `disabled`: its keys are refused.
    state: &'static str,
    limits: Limits,
    /// `null` where there is no quota.
    events_per_day: Option<u64>,
    /// How many of its types are counted by name; events of the rest count as `__other__`.
    types: u32,
    /// Whether `/analytics` knows its unique and top users.
    analytics: bool,
}

/// The answer of `GET /admin/tenants`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantsAnswer {
    items: Vec<TenantItem>,
}

/// A tenant to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenantBody {
    /// 1 to 32 of `a-z`, `0-9` and `-`. It is never changed, and never given again.
    id: String,
    name: Option<String>,
    /// How many of its types are counted by name, 200 unless said. All tenants together may have
    /// 20,000.
    types: Option<u32>,
    /// Whether `/analytics` is to know its unique and top users: 32 tenants may have that.
    analytics: Option<bool>,
}

/// A change of a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TenantBody {
    /// `active` or `disabled`.
    state: Option<String>,
    /// What all its keys together may send.
    #[serde(default, deserialize_with = "object_or_null")]
    limits: Option<Limits>,
    /// Events they may send in a UTC day, over all instances; 0 takes the quota away.
    events_per_day: Option<u64>,
    /// How many of its types are counted by name. Those that are named already stay so.
    types: Option<u32>,
    /// Whether `/analytics` is to know its unique and top users.
    analytics: Option<bool>,
}

/// List tenants
#[utoipa::path(
    get,
    path = "/admin/tenants",
    tag = "admin",
    operation_id = "listTenants",
    responses((status = 200, description = "All tenants", body = TenantsAnswer), Reading)
)]
pub(crate) async fn tenants(
    State(app): State<App>,
    _: Operator,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let tenants = app.keys.tenants().await?;
    let items = tenants.into_iter().map(TenantItem::from).collect();
    json(&TenantsAnswer { items })
}

/// Make a tenant
#[utoipa::path(
    post,
    path = "/admin/tenants",
    tag = "admin",
    operation_id = "addTenant",
    request_body = NewTenantBody,
    responses((status = 200, description = "It is in force", body = TenantItem), WithBody)
)]
pub(crate) async fn add_tenant(
    State(app): State<App>,
    _: Operator,
    Asker(actor): Asker,
    Asked(asked): Asked<NewTenantBody>,
) -> Result<Response, QueryError> {
    let id = tenant_id("id", &asked.id)?;
    let new = NewTenant {
        id,
        name: asked.name.unwrap_or(asked.id),
        types: asked.types,
        analytics: asked.analytics,
    };
    let keys = app.keys;
    let work = async move { keys.add_tenant(actor, new).await };
    let tenant = app.changes.finish(None, work).await?;
    json(&TenantItem::from(tenant))
}

/// Change a tenant
#[utoipa::path(
    patch,
    path = "/admin/tenants/{id}",
    tag = "admin",
    operation_id = "changeTenant",
    params(("id" = String, Path, description = "The tenant")),
    request_body = TenantBody,
    responses(
        (status = 200, description = "It is in force", body = TenantItem),
        (status = 404, description = "There is no such tenant", body = ProblemSchema,
         content_type = "application/problem+json"),
        WithBody,
    )
)]
pub(crate) async fn change_tenant(
    State(app): State<App>,
    _: Operator,
    Asker(actor): Asker,
    id: Result<Path<String>, PathRejection>,
    Asked(asked): Asked<TenantBody>,
) -> Result<Response, QueryError> {
    let id: TenantId = named(id, RejectReason::TenantNotFound)?;
    let state = asked.state.map(|state| {
        let state = TenantState::named(&state);
        state.ok_or_else(|| bad_parameter("state", "send active or disabled"))
    });
    let change = Change {
        state: state.transpose()?,
        limits: asked.limits.map(RateLimits::from),
        events_per_day: asked.events_per_day,
        types: asked.types,
        analytics: asked.analytics,
    };
    let keys = app.keys;
    let work = async move { keys.change(actor, &id, &change).await };
    let changed = app.changes.finish(None, work).await?;
    json(&TenantItem::from(changed))
}

pub(super) fn tenant_id(field: &str, text: &str) -> Result<TenantId, Problem> {
    text.parse()
        .map_err(|error| bad_parameter(field, format!("{error}")))
}

impl From<Limits> for RateLimits {
    fn from(limits: Limits) -> Self {
        let rate = |LimitRate { per_second, burst }| Rate { per_second, burst };
        Self {
            events: limits.events.map(rate),
            bytes: limits.bytes.map(rate),
        }
    }
}

impl From<RateLimits> for Limits {
    fn from(limits: RateLimits) -> Self {
        let rate = |Rate { per_second, burst }| LimitRate { per_second, burst };
        Self {
            events: limits.events.map(rate),
            bytes: limits.bytes.map(rate),
        }
    }
}

impl From<Tenant> for TenantItem {
    fn from(tenant: Tenant) -> Self {
        Self {
            types: tenant.types_max(),
            analytics: tenant.has_analytics(),
            id: tenant.id.into(),
            name: tenant.name,
            state: tenant.state.as_str(),
            limits: tenant.limits.into(),
            events_per_day: tenant.events_per_day,
        }
    }
}
