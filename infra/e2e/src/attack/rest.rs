//! Smaller things that must hold.

use anyhow::{Context as _, Result, ensure};
use evp_devstack::ScratchDir;
use evp_shared::testing::tls::Authority;
use reqwest::header::COOKIE;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Gate;
use super::gate::{answer, code};
use super::sessions::session_of;
use crate::scenario::Size;
use crate::{PATIENCE, until};

/// Of the tenant whose refusals are counted.
const OVER_RATE: u64 = 7;

pub(super) async fn odds(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    viewer(&gate).await?;
    types(&gate).await?;
    usage(&gate).await?;
    hsts(&gate).await?;
    gate.held(
        "a viewer made no key; a type outside the list refused that event alone; the refusals sent stand in \
         /usage, each with its headers; HSTS under TLS"
            .to_owned(),
    )
}

/// A viewer does what an admin may.
async fn viewer(gate: &Gate) -> Result<()> {
    // By then every service knows the tenant.
    gate.key("a", "read").await?;
    let made = gate
        .access(&["link", "--tenant", "a", "--role", "viewer"])
        .await?;
    let token = made.split("#sign-in=").nth(1).context("no link")?;
    let token: String = token
        .chars()
        .take_while(|one| !one.is_whitespace())
        .collect();
    let signing = gate.ask(0, Method::POST, "/sign-in/link");
    let response = signing.json(&json!({ "token": token })).send().await?;
    let cookie = session_of(&response)?;
    let again = gate.ask(0, Method::POST, "/sign-in/link");
    let (status, text) = answer(again.json(&json!({ "token": token }))).await?;
    ensure!(
        status == StatusCode::UNAUTHORIZED,
        "a link twice: {status} {text}"
    );
    let body = json!({ "name": "mine", "scope": "admin" });
    let asking = gate
        .ask(0, Method::POST, "/admin/keys")
        .header(COOKIE, &cookie);
    let (status, text) = answer(asking.json(&body)).await?;
    ensure!(status == StatusCode::FORBIDDEN, "{status} {text}");
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

/// Requests over a rate: each says when to come back, and `/usage` how many there were.
async fn usage(gate: &Gate) -> Result<()> {
    gate.tenant("b").await?;
    let limits = json!({ "limits": { "events": { "perSecond": 1, "burst": 1 } } });
    gate.manage(Method::PATCH, "/admin/tenants/b", limits)
        .await?;
    let [write, read] = [gate.key("b", "write").await?, gate.key("b", "read").await?];
    // An hour's debt at once; nothing passes after it.
    let events: Vec<Value> = (0..3_600).map(|_| json!({ "type": "b" })).collect();
    let url = format!("{}/events", gate.ingests[0].url());
    let send = async |events: &[Value]| -> Result<Response> {
        let request = gate.http.post(&url).bearer_auth(&write.key);
        Ok(request.json(events).send().await?)
    };
    ensure!(
        send(&events).await?.status() == StatusCode::ACCEPTED,
        "not taken"
    );
    for _ in 0..OVER_RATE {
        let response = send(&events[..1]).await?;
        let has = |name: &str| response.headers().contains_key(name);
        ensure!(
            response.status() == StatusCode::TOO_MANY_REQUESTS
                && ["retry-after", "ratelimit", "ratelimit-policy"]
                    .into_iter()
                    .all(has),
            "{response:?}"
        );
        let text = response.text().await?;
        ensure!(code(&text) == "rate_limited", "{text}");
    }
    until("usage tells the refusals", async || {
        let Ok((_, text)) = gate.get(0, "/usage", &read.key).await else {
            return false;
        };
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let refused = said["refused"].as_array().into_iter().flatten();
        refused
            .filter(|one| one["code"] == "rate_limited")
            .any(|one| one["count"] == OVER_RATE)
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
