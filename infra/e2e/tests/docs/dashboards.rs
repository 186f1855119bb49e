//! Dashboards show what is measured, and all of it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::metrics::{base, named, rows};
use crate::read;

const UIDS: [&str; 4] = ["evp-on-call", "evp-ingest", "evp-processing", "evp-queries"];
const RULES: [&str; 2] = [
    "infra/prometheus/rules/recording.yml",
    "infra/prometheus/rules/alerts.yml",
];

/// Metrics that no panel and no rule shows, and why.
const NOT_SHOWN: [(&str, &str); 0] = [];

/// The panels with queries, of one dashboard.
fn panels(uid: &str) -> Vec<Value> {
    let text = read(&format!("infra/grafana/dashboards/{uid}.json"));
    let board: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(board["uid"], uid);
    let variables = board["templating"]["list"].as_array().unwrap();
    assert_eq!(variables.len(), 1, "{uid}");
    assert_eq!(variables[0]["type"], "datasource", "{uid}");
    let panels = board["panels"].as_array().unwrap().clone();
    let ids: BTreeSet<u64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_u64())
        .collect();
    assert_eq!(ids.len(), panels.len(), "{uid}: each panel has its id");
    let is_row = |panel: &Value| panel["type"] == "row";
    panels.into_iter().filter(|panel| !is_row(panel)).collect()
}

/// The queries of a panel.
fn queries(panel: &Value) -> Vec<&str> {
    let targets = panel["targets"].as_array().unwrap();
    let queries = targets
        .iter()
        .map(|target| target["expr"].as_str().unwrap());
    queries.collect()
}

#[test]
fn every_panel_asks_the_data_source_that_is_chosen() {
    let mut seen = 0;
    for panel in UIDS.into_iter().flat_map(panels) {
        seen += 1;
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        assert!(!queries(&panel).is_empty(), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert!(target.get("datasource").is_none(), "{panel}");
        }
    }
    assert!(seen >= 40, "{seen}");
}

#[test]
fn every_metric_is_in_a_panel_or_a_rule_or_has_a_reason() {
    let page = read("docs/METRICS.md");
    let made = rows(&page);
    let panels: Vec<Value> = UIDS.into_iter().flat_map(panels).collect();
    let rules: String = RULES.into_iter().map(read).collect();
    let queries = panels.iter().flat_map(queries).chain([&*rules]);
    let used: BTreeSet<&str> = queries
        .flat_map(named)
        .map(|name| base(name, &made))
        .collect();
    let excused: BTreeSet<&str> = NOT_SHOWN.into_iter().map(|(name, _)| name).collect();

    let unknown: Vec<_> = used.difference(&made).collect();
    assert!(unknown.is_empty(), "not measured: {unknown:?}");
    let unseen: Vec<_> = made.difference(&used).collect();
    let unseen: Vec<_> = unseen
        .into_iter()
        .filter(|name| !excused.contains(*name))
        .collect();
    assert!(unseen.is_empty(), "in no panel and no rule: {unseen:?}");
    let shown: Vec<_> = excused.intersection(&used).collect();
    assert!(shown.is_empty(), "excused, and shown: {shown:?}");
}
