//! Smaller things that must hold.

use anyhow::{Context as _, Result, ensure};
use evp_devstack::ScratchDir;
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::testing::tls::Authority;
use reqwest::header::COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Gate;
use super::gate::answer;
use super::limits::says_when;
use super::sessions::{grown_old, link, session_of};
use super::usage::refusals_are_told;
use crate::scenario::Size;
use crate::{PATIENCE, until};

/// What a viewer may not: method, path, body.
const OF_ADMINS: [(&str, &str, &str); 11] = [
    ("GET", "/admin/keys", "{}"),
    ("POST", "/admin/keys", r#"{"name":"mine","scope":"admin"}"#),
    ("POST", "/admin/keys/{key}/rotate", "{}"),
    ("POST", "/admin/keys/{key}/revoke", "{}"),
    ("GET", "/admin/members", "{}"),
    (
        "PUT",
        "/admin/members",
        r#"{"email":"eve@example.org","role":"admin"}"#,
    ),
    ("GET", "/admin/audit", "{}"),
    ("GET", "/admin/dead-letters", "{}"),
    (
        "POST",
        "/admin/dead-letters/purge",
        r#"{"filter":{},"dryRun":false}"#,
    ),
    ("POST", "/admin/tenants", r#"{"id":"mine"}"#),
    ("GET", "/admin/pipeline", "{}"),
];
/// Of one address within a minute; the next one waits.
const FAILURES: u32 = 30;
/// Addresses of nobody. Source: RFC 5737.
const FORGED: &str = "198.51.100.";

pub(super) async fn odds(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    viewer(&gate).await?;
    grown_old(&gate).await?;
    types(&gate).await?;
    refusals_are_told(&gate).await?;
    hsts(&gate).await?;
    forged(&gate).await?;
    gate.held(format!(
        "a viewer had none of {} things an admin may do; sessions past 12 idle hours and past 7 days were over; a type outside the list refused that event alone; what \
         two ingests refused, by reason, stands in /usage; RateLimit headers on each 429; HSTS under TLS; a \
         forged X-Forwarded-For changed nothing",
        OF_ADMINS.len()
    ))
}

/// A viewer does what an admin may.
async fn viewer(gate: &Gate) -> Result<()> {
    // By then every service knows the tenant.
    let key = gate.key("a", "read").await?;
    let token = link(gate, "a").await?;
    let signing = async || {
        let request = gate.ask(0, Method::POST, "/sign-in/link");
        request.json(&json!({ "token": token })).send().await
    };
    let cookie = session_of(&signing().await?)?;
    let again = signing().await?.status();
    ensure!(again == StatusCode::UNAUTHORIZED, "a link twice: {again}");
    for (method, path, body) in OF_ADMINS {
        let path = path.replace("{key}", &key.id);
        let asking = gate.ask(0, method.parse()?, &path).header(COOKIE, &cookie);
        let body: Value = serde_json::from_str(body)?;
        let (status, text) = answer(asking.json(&body)).await?;
        ensure!(
            status == StatusCode::FORBIDDEN,
            "{method} {path}: {status} {text}"
        );
    }
    let listing = gate.ask(0, Method::GET, "/events").header(COOKIE, &cookie);
    let (status, text) = answer(listing).await?;
    ensure!(status == StatusCode::OK, "{status} {text}");
    Ok(())
}

/// A type that is not in the key's list.
async fn types(gate: &Gate) -> Result<()> {
    let body = json!({ "name": "few", "tenant": "a", "scope": "write", "types": ["good"] });
    let made = gate.manage(Method::POST, "/admin/keys", body).await?;
    let key = made["key"].as_str().context("no key")?.to_owned();
    let body = r#"[{"type":"good"},{"type":"bad"},{"type":"good"}]"#;
    until("the good ones are taken, the other is not", async || {
        let answer = gate.post(0, &key, body).await;
        answer.is_ok_and(|(status, text)| {
            let said: Value = serde_json::from_str(&text).unwrap_or_default();
            status == StatusCode::ACCEPTED && said["accepted"] == 2 && said["rejectedCount"] == 1
        })
    })
    .await
}

async fn hsts(gate: &Gate) -> Result<()> {
    let (authority, files) = (Authority::new(), ScratchDir::new()?);
    authority.issue(10).write(files.path())?;
    let file = |name: &str| files.path().join(name).display().to_string();
    let tls = [
        ("EVP__SERVER__TLS__CERT_FILE", &*file("cert.pem")),
        ("EVP__SERVER__TLS__KEY_FILE", &*file("key.pem")),
    ];
    for service in ["ingest", "aggregator"] {
        let mut node = gate.another(service, &tls)?;
        node.await_ready().await?;
        let stream = TcpStream::connect(("127.0.0.1", node.port())).await?;
        let mut stream = authority.connect(stream, &["http/1.1"]).await?;
        stream
            .write_all(b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await?;
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        ensure!(
            answer.contains("strict-transport-security: max-age="),
            "{service}: {answer}"
        );
    }
    Ok(())
}

/// Somebody who is no proxy says to ask for others, which changes nothing: the tries of one address are
/// counted together, and the audit says from where they came.
async fn forged(gate: &Gate) -> Result<()> {
    let sign_in = async |key: &str, number: u32| {
        let request = gate.ask(1, Method::POST, "/sign-in/key");
        let request = request.header("x-forwarded-for", format!("{FORGED}{number}"));
        request.json(&json!({ "key": key })).send().await
    };
    let admin = gate.key("a", "admin").await?;
    session_of(&sign_in(&admin.key, 0).await?)?;
    let (_, audit) = gate.get(1, "/admin/audit", &admin.key).await?;
    ensure!(
        audit.contains("127.0.0.1") && !audit.contains(FORGED),
        "{audit}"
    );
    for number in 0..FAILURES {
        let unknown = Token::generate(KeyKind::Secret);
        let status = sign_in(unknown.expose(), number).await?.status();
        ensure!(status == StatusCode::UNAUTHORIZED, "try {number}: {status}");
    }
    says_when(&sign_in(&admin.key, FAILURES).await?)
}
