//! Keys that have ended.

use anyhow::{Result, ensure};
use evp_shared::clock::Clock;
use fred::interfaces::ClientLike as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Gate;
use super::gate::{Made, refuses};
use crate::guard::OPERATOR;
use crate::scenario::Size;
use crate::servers::cut_append_only_file;
use crate::until;

const EVENT: &str = r#"{"type":"a"}"#;
/// How long a key that was revoked may be taken.
const REFUSED_WITHIN_MS: u128 = 2_000;

pub(super) async fn revoked(size: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let [write, read] = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    gate.accepted(0, &write.key, EVENT).await?;
    gate.accepted(1, &write.key, EVENT).await?;

    // Rotated without an overlap: the old one has ended, the new one works.
    let path = format!("/admin/keys/{}/rotate", write.id);
    let made = gate
        .manage(Method::POST, &path, json!({ "overlapSeconds": 0 }))
        .await?;
    let new = Made {
        id: made["id"].as_str().unwrap_or_default().to_owned(),
        key: made["key"].as_str().unwrap_or_default().to_owned(),
    };
    refused(&gate, &write.key, "key_revoked").await?;
    until("the new key works at both", async || {
        let answers = [
            gate.post(0, &new.key, EVENT).await,
            gate.post(1, &new.key, EVENT).await,
        ];
        answers.iter().all(|one| {
            one.as_ref()
                .is_ok_and(|(status, _)| *status == StatusCode::ACCEPTED)
        })
    })
    .await?;

    let mut live = gate
        .ask(1, Method::GET, "/stream")
        .bearer_auth(&read.key)
        .send()
        .await?;
    ensure!(live.status() == StatusCode::OK, "{}", live.status());
    let clock = Clock::system();
    let since = clock.now();
    for key in [&new, &read] {
        revoke(&gate, key).await?;
    }
    refused(&gate, &new.key, "key_revoked").await?;
    until("both aggregators refuse it", async || {
        let answers = [
            gate.get(0, "/events", &read.key).await,
            gate.get(1, "/events", &read.key).await,
        ];
        answers.iter().all(|one| {
            one.as_ref()
                .is_ok_and(|one| refuses(one, StatusCode::UNAUTHORIZED, "key_revoked").is_ok())
        })
    })
    .await?;
    let took = (clock.now() - since).as_millis();
    let to_its_end = async { while let Ok(Some(_)) = live.chunk().await {} };
    tokio::time::timeout(crate::PATIENCE, to_its_end).await?;
    ensure!(
        size == Size::Test || took <= REFUSED_WITHIN_MS,
        "refused by all four after {took} ms"
    );
    gate.held(format!(
        "refused by two ingests and two aggregators after {took} ms, its stream ended"
    ))
}

async fn revoke(gate: &Gate, key: &Made) -> Result<Value> {
    let path = format!("/admin/keys/{}/revoke", key.id);
    gate.manage(Method::POST, &path, json!({})).await
}

/// Waits until both ingests refuse `key` for `reason`.
async fn refused(gate: &Gate, key: &str, reason: &str) -> Result<()> {
    for index in 0..gate.ingests.len() {
        until("the ingest refuses it", async || {
            let answer = gate.post(index, key, EVENT).await;
            answer.is_ok_and(|one| refuses(&one, StatusCode::UNAUTHORIZED, reason).is_ok())
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn forgotten(size: Size) -> Result<String> {
    let mut gate = Gate::start(&[
        ("EVP__REDIS__COMMAND_TIMEOUT", "1s"),
        ("EVP__INGEST__APPEND__DEADLINE", "2s"),
    ])
    .await?;
    gate.tenant("a").await?;
    let good = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    let ended = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    for key in &ended {
        revoke(&gate, key).await?;
    }
    refused(&gate, &ended[0].key, "key_revoked").await?;
    until("the aggregators refuse it", async || {
        let answers = [
            gate.get(0, "/events", &ended[1].key).await,
            gate.get(1, "/events", &ended[1].key).await,
        ];
        answers.iter().all(|one| {
            one.as_ref()
                .is_ok_and(|one| one.0 == StatusCode::UNAUTHORIZED)
        })
    })
    .await?;
    let rounds = size.of(3, 20, 20);
    let mut asked = 0;
    let redis = gate.fort.redis_as(OPERATOR).await;
    redis.client().flushall::<()>(false).await?;
    asked += watched(&gate, rounds, &good, &ended).await?;
    gate.fort.redis.kill().await;
    asked += watched(&gate, rounds, &good, &ended).await?;
    cut_append_only_file(gate.fort.redis.dir(), 4_096)?;
    gate.fort.redis.restart().await?;
    asked += watched(&gate, rounds, &good, &ended).await?;
    gate.fort.mongo.pause();
    asked += watched(&gate, rounds, &good, &ended).await?;
    gate.fort.redis.pause();
    asked += watched(&gate, rounds.div_ceil(5), &good, &ended).await?;
    gate.fort.redis.resume();
    gate.fort.mongo.resume();
    asked += watched(&gate, rounds, &good, &ended).await?;
    gate.accepted(0, &good[0].key, EVENT).await.or_else(later)?;
    gate.held(format!(
        "{asked} requests: no revoked key was taken, no good one answered 401"
    ))
}

/// An ingest that has just got its Redis back may ask to come again.
fn later(error: anyhow::Error) -> Result<Value> {
    match error.to_string().contains("503") {
        true => Ok(Value::Null),
        false => Err(error),
    }
}

/// Asks all services `rounds` times: the good keys (writes, reads) are never answered 401, the ended
/// ones never otherwise. Without an answer nobody was let in.
async fn watched(gate: &Gate, rounds: u32, good: &[Made; 2], ended: &[Made; 2]) -> Result<u32> {
    let mut asked = 0;
    for _ in 0..rounds {
        let all = [
            (0, good, true),
            (0, ended, false),
            (1, good, true),
            (1, ended, false),
        ];
        let all = all.map(async |(index, keys, is_good): (usize, &[Made; 2], bool)| {
            let answers = tokio::join!(
                gate.post(index, &keys[0].key, EVENT),
                gate.get(index, "/session", &keys[1].key),
            );
            for (status, text) in [&answers.0, &answers.1].into_iter().flatten() {
                let is_refused = *status == StatusCode::UNAUTHORIZED;
                ensure!(is_refused != is_good, "is good: {is_good}, {status} {text}");
            }
            Ok(u32::from(answers.0.is_ok()) + u32::from(answers.1.is_ok()))
        });
        asked += futures::future::try_join_all(all)
            .await?
            .iter()
            .sum::<u32>();
    }
    ensure!(asked > 0, "nobody answered");
    Ok(asked)
}
