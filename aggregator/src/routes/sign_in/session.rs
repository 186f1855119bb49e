//! `/session`: who is signed in.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use evp_shared::access::record::{Tenant, TenantId};
use evp_shared::outcome::RejectReason;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Asker, Caller};
use crate::error::{QueryError, bad_parameter};
use crate::params::Params;
use crate::routes::body::read_json;
use crate::routes::json;
use crate::schema::problem::{Reading, WithBody};
use crate::sign_in::cookie::SESSION;
use crate::sign_in::role::Role;
use crate::sign_in::session::{Person, Standing};
use crate::state::App;
use crate::time::rfc3339;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/session", get(show).delete(end))
        .route("/session/tenant", post(change_tenant))
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionAnswer {
    /// `open`, where nobody is asked who they are, `key`, `link` or `code`.
    via: &'static str,
    /// Of a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Whose data is seen; `null` for an operator's key in a header, which sees no events.
    tenant: Option<TenantName>,
    /// `viewer`, `admin` of the tenant, or `operator` of all.
    role: &'static str,
    /// Whose data can be seen by changing the tenant.
    tenants: Vec<TenantRole>,
    /// When the session is over unless it is used; only of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_expires_at: Option<String>,
    /// When the session is over however it is used; only of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantName {
    id: String,
    name: String,
}

/// A tenant, and as what it is seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantRole {
    id: String,
    name: String,
    role: &'static str,
}

/// Which tenant to change to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeTenantBody {
    /// Its id.
    tenant: String,
}

impl SessionAnswer {
    /// Of somebody who signed in, among `all` tenants.
    pub(super) fn of_session(all: &[Tenant], standing: &Standing) -> Self {
        let session = &standing.session;
        let answer = Self::of(
            all,
            session.who.via().as_str(),
            standing.role,
            (Some(&session.tenant), &standing.tenants),
        );
        let email = match &session.who {
            Person::Code { email } => Some(email.to_string()),
            Person::Key { .. } | Person::Link { .. } => None,
        };
        Self {
            email,
            idle_expires_at: Some(rfc3339(session.idle_ends_ms())),
            expires_at: Some(rfc3339(session.ends_ms())),
            ..answer
        }
    }

    fn of(
        all: &[Tenant],
        via: &'static str,
        role: Role,
        (tenant, own): (Option<&TenantId>, &[(TenantId, Role)]),
    ) -> Self {
        let seen = |one: &Tenant| match role {
            Role::Operator => Some(Role::Operator),
            Role::Viewer | Role::Admin => {
                let own = own.iter().find(|(id, _)| *id == one.id);
                own.map(|(_, role)| *role)
            }
        };
        let tenants = all.iter().filter_map(|one| {
            let role = seen(one)?.as_str();
            let (id, name) = (one.id.to_string(), one.name.clone());
            Some(TenantRole { id, name, role })
        });
        let name = |id: &TenantId| {
            let found = all.iter().find(|one| one.id == *id);
            found.map_or_else(|| id.to_string(), |one| one.name.clone())
        };
        Self {
            via,
            email: None,
            tenant: tenant.map(|id| TenantName {
                id: id.to_string(),
                name: name(id),
            }),
            role: role.as_str(),
            tenants: tenants.collect(),
            idle_expires_at: None,
            expires_at: None,
        }
    }
}

/// Who is asking
///
/// For a session, and for a key in a header too.
#[utoipa::path(
    get,
    path = "/session",
    tag = "sign-in",
    operation_id = "session",
    responses((status = 200, description = "Who, and what that may see", body = SessionAnswer), Reading)
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let all = app.keys.tenants().await?;
    let answer = match &caller {
        Caller::Anyone => {
            let default = TenantId::default_tenant();
            let own = [(default.clone(), Role::Operator)];
            SessionAnswer::of(&all, "open", Role::Operator, (Some(&default), &own))
        }
        Caller::Key(principal, _) => {
            let key = &principal.key;
            let role = Role::of_key(key.scope, key.kind)?;
            let own: Vec<_> = key.tenant.iter().map(|id| (id.clone(), role)).collect();
            SessionAnswer::of(&all, "key", role, (key.tenant.as_ref(), &own))
        }
        Caller::Session(standing, _) => SessionAnswer::of_session(&all, standing),
    };
    json(&answer)
}

/// Sign out
#[utoipa::path(
    delete,
    path = "/session",
    tag = "sign-in",
    operation_id = "signOut",
    responses((status = 204, description = "The session is over"), Reading)
)]
pub(crate) async fn end(
    caller: Caller,
    Asker(actor): Asker,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let Caller::Session(standing, lock) = caller else {
        return Err(RejectReason::NoSession.into());
    };
    lock.sign_in.end(&actor, &standing).await?;
    let mut response = (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response();
    let gone = lock
        .sign_in
        .cookies
        .write(SESSION, "", std::time::Duration::ZERO);
    if let Some(gone) = gone {
        response.headers_mut().append(SET_COOKIE, gone);
    }
    Ok(response)
}

/// See another tenant
///
/// One that the member belongs to; an operator may see all. Open streams of the session end.
#[utoipa::path(
    post,
    path = "/session/tenant",
    tag = "sign-in",
    operation_id = "changeSessionTenant",
    request_body = ChangeTenantBody,
    responses((status = 200, description = "It is seen now", body = SessionAnswer), WithBody)
)]
pub(crate) async fn change_tenant(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, QueryError> {
    Params::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let asked: ChangeTenantBody = read_json(&head.headers, body).await?;
    let Caller::Session(standing, lock) = caller else {
        return Err(RejectReason::NoSession.into());
    };
    let to = asked.tenant.parse::<TenantId>();
    let to = to.map_err(|error| bad_parameter("tenant", format!("{error}")))?;
    let all = app.keys.tenants().await?;
    // Another's is as if it did not exist.
    if all.iter().all(|one| one.id != to) || !standing.may_see(&to) {
        return Err(bad_parameter("tenant", "send the id of one of your tenants").into());
    }
    let sessions = &lock.sign_in.sessions;
    sessions.change_tenant(&standing.session.hash, &to).await?;
    if let Person::Code { email } = &standing.session.who {
        let seen = standing.role.within(&to);
        app.members.note_sign_in(email, seen).await?;
    }
    let standing = sessions.standing(&standing.session.hash).await?;
    json(&SessionAnswer::of_session(&all, &standing))
}
