//! `/sign-in/...` and `/session`: how people come in.

pub(crate) mod code;
pub(crate) mod session;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use evp_shared::access::record::{Tenant, TenantId};
use evp_shared::audit::Actor;
use http::header::SET_COOKIE;
use http::{Extensions, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::session::SessionAnswer;
use super::body::read_json;
use super::json;
use crate::auth::{Door, Lock, access_unknown, client, named};
use crate::error::QueryError;
use crate::params::Params;
use crate::schema::problem::{Always, SigningIn};
use crate::sign_in::cookie::SESSION;
use crate::sign_in::role::Role;
use crate::sign_in::session::{LONGEST, NewSession, Person};
use crate::state::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/sign-in", get(methods))
        .route("/sign-in/key", post(by_key))
        .route("/sign-in/link", post(by_link))
        .merge(code::routes())
        .merge(session::routes())
}

/// The answer of `GET /sign-in`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MethodsAnswer {
    /// `open`, where nobody has to sign in, or `keys`.
    mode: &'static str,
    /// `key`, `link`, and `code` where mail is configured.
    methods: Vec<&'static str>,
}

/// A key that signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyBody {
    /// One that is secret, and does not only write.
    key: String,
}

/// A link that signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkBody {
    /// What stands in the link behind `#sign-in=`.
    token: String,
}

/// How to sign in
#[utoipa::path(
    get,
    path = "/sign-in",
    tag = "sign-in",
    operation_id = "signInMethods",
    responses((status = 200, description = "What is open here", body = MethodsAnswer), Always)
)]
pub(crate) async fn methods(State(app): State<App>, uri: Uri) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let (mode, methods) = match &app.door {
        Door::Open => ("open", Vec::new()),
        Door::Keys(lock) => {
            let code = lock.sign_in.codes.as_ref().map(|_| "code");
            let methods = ["key", "link"].into_iter().chain(code);
            ("keys", methods.collect())
        }
    };
    json(&MethodsAnswer { mode, methods })
}

/// Sign in with a key
///
/// The session ends with its key.
#[utoipa::path(
    post,
    path = "/sign-in/key",
    tag = "sign-in",
    operation_id = "signInByKey",
    request_body = KeyBody,
    responses((status = 200, description = "Signed in, by a cookie", body = SessionAnswer), SigningIn)
)]
pub(crate) async fn by_key(
    State(app): State<App>,
    request: Request,
) -> Result<Response, QueryError> {
    Params::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let lock = app.door.sign_in()?;
    let judged = async {
        let asked: KeyBody = read_json(&head.headers, body).await?;
        let principal = lock.principal(&asked.key)?;
        let key = &principal.key;
        let new = NewSession {
            role: Role::of_key(key.scope, key.kind)?,
            who: Person::Key { key: key.hash },
            name: named(&principal),
            tenant: key.tenant.clone().unwrap_or_else(TenantId::default_tenant),
        };
        Ok((new, app.keys.tenants().await?))
    };
    signed_in(lock, &head.extensions, judged).await
}

/// Sign in with a link
///
/// A link signs in once, within ten minutes. `evp-aggregator access link` makes one.
#[utoipa::path(
    post,
    path = "/sign-in/link",
    tag = "sign-in",
    operation_id = "signInByLink",
    request_body = LinkBody,
    responses((status = 200, description = "Signed in, by a cookie", body = SessionAnswer), SigningIn)
)]
pub(crate) async fn by_link(
    State(app): State<App>,
    request: Request,
) -> Result<Response, QueryError> {
    Params::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let lock = app.door.sign_in()?;
    let judged = async {
        let asked: LinkBody = read_json(&head.headers, body).await?;
        // A link signs in once: what else may fail comes first.
        let tenants = app.keys.tenants().await?;
        let link = lock.sign_in.links.take(&asked.token).await?;
        let new = NewSession {
            role: link.role,
            who: Person::Link { role: link.role },
            name: link.id,
            tenant: link.tenant,
        };
        Ok((new, tenants))
    };
    signed_in(lock, &head.extensions, judged).await
}

/// Begins the session of whoever is `judged` to be somebody, unless that client failed too often; the
/// tenants there are come with it.
async fn signed_in(
    lock: &Lock,
    extensions: &Extensions,
    judged: impl Future<Output = Result<(NewSession, Vec<Tenant>), QueryError>>,
) -> Result<Response, QueryError> {
    // Before a link or a code is used up for nothing.
    if lock.access.map().is_none() {
        return Err(access_unknown().into());
    }
    let (sign_in, client) = (&lock.sign_in, client(extensions));
    let tried = sign_in.failed.take(client).await;
    let tried = tried.inspect_err(|_| sign_in.metrics.limited.increment(1))?;
    let judged = judged.await;
    let refusal = judged.as_ref().err().and_then(QueryError::refusal);
    if refusal.is_some_and(|problem| [401, 403].contains(&problem.status())) {
        sign_in.metrics.refused.increment(1);
    } else {
        tried.give_back();
    }
    let (new, tenants) = judged?;
    let actor = Actor {
        who: new.name.clone(),
        from: client.to_string(),
    };
    let (text, session) = sign_in.begin(&actor, new).await?;
    let standing = sign_in.sessions.standing(&session.hash).await?;
    let mut response = json(&SessionAnswer::of_session(&tenants, &standing))?;
    if let Some(cookie) = sign_in.cookies.write(SESSION, &text, LONGEST) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}
