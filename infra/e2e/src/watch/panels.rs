//! Every query of the dashboards, against a system at work.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use evp_devstack::ScratchDir;
use evp_shared::testing::tls::Authority;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Watch;
use super::trickle::Trickle;
use crate::System;

const BOARDS: [&str; 4] = [
    include_str!("../../../grafana/dashboards/evp-on-call.json"),
    include_str!("../../../grafana/dashboards/evp-ingest.json"),
    include_str!("../../../grafana/dashboards/evp-processing.json"),
    include_str!("../../../grafana/dashboards/evp-queries.json"),
];
/// What is asked of the aggregator meanwhile.
const QUERIES: [&str; 5] = [
    "/events?limit=5",
    "/metrics",
    "/metrics/series",
    "/analytics",
    "/usage",
];
/// A housekeeper looks every minute, and some figures are its own.
const WITHIN: Duration = Duration::from_secs(150);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What Grafana makes of a scrape every second, about.
const RATE_INTERVAL: &str = "20s";

/// Asks every query until each has data; what was seen, `N of N`.
///
/// # Errors
/// One has none, with its panel.
pub(crate) async fn check() -> Result<String> {
    // One that speaks TLS, to which nobody sends.
    let files = ScratchDir::new()?;
    let pair = Authority::new().issue(90).write(files.path())?;
    let system = System::of("observe_check")
        .ingests(2)
        .processors(2)
        .partitions(2)
        .aggregator()
        .env("EVP__CANARY__INTERVAL", "1s")
        // Never asked to send any.
        .env_of("aggregator-0", "EVP__MAIL__SMTP_URL", "smtp://127.0.0.1:1")
        .env_of("aggregator-0", "EVP__MAIL__FROM", "evp@example.org")
        .env_of(
            "ingest-1",
            "EVP__SERVER__TLS__CERT_FILE",
            pair.cert.display().to_string(),
        )
        .env_of(
            "ingest-1",
            "EVP__SERVER__TLS__KEY_FILE",
            pair.key.display().to_string(),
        )
        .start()
        .await?;
    let watch = Watch::start(&system, |text| {
        text.replace("interval: 15s", "interval: 1s")
    })
    .await?;
    let _trickle = Trickle::start(&system);
    let mut left = queries()?;
    let (all, panels) = (left.len(), panels_of(&left));
    let deadline = Instant::now() + WITHIN;
    while !left.is_empty() && Instant::now() < deadline {
        ask_aggregator(&system).await?;
        let mut without = Vec::new();
        for (panel, query) in left {
            if !has_data(&watch, &query).await? {
                without.push((panel, query));
            }
        }
        left = without;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let lines = left
        .iter()
        .map(|(panel, query)| format!("{panel}: no data: {query}"));
    let lines: Vec<String> = lines.collect();
    let seen = all - left.len();
    if lines.is_empty() {
        system.pass();
        return Ok(format!(
            "{seen} of {all} queries of {panels} panels have data"
        ));
    }
    bail!("{seen} of {all} queries have data\n{}", lines.join("\n"))
}

/// Panels and their queries.
fn queries() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for board in BOARDS {
        let board: Value = serde_json::from_str(board)?;
        let title = board["title"].as_str().context("a board without a title")?;
        let panels = board["panels"].as_array().context("no panels")?;
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let name = panel["title"].as_str().context("a panel without a title")?;
            let targets = panel["targets"].as_array().context("no queries")?;
            for target in targets {
                let query = target["expr"].as_str().context("no query")?;
                let query = query.replace("$__rate_interval", RATE_INTERVAL);
                found.push((format!("{title}, {name} ({})", panel["id"]), query));
            }
        }
    }
    Ok(found)
}

fn panels_of(queries: &[(String, String)]) -> usize {
    let mut panels: Vec<&String> = queries.iter().map(|(panel, _)| panel).collect();
    panels.dedup();
    panels.len()
}

/// Whether a query gives a number; a division by nothing gives none.
async fn has_data(watch: &Watch, query: &str) -> Result<bool> {
    let found = watch.query(query).await?;
    Ok(found.iter().any(|sample| {
        let value = sample["value"][1].as_str();
        value.is_some_and(|value| value != "NaN")
    }))
}

/// Something of everything that the aggregator measures.
async fn ask_aggregator(system: &System) -> Result<()> {
    let node = system.aggregator.as_ref().context("no aggregator")?;
    for path in QUERIES {
        let url = format!("{}{path}", node.url());
        drop(system.reader.get(url).send().await?.bytes().await);
    }
    let wrong = json!({ "key": "evp_sec_none" }).to_string();
    let sign_in = system.reader.post(format!("{}/sign-in/key", node.url()));
    let sign_in = sign_in.header(CONTENT_TYPE, "application/json").body(wrong);
    drop(sign_in.send().await?);
    Ok(())
}
