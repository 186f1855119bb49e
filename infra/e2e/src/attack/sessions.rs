//! What a browser holds of somebody who signed in.

use anyhow::{Context as _, Result, ensure};
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::Gate;
use super::gate::{Answer, answer};
use super::keys::revoke;
use crate::scenario::Size;
use crate::until;

pub(super) async fn cookie(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let admin = gate.key("a", "admin").await?;
    let cookie = signed_in(&gate, &admin.key).await?;
    let (status, text) = with(&gate, &cookie, Method::GET, "/session", None).await?;
    ensure!(status == StatusCode::OK, "{status} {text}");
    for origin in ["https://evil.example", "http://127.0.0.1:1", "null"] {
        let path = format!("/admin/keys/{}/revoke", admin.id);
        let (status, text) = with(&gate, &cookie, Method::POST, &path, Some(origin)).await?;
        ensure!(
            status == StatusCode::FORBIDDEN,
            "from {origin}: {status} {text}"
        );
    }
    let (status, text) = gate.get(0, "/usage", &admin.key).await?;
    ensure!(
        status == StatusCode::OK,
        "the key was revoked: {status} {text}"
    );
    let url = format!("{}/events", gate.ingests[0].url());
    let sent = gate
        .http
        .post(url)
        .header(COOKIE, &cookie)
        .body(r#"{"type":"a"}"#);
    let (status, text) = answer(sent).await?;
    ensure!(
        status == StatusCode::UNAUTHORIZED,
        "ingest takes a cookie: {status} {text}"
    );

    let (status, text) = with(&gate, &cookie, Method::DELETE, "/session", None).await?;
    ensure!(status == StatusCode::NO_CONTENT, "{status} {text}");
    for index in 0..gate.aggregators.len() {
        let asked = gate.ask(index, Method::GET, "/usage");
        let (status, text) = answer(asked.header(COOKIE, &cookie)).await?;
        ensure!(
            status == StatusCode::UNAUTHORIZED,
            "after signing out: {status} {text}"
        );
    }
    // One that ends with its key.
    let cookie = signed_in(&gate, &admin.key).await?;
    revoke(&gate, &admin).await?;
    until("the session ends with its key", async || {
        let answer = with(&gate, &cookie, Method::GET, "/usage", None).await;
        answer.is_ok_and(|(status, _)| status == StatusCode::UNAUTHORIZED)
    })
    .await?;
    gate.held(
        "refused from three other origins, at ingest, after signing out, and with its key revoked"
            .to_owned(),
    )
}

/// Signs in with `key`; the cookie as it is sent.
pub(super) async fn signed_in(gate: &Gate, key: &str) -> Result<String> {
    let request = gate.ask(0, Method::POST, "/sign-in/key");
    session_of(&request.json(&json!({ "key": key })).send().await?)
}

/// Makes a link that signs a viewer of `tenant` in; its token.
pub(super) async fn link(gate: &Gate, tenant: &str) -> Result<String> {
    let said = gate
        .access(&["link", "--tenant", tenant, "--role", "viewer"])
        .await?;
    let token = said.split("#sign-in=").nth(1).context("no link")?;
    let token = token.split_whitespace().next();
    Ok(token.context("no token")?.to_owned())
}

/// The cookie that an answer to a sign-in sets, as it is sent.
pub(super) fn session_of(response: &Response) -> Result<String> {
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    let set = response
        .headers()
        .get(SET_COOKIE)
        .context("no cookie")?
        .to_str()?;
    ensure!(
        ["HttpOnly", "SameSite=Strict", "Path=/"]
            .iter()
            .all(|part| set.contains(part)),
        "{set}"
    );
    Ok(set.split(';').next().unwrap_or_default().to_owned())
}

/// A request with the cookie, from a page of `origin`.
async fn with(
    gate: &Gate,
    cookie: &str,
    method: Method,
    path: &str,
    origin: Option<&str>,
) -> Result<Answer> {
    let mut request = gate.ask(0, method.clone(), path).header(COOKIE, cookie);
    if let Some(origin) = origin {
        request = request.header(ORIGIN, origin);
    }
    if method == Method::POST {
        request = request.json(&json!({}));
    }
    answer(request).await
}
