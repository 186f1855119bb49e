//! What belongs to whom.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Gate;
use super::gate::answer;
use crate::scenario::Size;
use crate::until;

/// Types of one request.
const TYPES_AT_ONCE: u32 = 1_000;

pub(super) async fn one_id(size: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    let mut found = Vec::new();
    for tenant in ["a", "b"] {
        gate.tenant(tenant).await?;
        let [write, read] = [
            gate.key(tenant, "write").await?,
            gate.key(tenant, "read").await?,
        ];
        let event = json!({ "type": "same", "eventId": "one-id", "userId": tenant });
        let body = gate.accepted(0, &write.key, &event.to_string()).await?;
        let id = body["ids"][0].as_str().context("no id")?.to_owned();
        gate.stored(&read.key, &id).await?;
        found.push((id, write, read));
    }
    let [a, b] = &found[..] else {
        unreachable!("there are two")
    };
    ensure!(a.0 != b.0, "one _id for both: {}", a.0);
    for (own, other) in [(a, b), (b, a)] {
        let (status, text) = gate
            .get(1, &format!("/events/{}", other.0), &own.2.key)
            .await?;
        ensure!(
            status == StatusCode::NOT_FOUND,
            "another's event: {status} {text}"
        );
    }

    let types = size.of(2_000, 20_000, 1_000_000);
    for first in (0..types).step_by(TYPES_AT_ONCE as usize) {
        let numbers = first..types.min(first + TYPES_AT_ONCE);
        let events: Vec<Value> = numbers
            .map(|number| json!({ "type": format!("t{number}"), "eventId": Uuid::now_v7() }))
            .collect();
        let body = serde_json::to_string(&events)?;
        // Again with the same ids: one that was not confirmed counts once.
        until("they are taken", async || {
            let answer = gate.post(0, &a.1.key, &body).await;
            answer.is_ok_and(|(status, _)| status == StatusCode::ACCEPTED)
        })
        .await?;
    }
    gate.accepted(1, &b.1.key, r#"{"type":"only-of-b"}"#)
        .await?;
    until("the other's are counted by name", async || {
        let counts = counts(&gate, &b.2.key).await.unwrap_or_default();
        counts == [("only-of-b".to_owned(), 1), ("same".to_owned(), 1)]
    })
    .await?;
    let expected = u64::from(types) + 1;
    until("the first tenant's are all counted", async || {
        let counts = counts(&gate, &a.2.key).await.unwrap_or_default();
        counts.iter().map(|(_, count)| count).sum::<u64>() == expected
    })
    .await?;
    gate.held(format!(
        "two _ids, each its tenant's; {types} types of one, the other's by name"
    ))
}

/// Counts over all time, by type.
async fn counts(gate: &Gate, key: &str) -> Result<Vec<(String, u64)>> {
    let (_, text) = gate.get(0, "/metrics?window=all", key).await?;
    let body: Value = serde_json::from_str(&text)?;
    let rows = body["totals"]["byType"].as_array().context("no rows")?;
    let row = |row: &Value| Some((row["_id"].as_str()?.to_owned(), row["count"].as_u64()?));
    let mut counts: Vec<_> = rows.iter().filter_map(row).collect();
    counts.sort();
    Ok(counts)
}

pub(super) async fn opened_before(_: Size) -> Result<String> {
    let mut gate = Gate::start(&[]).await?;
    gate.tenant("other").await?;
    let [own, other] = [
        gate.key("default", "read").await?,
        gate.key("other", "read").await?,
    ];
    gate.ingests[0]
        .restart_with("EVP__AUTH__MODE", "open")
        .await?;
    gate.ingests[0].await_ready().await?;
    let url = format!("{}/events", gate.ingests[0].url());
    let event = json!({ "type": "opened" });
    let (status, text) = answer(gate.http.post(url).json(&event)).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status} {text}");
    let body: Value = serde_json::from_str(&text)?;
    let id = body["ids"][0].as_str().context("no id")?.to_owned();
    gate.ingests[0]
        .restart_with("EVP__AUTH__MODE", "keys")
        .await?;
    gate.ingests[0].await_ready().await?;
    let (status, _) = answer(gate.ask(0, Method::GET, &format!("/events/{id}"))).await?;
    ensure!(status == StatusCode::UNAUTHORIZED, "{status}");
    gate.stored(&own.key, &id).await?;
    let (status, text) = gate.get(0, &format!("/events/{id}"), &other.key).await?;
    ensure!(
        status == StatusCode::NOT_FOUND,
        "another tenant: {status} {text}"
    );
    gate.held("found by the tenant default's key, by no other".to_owned())
}
