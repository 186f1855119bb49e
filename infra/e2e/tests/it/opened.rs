//! What was stored while nobody was asked who they are, once keys are asked for.

use anyhow::{Context as _, Result, ensure};
use evp_e2e::{Expected, Journal, Keys, Node, Post, System, client, client_with, until};

use crate::everything_arrives_once::ask;

const EVENTS: u32 = 10;

/// Row 15 of what is to be shown: it is the tenant `default`'s, and nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_open_mode_stored_is_the_default_tenants_with_keys() -> Result<()> {
    let mut system = System::of("opened").open().aggregator().start().await?;
    let mut journal = Journal::default();
    let body = system.events.array(0..EVENTS);
    let post = Post::json(&system.http, &system.ingests[0].url(), body);
    post.acknowledged(&mut journal, 0..EVENTS).await?;
    counted(&system, EVENTS).await?;

    let keys = Keys::make(&system.mongo, "default").await?;
    let others = Keys::make(&system.mongo, "acme").await?;
    for node in nodes(&mut system) {
        node.restart_with("EVP__AUTH__MODE", "keys").await?;
    }
    for node in nodes(&mut system) {
        node.await_ready().await?;
    }
    let url = system.ingests[0].url();
    let again = system.events.array(0..EVENTS);
    let unasked = Post::json(&client()?, &url, again.clone()).send().await?;
    ensure!(format!("{unasked:?}").contains("401"), "{unasked:?}");

    // The same events again: of the same tenant they are the same, of another one they are not.
    system.http = client_with(&keys.write)?;
    system.reader = client_with(&keys.admin)?;
    let post = Post::json(&system.http, &url, again.clone());
    post.acknowledged(&mut journal, 0..EVENTS).await?;
    counted(&system, EVENTS).await?;
    let found = ask(&system, "/events?limit=100").await?;
    let found = found["items"].as_array().context("items")?;
    ensure!(found.len() == EVENTS as usize, "{found:?}");

    system.reader = client_with(&others.admin)?;
    let found = ask(&system, "/events?limit=100").await?;
    ensure!(found["items"] == serde_json::json!([]), "{found}");
    system.reader = client_with(&keys.admin)?;
    let expected = Expected::default();
    let faults = "keys are asked for from then on";
    system.balance(&journal, &expected, faults).await.map(drop)
}

async fn counted(system: &System, events: u32) -> Result<()> {
    until("everything is counted", async || {
        let metrics = ask(system, "/metrics?window=all").await;
        metrics.is_ok_and(|metrics| metrics["totals"]["events"] == events)
    })
    .await
}

fn nodes(system: &mut System) -> impl Iterator<Item = &mut Node> {
    let services = system.ingests.iter_mut().chain(&mut system.processors);
    services.chain(&mut system.aggregator)
}
