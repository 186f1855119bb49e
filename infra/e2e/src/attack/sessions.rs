//! What a browser holds of somebody who signed in.

use anyhow::{Context as _, Result, ensure};
use bson::{Document, doc};
use evp_shared::store::access;
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::Gate;
use super::gate::{Answer, answer};
use super::keys::revoke;
use crate::guard::OPERATOR;
use crate::scenario::Size;
use crate::until;

/// What ends a session nobody uses, and every session. Source: docs/adr/0010-sessions.md.
const ENDS: [(&str, i64); 2] = [("seenMs", 12 * HOUR_MS), ("createdMs", 7 * 24 * HOUR_MS)];
const HOUR_MS: i64 = 3_600_000;
/// By how much a session that is nearly over is younger: longer than any run takes.
const SPARED_MS: i64 = HOUR_MS / 2;

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

/// Sessions whose clock has gone on: those past their idle and their longest life are over, and one that is
/// not yet is none. What MongoDB holds of them is set back, as an aggregator's clock cannot be set forward.
pub(super) async fn grown_old(gate: &Gate) -> Result<()> {
    let events = gate.fort.database(OPERATOR).await?;
    let sessions = access(&events).collection::<Document>("sessions");
    let admin = gate.key("a", "admin").await?;
    for (moment, life) in ENDS {
        for (age, good) in [(life - SPARED_MS, true), (life, false)] {
            let cookie = signed_in(gate, &admin.key).await?;
            let newest = sessions.find_one(doc! {}).sort(doc! { "createdMs": -1 });
            let newest = newest.await?.context("no session")?;
            let one = doc! { "_id": newest.get_str("_id")? };
            let older = doc! { "$inc": { moment: -age } };
            let changed = sessions.update_one(one, older).await?.modified_count;
            ensure!(changed == 1, "no session was set back");
            let (status, text) = with(gate, &cookie, Method::GET, "/usage", None).await?;
            let wanted = if good {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            };
            ensure!(status == wanted, "{moment} {age} ms ago: {status} {text}");
        }
    }
    Ok(())
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
