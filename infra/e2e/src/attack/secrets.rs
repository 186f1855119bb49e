//! Secrets where they must not be.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Gate;
use super::gate::answer;
use crate::scenario::Size;

pub(super) async fn searched(_: Size) -> Result<String> {
    let mut gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let [write, read] = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    let broken = format!("{}x", read.key);
    used(&gate, &write.key, &[&read.key, &broken]).await?;
    let path = format!("/admin/keys/{}/revoke", write.id);
    gate.manage(Method::POST, &path, json!({})).await?;
    let secrets = [
        write.key.clone(),
        read.key.clone(),
        broken,
        gate.operator.clone(),
    ];

    let mut searched = 0;
    for path in ["/admin/keys", "/admin/tenants", "/admin/audit", "/usage"] {
        let (_, text) = gate.get(0, path, &gate.operator).await?;
        searched += without(&secrets, path, text.as_bytes())?;
    }
    for node in gate.nodes() {
        let text = node.metrics_text().await?;
        searched += without(&secrets, node.name(), text.as_bytes())?;
    }
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
        "{} secrets, {files} files and {} KiB searched: none",
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

/// That none of `secrets` stands in `bytes`; how many these are.
fn without(secrets: &[String], place: &str, bytes: &[u8]) -> Result<usize> {
    if secrets.iter().any(|secret| find(bytes, secret.as_bytes())) {
        bail!("a secret stands in {place}");
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
