//! The real Prometheus and Alertmanager with the shipped files, over a [`System`].
//!
//! `panels` runs every query of the dashboards, `causes` makes what alerts are for, with durations divided
//! ([`scale`]), and `messages` counts what people are told of one outage.

mod causes;
mod messages;
mod panels;
mod scale;
mod trickle;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::{Observers, ScratchDir, Service, find, free_port};
use reqwest::{Client, Url};
use serde_json::Value;

use crate::{System, client, until};

pub(crate) use causes::check as alerts;
pub(crate) use messages::check as messages;
pub(crate) use panels::check as panels;

/// Both, as long as it lives.
struct Watch {
    observers: Observers,
    http: Client,
    _services: [Service; 2],
    _folder: ScratchDir,
}

impl Watch {
    /// Starts both with the shipped files as `edit` leaves them, and waits until every service is scraped.
    async fn start(system: &System, edit: impl Fn(&str) -> String) -> Result<Self> {
        let folder = ScratchDir::new()?;
        let processors = system.processors.iter().map(|node| ("processor", node));
        let nodes = system.ingests.iter().map(|node| ("ingest", node));
        let nodes = nodes.chain(processors);
        let nodes = nodes.chain(system.aggregator.iter().map(|node| ("aggregator", node)));
        let targets: Vec<_> = nodes
            .map(|(service, node)| (service, node.admin_port()))
            .collect();
        let observers = Observers {
            folder: folder.path().to_owned(),
            prometheus: free_port()?,
            alertmanager: free_port()?,
            targets,
            token: String::new(),
        };
        observers.place(edit)?;
        let watch = Self {
            _services: [
                Service::start(observers.alertmanager_spec(&find::alertmanager().await?))?,
                Service::start(observers.prometheus_spec(&find::prometheus().await?))?,
            ],
            http: client()?,
            observers,
            _folder: folder,
        };
        let services = watch.observers.targets.len();
        let all = format!("count(up == 1) == {services}");
        let scraped = until("Prometheus scrapes every service", async || {
            watch.query(&all).await.is_ok_and(|found| !found.is_empty())
        });
        scraped.await.with_context(|| watch.logs())?;
        Ok(watch)
    }

    /// The samples that Prometheus finds for a query now.
    async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let api = format!(
            "http://127.0.0.1:{}/api/v1/query",
            self.observers.prometheus
        );
        let url = Url::parse_with_params(&api, [("query", query)])?;
        let answer: Value = self.http.get(url).send().await?.json().await?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        Ok(answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// The alerts that Alertmanager holds, those included that it does not tell beside others.
    async fn firing(&self) -> Result<BTreeSet<String>> {
        let port = self.observers.alertmanager;
        let url = format!("http://127.0.0.1:{port}/api/v2/alerts");
        let alerts: Vec<Value> = self.http.get(url).send().await?.json().await?;
        let names = alerts
            .iter()
            .filter_map(|alert| alert["labels"]["alertname"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// The ends of both logs.
    fn logs(&self) -> String {
        let ends = ["prometheus", "alertmanager"].map(|name| {
            let file = self.observers.folder.join(format!("{name}.log"));
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(10).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        });
        ends.join("\n")
    }
}
