//! Secrets where they must not be.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Gate;
use super::gate::answer;
use super::keys::revoke;
use super::mail::{Asked, SMTP_PASSWORD};
use super::sessions::{link, session_of, signed_in};
use crate::guard::PASSWORD;
use crate::scenario::Size;

/// Of the admin port of one aggregator.
const ADMIN_TOKEN: &str = "a-token-of-the-admin-port-of-an-aggregator";

pub(super) async fn searched(_: Size) -> Result<String> {
    let mut gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let [write, read] = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    let broken = format!("{}x", read.key);
    used(&gate, &write.key, &[&read.key, &broken]).await?;
    revoke(&gate, &write).await?;
    let mut secrets = [write.key, read.key.clone(), broken, gate.operator.clone()].to_vec();
    secrets.extend([PASSWORD, SMTP_PASSWORD, ADMIN_TOKEN].map(str::to_owned));
    let door = Asked::start(&gate, &[("EVP__ADMIN__TOKEN", ADMIN_TOKEN)]).await?;
    secrets.extend(people(&gate, &door, &read.key).await?);

    let mut searched = 0;
    for path in ["keys", "tenants", "members", "audit", "dead-letters"] {
        let (status, text) = gate
            .get(0, &format!("/admin/{path}"), &gate.operator)
            .await?;
        ensure!(status == StatusCode::OK, "{path}: {status} {text}");
        searched += without(&secrets, path, text.as_bytes())?;
    }
    for node in gate.nodes() {
        let text = node.metrics_text().await?;
        searched += without(&secrets, node.name(), text.as_bytes())?;
    }
    let text = measured(&gate, &door).await?;
    searched += without(&secrets, "the other's metrics", text.as_bytes())?;
    // All of it is in their files when they have ended.
    gate.fort.redis.stop().await;
    gate.fort.mongo.stop().await;
    let (mut files, mut has_seen_id) = (0, false);
    for folder in gate.folders() {
        for file in files_below(&folder)? {
            let bytes = std::fs::read(&file)?;
            searched += without(&secrets, &file.display().to_string(), &bytes)?;
            has_seen_id |= find(&bytes, write.id.as_bytes());
            files += 1;
        }
    }
    ensure!(
        has_seen_id,
        "what is there is not found: the search is of no use"
    );
    gate.held(format!(
        "{} secrets (keys, a session, a link, an attempt, its code, passwords, a token), {files} files and {} \
         KiB searched: none",
        secrets.len(),
        searched >> 10
    ))
}

/// Uses keys in every way there is, the wrong ones too.
async fn used(gate: &Gate, write: &str, others: &[&str]) -> Result<()> {
    let event = json!({ "type": "a" }).to_string();
    gate.accepted(0, write, &event).await?;
    let events = format!("{}/events", gate.ingests[0].url());
    let basic = gate.http.post(&events).basic_auth(write, Some(""));
    let (status, text) = answer(basic.body(event.clone())).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status} {text}");
    for parameter in ["key", "write_key"] {
        let request = gate.http.post(format!("{events}?{parameter}={write}"));
        let (status, text) = answer(request.body(event.clone())).await?;
        let is_refused = [StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST].contains(&status);
        ensure!(is_refused && !text.contains(write), "{status} {text}");
    }
    for key in others {
        gate.get(0, &format!("/events?key={key}"), key).await?;
        gate.get(0, &format!("/{key}"), key).await?;
    }
    Ok(())
}

/// Signs in by a key, a link and a code, and with each a second time; what must not be found of it.
async fn people(gate: &Gate, door: &Asked, key: &str) -> Result<Vec<String>> {
    let by_key = signed_in(gate, key).await?;
    let token = link(gate, "a").await?;
    let mut cookies = vec![by_key];
    for _ in 0..2 {
        let request = gate.ask(0, Method::POST, "/sign-in/link");
        let response = request.json(&json!({ "token": token })).send().await?;
        cookies.extend(session_of(&response).ok());
    }
    let (attempt, code) = door.asked().await?;
    for _ in 0..2 {
        cookies.extend(session_of(&door.confirm(&attempt, &code).await?).ok());
    }
    ensure!(cookies.len() == 3, "{} signed in", cookies.len());
    cookies.push(attempt);
    let values = cookies
        .iter()
        .filter_map(|cookie| Some(cookie.split_once('=')?.1.to_owned()));
    // Six digits alone stand everywhere: as a text of JSON, of BSON, and in the mail's sentence.
    let written = [
        format!("\"{code}\""),
        format!("\x07\0\0\0{code}\0"),
        format!("{code} is"),
    ];
    Ok(values.chain([token]).chain(written).collect())
}

/// The metrics of an admin port that asks for a token, which is also sent where it is wrong.
async fn measured(gate: &Gate, door: &Asked) -> Result<String> {
    let url = door.node.admin_url();
    let asking = |token: &str| {
        let request = gate.http.get(format!("{url}/metrics"));
        answer(request.bearer_auth(token))
    };
    let wrong = asking(&format!("{ADMIN_TOKEN}x")).await?;
    ensure!(wrong.0 == StatusCode::UNAUTHORIZED, "{wrong:?}");
    let (status, text) = asking(ADMIN_TOKEN).await?;
    ensure!(status == StatusCode::OK, "{status} {text}");
    Ok(text)
}

/// That none of `secrets` stands in `bytes`; how many these are.
fn without(secrets: &[String], place: &str, bytes: &[u8]) -> Result<usize> {
    if let Some(secret) = secrets.iter().find(|secret| find(bytes, secret.as_bytes())) {
        // Its beginning says which it is.
        bail!("a secret ({:.12}...) stands in {place}", secret);
    }
    Ok(bytes.len())
}

fn find(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.is_file() => files.push(path),
                false => {}
            }
        }
    }
    Ok(files)
}
