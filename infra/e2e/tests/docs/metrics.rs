//! docs/METRICS.md has a row for every metric, and no other.

use std::collections::BTreeSet;

use crate::read;

/// Where metrics are named; each name stands there and nowhere else.
const SOURCES: [&str; 8] = [
    "ingest/src/metrics.rs",
    "processor/src/metrics.rs",
    "aggregator/src/metrics.rs",
    "shared/src/health.rs",
    "shared/src/http/server/metrics.rs",
    "shared/src/service/reload.rs",
    "shared/src/tasks/pool.rs",
    "shared/src/telemetry.rs",
];

/// Names the tests of telemetry make up.
const MADE_UP: &str = "evp_test_";

/// The names in `text` that stand right behind `mark`, up to `end`.
fn names<'a>(text: &'a str, mark: &str, end: char) -> BTreeSet<&'a str> {
    let behind = text.split(mark).skip(1);
    let names = behind.filter_map(|rest| rest.split(end).next());
    names
        .filter(|name| name.starts_with("evp_") && !name.starts_with(MADE_UP))
        .filter(|name| name.chars().all(is_part))
        .collect()
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter == '_'
}

/// The metrics that the page has a row for.
pub(crate) fn rows(page: &str) -> BTreeSet<&str> {
    names(page, "\n| `", '`')
}

/// The metrics of EVP that a query names.
pub(crate) fn named(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("evp_"))
}

/// The metric that a series belongs to: a histogram has several.
pub(crate) fn base<'a>(series: &'a str, made: &BTreeSet<&str>) -> &'a str {
    let endings = ["_bucket", "_count", "_sum"];
    let bases = endings
        .into_iter()
        .filter_map(|end| series.strip_suffix(end));
    bases
        .chain([series])
        .find(|name| made.contains(name))
        .unwrap_or(series)
}

#[test]
fn every_metric_has_its_row() {
    let sources: Vec<String> = SOURCES.into_iter().map(read).collect();
    let in_code: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| names(source, "\"", '"'))
        .collect();
    assert!(in_code.len() > 30, "{in_code:?}");
    let page = read("docs/METRICS.md");
    assert_eq!(rows(&page), in_code);
}
