//! What `/usage` tells of refusals.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::ORIGIN;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Gate;
use super::gate::{Made, answer, code};
use super::keys::{EVENT, revoke};
use super::limits::says_when;
use crate::until;

/// Refusals of one kind at each ingest.
const REFUSALS: u64 = 7;
/// What waiting until a key may send is answered.
const OF_WAITING: &str = "empty_body";

/// Requests that are refused for one reason after the other, by both ingests: `/usage` tells how many
/// there were of each.
pub(super) async fn refusals_are_told(gate: &Gate) -> Result<()> {
    gate.tenant("b").await?;
    let [write, read] = [gate.key("b", "write").await?, gate.key("b", "read").await?];
    let slow = json!({ "limits": { "events": { "perSecond": 1, "burst": 1 } } });
    let slow = limited(gate, slow).await?;
    let few = limited(gate, json!({ "types": ["good"] })).await?;
    let paged = limited(gate, json!({ "origins": ["https://good.example"] })).await?;
    let ended = gate.key("b", "write").await?;
    revoke(gate, &ended).await?;
    let mut sent = Sent::default();
    for ingest in 0..gate.ingests.len() {
        let send = |key: &Made| {
            let url = format!("{}/events", gate.ingests[ingest].url());
            gate.http.post(url).bearer_auth(&key.key)
        };
        // An hour's debt at once; nothing passes after it.
        let much = json!(vec![json!({ "type": "b" }); 3_600]);
        let status = send(&slow).json(&much).send().await?.status();
        ensure!(status == StatusCode::ACCEPTED, "{status}");
        for _ in 0..REFUSALS {
            let response = send(&slow).body(EVENT).send().await?;
            says_when(&response)?;
            sent.note("rate_limited", &response.text().await?)?;
        }
        let others = [
            ("scope_missing", send(&read).body(EVENT)),
            (
                "origin_not_allowed",
                send(&paged)
                    .header(ORIGIN, "https://evil.example")
                    .body(EVENT),
            ),
            ("malformed_json", send(&write).body("{")),
        ];
        for (reason, request) in others {
            sent.note(reason, &answer(request).await?.1)?;
        }
        // The first refusal, whenever it comes.
        until("the revoked key is refused", async || {
            let answer = gate.post(ingest, &ended.key, EVENT).await;
            answer.is_ok_and(|(_, text)| code(&text) == "key_revoked")
        })
        .await?;
        sent.add("key_revoked", 1);
        let mixed = r#"[{"type":"good"},{"type":"bad"},{"type":"bad"}]"#;
        let (status, text) = answer(send(&few).body(mixed)).await?;
        ensure!(status == StatusCode::ACCEPTED, "{status} {text}");
        sent.add("type_not_allowed", 2);
    }
    sent.are_told(gate, &read).await?;
    over_quota(gate).await
}

/// The same of a quota that is spent.
async fn over_quota(gate: &Gate) -> Result<()> {
    gate.tenant("c").await?;
    let [write, read] = [gate.key("c", "write").await?, gate.key("c", "read").await?];
    let quota = json!({ "eventsPerDay": 1 });
    gate.manage(Method::PATCH, "/admin/tenants/c", quota)
        .await?;
    let mut sent = Sent::default();
    for ingest in &gate.ingests {
        let mut refused = 0;
        while refused < REFUSALS {
            let request = gate.http.post(format!("{}/events", ingest.url()));
            let response = request.bearer_auth(&write.key).body(EVENT).send().await?;
            match response.status() {
                // Not in force yet, or the one.
                StatusCode::ACCEPTED => continue,
                StatusCode::TOO_MANY_REQUESTS => says_when(&response)?,
                status => bail!("{status}"),
            }
            sent.note("quota_exceeded", &response.text().await?)?;
            refused += 1;
        }
    }
    sent.are_told(gate, &read).await
}

/// A key of tenant `b` that is held to `more`.
async fn limited(gate: &Gate, mut more: Value) -> Result<Made> {
    more["name"] = "limited".into();
    more["tenant"] = "b".into();
    more["scope"] = "write".into();
    let made = Made::read(&gate.manage(Method::POST, "/admin/keys", more).await?)?;
    gate.sends(&made.key).await?;
    Ok(made)
}

/// Refusals that were sent, by reason.
#[derive(Default)]
struct Sent(BTreeMap<String, u64>);

impl Sent {
    /// Notes one more, whose answer says so.
    fn note(&mut self, reason: &str, text: &str) -> Result<()> {
        ensure!(code(text) == reason, "{reason} expected: {text}");
        self.add(reason, 1);
        Ok(())
    }

    fn add(&mut self, reason: &str, count: u64) {
        *self.0.entry(reason.to_owned()).or_default() += count;
    }

    /// Waits until `/usage` tells the reader `key` just these.
    async fn are_told(&self, gate: &Gate, key: &Made) -> Result<()> {
        let told = async || -> Result<BTreeMap<String, u64>> {
            let (_, text) = gate.get(0, "/usage", &key.key).await?;
            let said: Value = serde_json::from_str(&text)?;
            let rows = said["refused"].as_array().context("nothing is told")?;
            let row =
                |row: &Value| Some((row["code"].as_str()?.to_owned(), row["count"].as_u64()?));
            let rows = rows.iter().filter_map(row);
            Ok(rows.filter(|(code, _)| code != OF_WAITING).collect())
        };
        let telling = until("usage tells the refusals", async || {
            told().await.is_ok_and(|told| told == self.0)
        });
        if let Err(error) = telling.await {
            bail!("{error}: {:?} were sent, told {:?}", self.0, told().await);
        }
        Ok(())
    }
}
