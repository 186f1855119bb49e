//! Each alert has its page, its cases and its metrics.

use std::collections::BTreeSet;

use crate::metrics::{base, named, rows};
use crate::read;

const ALERTS: &str = "infra/prometheus/rules/alerts.yml";
const RECORDING: &str = "infra/prometheus/rules/recording.yml";
const CASES: [&str; 2] = [
    "infra/prometheus/rules/alerts_test.yml",
    "infra/prometheus/rules/alerts_days_test.yml",
];
const PAGES: &str = "docs/runbooks";
const LIST: &str = "docs/runbooks/README.md";
/// What a page says, in this order.
const HEADINGS: [&str; 5] = [
    "Meaning",
    "Effect",
    "First look",
    "Mend",
    "Proof that it is over",
];

/// The parts of a text that begin with `mark`, each with what stands behind it on the line.
fn parts<'a>(text: &'a str, mark: &str) -> Vec<(&'a str, &'a str)> {
    let parts = text.split(mark).skip(1);
    parts
        .map(|part| (part.lines().next().unwrap_or_default().trim(), part))
        .collect()
}

#[test]
fn every_alert_has_a_page_with_the_five_headings() {
    let (alerts, list) = (read(ALERTS), read(LIST));
    let alerts = parts(&alerts, "- alert: ");
    assert!(alerts.len() >= 14, "{alerts:?}");
    for (name, rule) in alerts {
        let page = format!("{PAGES}/{name}.md");
        assert!(
            rule.contains(&format!(
                "runbook_url: https://github.com/evp-project/evp/blob/main/{page}\n"
            )),
            "{name}"
        );
        let text = read(&page);
        let headings: Vec<&str> = parts(&text, "\n## ").iter().map(|part| part.0).collect();
        assert_eq!(headings, HEADINGS, "{page}");
        let severity = rule.split("severity: ").nth(1).unwrap_or_default();
        let severity = severity.split(['}', ',']).next().unwrap_or_default();
        assert!(["critical", "warning"].contains(&severity), "{name}");
        assert!(
            list.contains(&format!("| [{name}]({name}.md) | {severity} |")),
            "{name} is not in the list of pages"
        );
    }
}

#[test]
fn every_alert_has_a_case_where_it_fires_and_one_where_it_does_not() {
    let cases: String = CASES.into_iter().map(read).collect();
    let (mut fires, mut is_silent) = (BTreeSet::new(), BTreeSet::new());
    for (_, case) in parts(&cases, "- eval_time: ") {
        let (name, _) = parts(case, "alertname: ")[0];
        let seen = if case.contains("exp_alerts:") {
            &mut fires
        } else {
            &mut is_silent
        };
        seen.insert(name.to_owned());
    }
    let alerts = read(ALERTS);
    let alerts = parts(&alerts, "- alert: ");
    let alerts: BTreeSet<String> = alerts.iter().map(|part| part.0.to_owned()).collect();
    assert_eq!(fires, alerts);
    assert_eq!(is_silent, alerts);
}

#[test]
fn every_metric_of_a_rule_is_one_that_is_made() {
    let (page, recording) = (read("docs/METRICS.md"), read(RECORDING));
    let rules = format!("{recording}{}", read(ALERTS));
    let made = rows(&page);
    let used: BTreeSet<&str> = named(&rules).map(|name| base(name, &made)).collect();
    assert!(used.len() > 20, "{used:?}");
    let unknown: Vec<_> = used.iter().filter(|name| !made.contains(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    let recorded = parts(&recording, "- record: ");
    let recorded: BTreeSet<&str> = recorded.iter().map(|part| part.0).collect();
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let asked = rules.split(move |letter| !is_part(letter));
    for name in asked.filter(|word| word.starts_with("evp:")) {
        assert!(recorded.contains(name), "{name}");
    }
}
