//! `/sign-in/code`: by six digits that are sent by mail.

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use evp_shared::outcome::RejectReason;
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::SessionAnswer;
use super::signed_in;
use crate::auth::client;
use crate::error::{QueryError, bad_parameter};
use crate::params::Params;
use crate::routes::body::read_json;
use crate::routes::json;
use crate::schema::problem::SigningIn;
use crate::sign_in::codes::GOOD;
use crate::sign_in::cookie::ATTEMPT;
use crate::sign_in::member::Email;
use crate::sign_in::session::{NewSession, Person};
use crate::state::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/sign-in/code", post(ask))
        .route("/sign-in/code/confirm", post(confirm))
}

/// Where a code is to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailBody {
    /// At most 254 bytes of ASCII; the case makes no difference.
    email: String,
}

/// The answer of `POST /sign-in/code`, whoever it is for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AskedAnswer {
    expires_in_seconds: u64,
}

/// A code that was sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeBody {
    /// Six digits.
    code: String,
}

/// Ask for a code by mail
///
/// The answer is the same for everybody; only members are sent one. It is good in this browser.
#[utoipa::path(
    post,
    path = "/sign-in/code",
    tag = "sign-in",
    operation_id = "askForCode",
    request_body = EmailBody,
    responses((status = 202, description = "Sent, if that is a member", body = AskedAnswer), SigningIn)
)]
pub(crate) async fn ask(State(app): State<App>, request: Request) -> Result<Response, QueryError> {
    Params::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let sign_in = &app.door.sign_in()?.sign_in;
    let codes = sign_in.codes.as_ref();
    let codes = codes.ok_or(RejectReason::MailNotConfigured)?;
    let asked = sign_in.asked.take(client(&head.extensions)).await;
    asked.inspect_err(|_| sign_in.metrics.limited.increment(1))?;
    let asked: EmailBody = read_json(&head.headers, body).await?;
    let email = asked.email.trim().parse::<Email>();
    let email = email.map_err(|error| bad_parameter("email", error.to_string()))?;
    let attempt = codes.ask(email).await?;
    let mut response = json(&AskedAnswer {
        expires_in_seconds: GOOD.as_secs(),
    })?;
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Some(cookie) = sign_in.cookies.write(ATTEMPT, attempt.expose(), GOOD) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Sign in with a code
///
/// In the browser that asked for it, within five minutes and five tries.
#[utoipa::path(
    post,
    path = "/sign-in/code/confirm",
    tag = "sign-in",
    operation_id = "signInByCode",
    request_body = CodeBody,
    responses((status = 200, description = "Signed in, by a cookie", body = SessionAnswer), SigningIn)
)]
pub(crate) async fn confirm(
    State(app): State<App>,
    request: Request,
) -> Result<Response, QueryError> {
    Params::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let lock = app.door.sign_in()?;
    let sign_in = &lock.sign_in;
    let codes = sign_in.codes.as_ref();
    let codes = codes.ok_or(RejectReason::MailNotConfigured)?;
    let judged = async {
        let asked: CodeBody = read_json(&head.headers, body).await?;
        let attempt = sign_in.cookies.read(&head.headers, ATTEMPT)?;
        let attempt = attempt.ok_or(RejectReason::CodeExpired)?;
        // A code signs in once: what else may fail comes first.
        let tenants = app.keys.tenants().await?;
        let email = codes.confirm(attempt, &asked.code).await?;
        // Who was a member when the code was sent may be none any more.
        let member = app.members.find(&email).await?;
        let member = member.ok_or(RejectReason::CodeExpired)?;
        let tenant = member.first_tenant();
        let role = member.role_in(&tenant);
        let role = role.ok_or(RejectReason::CodeExpired)?;
        app.members
            .note_sign_in(&email, role.within(&tenant))
            .await?;
        let new = NewSession {
            name: email.to_string(),
            who: Person::Code { email },
            role,
            tenant,
        };
        Ok((new, tenants))
    };
    signed_in(lock, &head.extensions, judged).await
}
