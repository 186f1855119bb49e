//! Canaries: seen by who looks for them, and by nobody else.

use anyhow::{Context as _, Result, ensure};
use evp_e2e::{Journal, Post, System, heavy, until};
use evp_shared::canary;
use evp_shared::testing::TestRedis;
use fred::interfaces::StreamsInterface as _;
use fred::prelude::Value as Reply;
use serde_json::Value;

use crate::everything_arrives_once::ask;

const EVENTS: u32 = 60;
/// Canaries that are taken off the stream.
const TAKEN: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_show_to_nobody_who_does_not_look_for_them_and_lost_ones_do() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("canary").aggregator();
    let mut system = builder.env("EVP__CANARY__INTERVAL", "1s").start().await?;
    let mut journal = Journal::default();
    let (url, body) = (system.ingests[0].url(), system.events.array(0..EVENTS));
    let post = Post::json(&system.http, &url, body);
    post.acknowledged(&mut journal, 0..EVENTS).await?;
    until("events and canaries are stored", async || {
        let metrics = ask(&system, "/metrics?window=all").await;
        let is_counted = metrics.is_ok_and(|metrics| metrics["totals"]["events"] == EVENTS);
        let totals = system.redis.stream(system.partitions).totals(0).await;
        let stored = totals.map_or(0, |totals| totals.counted_events);
        is_counted && stored >= i64::from(EVENTS) + 3
    })
    .await?;
    nobody_sees_them(&system).await?;
    system.processors[0].command(&["verify"]).await?;

    until("the newest one is young", async || {
        figure(&system, "evp_aggregator_canary_age_seconds")
            .await
            .is_ok_and(|age| age < 3.0)
    })
    .await?;
    ensure!(figure(&system, "evp_aggregator_canary_missing_events").await? == 0.0);
    system.processors[0].kill().await;
    take_some(&system.redis).await?;
    system.processors[0].restart().await?;
    until("those that were taken are missing", async || {
        let missing = figure(&system, "evp_aggregator_canary_missing_events").await;
        missing.is_ok_and(|missing| missing == TAKEN as f64)
    })
    .await?;

    system.ingests[0].term().await?;
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    until("somebody is told", async || {
        aggregator.log_tail().contains("canary_late")
    })
    .await?;
    nobody_sees_them(&system).await?;
    system.pass();
    Ok(())
}

/// What a client of a tenant is answered is of its own events.
async fn nobody_sees_them(system: &System) -> Result<()> {
    let list = ask(system, "/events?limit=500").await?;
    let items = list["items"].as_array().context("items")?;
    ensure!(items.len() == EVENTS as usize, "{} items", items.len());
    for path in [
        "/metrics",
        "/metrics?window=all",
        "/metrics/series",
        "/usage",
        "/analytics?range=1h",
    ] {
        let answer = ask(system, path).await?.to_string();
        ensure!(!answer.contains(canary::EVENT_TYPE), "{path}: {answer}");
    }
    let metrics = ask(system, "/metrics?window=all").await?;
    let all = metrics["totals"]["byType"].as_array().context("byType")?;
    let sum: Option<u64> = all.iter().map(|row: &Value| row["count"].as_u64()).sum();
    ensure!(sum == Some(EVENTS.into()), "{metrics}");
    Ok(())
}

/// Waits for canaries that nobody has read, and deletes some in the middle.
async fn take_some(redis: &TestRedis) -> Result<()> {
    let key = redis.keys().partition(0).events;
    let entries = async |after: &str| -> Result<Vec<String>> {
        let found: Reply = redis.client().xrange(&key, after, "+", None).await?;
        let id = |entry: Reply| entry.into_array().into_iter().next()?.into_string();
        Ok(found.into_array().into_iter().filter_map(id).collect())
    };
    let last = entries("-").await?.pop().context("an entry")?;
    let after = format!("({last}");
    until("canaries nobody has read", async || {
        entries(&after).await.is_ok_and(|ids| ids.len() > TAKEN + 1)
    })
    .await?;
    let taken: Vec<String> = entries(&after)
        .await?
        .into_iter()
        .skip(1)
        .take(TAKEN)
        .collect();
    let deleted: usize = redis.client().xdel(&key, taken).await?;
    ensure!(deleted == TAKEN, "{deleted} deleted");
    Ok(())
}

/// A figure of the aggregator's.
async fn figure(system: &System, name: &str) -> Result<f64> {
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    aggregator.metric(name).await
}
