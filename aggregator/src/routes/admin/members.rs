//! `/admin/members`.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use evp_shared::access::record::TenantId;
use evp_shared::choice::Choice as _;
use evp_shared::outcome::RejectReason;
use http::header::CACHE_CONTROL;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tenants::tenant_id;
use crate::auth::{Asker, Manager};
use crate::error::{QueryError, bad_parameter};
use crate::params::Params;
use crate::routes::body::Asked;
use crate::routes::json;
use crate::schema::problem::{ProblemSchema, Reading, WithBody};
use crate::sign_in::member::{Email, Member, Membership};
use crate::sign_in::role::Role;
use crate::state::App;
use crate::time::rfc3339;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/admin/members", get(members).put(put).delete(remove))
}

/// Somebody who may sign in by a code.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberItem {
    email: String,
    /// `null` for an operator.
    tenant: Option<String>,
    /// `viewer`, `admin` or `operator`.
    role: &'static str,
    created_at: String,
    /// By a code, or by changing to the tenant after one; left out where that never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sign_in_at: Option<String>,
}

/// The answer of `GET /admin/members`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembersAnswer {
    /// Somebody of several tenants several times.
    members: Vec<MemberItem>,
}

/// Somebody to be invited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberBody {
    /// At most 254 bytes of ASCII; the case makes no difference.
    email: String,
    /// `viewer`, `admin` or `operator`.
    role: String,
    /// To which; left out, to that of whoever asks.
    tenant: Option<String>,
}

/// Somebody to be a member no more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoMemberBody {
    email: String,
    /// Of which; left out, of that of whoever asks, or as an operator.
    tenant: Option<String>,
}

impl MemberItem {
    fn of(member: &Member, tenant: Option<&TenantId>, membership: Membership) -> Self {
        Self {
            email: member.email.to_string(),
            tenant: tenant.map(ToString::to_string),
            role: membership.role.as_str(),
            created_at: rfc3339(membership.created_ms),
            last_sign_in_at: membership.signed_in_ms.map(rfc3339),
        }
    }
}

/// List members
///
/// A tenant's admin sees those of the tenant.
#[utoipa::path(
    get,
    path = "/admin/members",
    tag = "admin",
    operation_id = "listMembers",
    responses((status = 200, description = "Members", body = MembersAnswer), Reading)
)]
pub(crate) async fn members(
    State(app): State<App>,
    manager: Manager,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let own = manager.tenant();
    let is_seen =
        |tenant: Option<&TenantId>| own.is_none() || own.as_deref() == tenant.map(TenantId::as_str);
    let _connection = app.connection(manager.part()).await?;
    let all = app.members.all().await?;
    let members = all.iter().flat_map(|member| {
        let seen = member.memberships().filter(|(tenant, _)| is_seen(*tenant));
        seen.map(|(tenant, membership)| MemberItem::of(member, tenant, membership))
    });
    json(&MembersAnswer {
        members: members.collect(),
    })
}

/// Invite somebody
///
/// Or say anew as what. Sessions of that person have the new role at once.
#[utoipa::path(
    put,
    path = "/admin/members",
    tag = "admin",
    operation_id = "putMember",
    request_body = MemberBody,
    responses((status = 200, description = "The member", body = MemberItem), WithBody)
)]
pub(crate) async fn put(
    State(app): State<App>,
    manager: Manager,
    Asker(actor): Asker,
    Asked(asked): Asked<MemberBody>,
) -> Result<Response, QueryError> {
    let email = email(&asked.email)?;
    let role = Role::named(&asked.role)
        .ok_or_else(|| bad_parameter("role", "send viewer, admin or operator"))?;
    let tenant = tenant_of(&manager, asked.tenant.as_deref(), role == Role::Operator)?;
    if let Some(tenant) = &tenant
        && app
            .keys
            .tenants()
            .await?
            .iter()
            .all(|one| one.id != *tenant)
    {
        return Err(bad_parameter("tenant", "send the id of a tenant").into());
    }
    let (members, of) = (app.members, tenant.clone());
    let work = async move { Ok(members.put(&actor, &email, (of.as_ref(), role)).await?) };
    let member = app.changes.finish(manager.part(), work).await?;
    let membership = member.memberships().find(|(of, _)| *of == tenant.as_ref());
    let (of, membership) = membership.ok_or(RejectReason::MemberNotFound)?;
    json(&MemberItem::of(&member, of, membership))
}

/// Take an invitation back
///
/// Sessions that began with it end at once.
#[utoipa::path(
    delete,
    path = "/admin/members",
    tag = "admin",
    operation_id = "removeMember",
    request_body = NoMemberBody,
    responses(
        (status = 204, description = "It is taken back"),
        (status = 404, description = "There is no such member", body = ProblemSchema,
         content_type = "application/problem+json"),
        WithBody,
    )
)]
pub(crate) async fn remove(
    State(app): State<App>,
    manager: Manager,
    Asker(actor): Asker,
    Asked(asked): Asked<NoMemberBody>,
) -> Result<Response, QueryError> {
    let email = email(&asked.email)?;
    let is_operator = manager.tenant().is_none() && asked.tenant.is_none();
    let tenant = tenant_of(&manager, asked.tenant.as_deref(), is_operator)?;
    let members = app.members;
    let work = async move { Ok(members.remove(&actor, &email, tenant.as_ref()).await?) };
    app.changes.finish(manager.part(), work).await?;
    Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response())
}

fn email(text: &str) -> Result<Email, QueryError> {
    let email = text.parse::<Email>();
    email.map_err(|error| bad_parameter("email", error.to_string()).into())
}

fn tenant_of(
    manager: &Manager,
    asked: Option<&str>,
    is_operator: bool,
) -> Result<Option<TenantId>, QueryError> {
    let asked = asked.map(|id| tenant_id("tenant", id)).transpose()?;
    Ok(manager.tenant_of(is_operator, asked)?)
}
