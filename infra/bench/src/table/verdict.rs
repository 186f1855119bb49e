//! The table of figures to reach: what was measured, and whether it is enough. Pure.

use super::grid::Grid;
use super::{Medians, indexes, spread};
use crate::load::Pace;
use crate::row::{Goal, Row, all, thousands};
use crate::run::medians;
use crate::session::Results;

/// The ceiling a row's rate is a share of.
fn ceiling_of(row: &Row) -> &'static str {
    if row.load.request_events == 1 {
        return "http-null";
    }
    match row.layout.indexes {
        [] => "mongo-none",
        ["type"] => "mongo-type",
        _ => "mongo-default",
    }
}

/// Highest CPU seconds per million events: ingest, processor, Redis.
const CPU: [(&str, f64); 3] = [
    ("cpu_ingest", 1.2),
    ("cpu_processor", 1.2),
    ("cpu_redis", 2.4),
];
/// Highest CPU of the whole system, over that of raw inserts.
const SYSTEM_MAX: f64 = 1.6;
/// Highest memory in MiB at 100,000 events/s.
const MEMORY: [(&str, f64); 2] = [("rss_ingest_mib", 64.0), ("rss_processor_mib", 128.0)];
/// The row whose costs are judged.
const COST_ROW: &str = "r100-none";
const SYSTEM_ROW: &str = "r100-default";

pub(super) fn table(results: &Results) -> String {
    let mut grid = Grid::new(&[
        "case",
        "indexes",
        "reach",
        "measured",
        "reached",
        "of ceiling",
    ]);
    // A session of named rows has no ceilings, and is about these rows alone.
    let whole = !results.ceilings.is_empty();
    for row in all() {
        let known = results.rows.contains_key(row.name) || results.failures.contains_key(row.name);
        if !known && !whole {
            continue;
        }
        let (measured, reached) = match results.rows.get(row.name) {
            Some(runs) => judge(&row, &medians(runs)),
            None => (missing(results, row.name), None),
        };
        grid.push([
            row.case.to_owned(),
            indexes(&row),
            row.reach(),
            measured,
            word(reached),
            share(&row, results),
        ]);
    }
    if whole {
        grid.push(cost(results));
        grid.push(system(results));
        grid.push(memory(results));
    }
    grid.text()
}

fn missing(results: &Results, name: &str) -> String {
    match results.failures.get(name) {
        Some(_) => "failed, see below".to_owned(),
        None => "not measured".to_owned(),
    }
}

fn word(reached: Option<bool>) -> String {
    match reached {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
    .to_owned()
}

fn value(medians: &Medians, name: &str) -> f64 {
    medians.get(name).map_or(0.0, |median| median.value)
}

/// Share of a rate that counts as that rate: what is accepted in a run of a rate that holds.
const OF_THE_RATE: f64 = 0.98;

/// What was measured, and whether it is what is to be reached.
pub(super) fn judge(row: &Row, medians: &Medians) -> (String, Option<bool>) {
    let figure = |name: &str| value(medians, name);
    let holds = figure("holds") > 0.5;
    let rate = format!(
        "{}{}/s, {:.2} cores",
        if holds { "holds, " } else { "DOES NOT HOLD: " },
        spread(medians, "stored_per_s"),
        figure("cores")
    );
    match row.goal {
        Goal::Holds => {
            // A rate given by hand may be below the one that is to be reached.
            let asked = match row.load.pace {
                Pace::Open(rate) => rate,
                Pace::Closed => 0.0,
            };
            let reached = holds && figure("stored_per_s") >= asked * OF_THE_RATE;
            (rate, Some(reached))
        }
        Goal::Stores(target) => (rate, Some(holds && figure("stored_per_s") >= target)),
        Goal::Within {
            answer_p99,
            stored_p50,
            stored_p99,
        } => {
            let within =
                |name: &str, most: Option<f64>| most.is_none_or(|most| figure(name) <= most);
            let reached = holds
                && within("answer_p99_ms", answer_p99)
                && within("stored_p50_ms", stored_p50)
                && within("stored_p99_ms", Some(stored_p99));
            let times = format!(
                "{}answer p99 {:.1} ms; stored p50 {:.0}, p99 {:.0} ms",
                if holds { "" } else { "DOES NOT HOLD: " },
                figure("answer_p99_ms"),
                figure("stored_p50_ms"),
                figure("stored_p99_ms")
            );
            (times, Some(reached))
        }
        Goal::Growth(most) => {
            let growth = figure("mongod_growth");
            let text = format!("{growth:.2}x, {rate}");
            (text, Some(holds && growth <= most))
        }
        Goal::Flat(most) => {
            let growths = ["rss_growth_ingest", "rss_growth_processor"].map(figure);
            let text = format!("{rate}; memory {:.2}x, {:.2}x", growths[0], growths[1]);
            let flat = growths.iter().all(|growth| *growth <= most);
            (text, Some(holds && flat))
        }
        Goal::BacklogMb(most) => {
            let mb = figure("backlog_mb_per_million");
            (format!("{mb:.0} MB"), Some(mb > 0.0 && mb <= most))
        }
    }
}

/// Rate of the row over that of its ceiling.
fn share(row: &Row, results: &Results) -> String {
    let ceiling = ceiling_of(row);
    let highest = results
        .ceilings
        .get(ceiling)
        .and_then(|figures| figures.get("events_per_s"));
    let (Some(runs), Some(highest)) = (results.rows.get(row.name), highest) else {
        return "-".to_owned();
    };
    let stored = value(&medians(runs), "stored_per_s");
    format!(
        "{:.2} of {ceiling}'s {}",
        stored / highest,
        thousands(*highest)
    )
}

fn cost(results: &Results) -> [String; 6] {
    let row = results.rows.get(COST_ROW).map(|runs| medians(runs));
    let costs = row.map(|medians| CPU.map(|(name, most)| (value(&medians, name), most)));
    let text = costs.map(|costs| costs.map(|(cost, _)| format!("{cost:.2}")).join(" / "));
    let reached = costs.map(|costs| costs.iter().all(|(cost, most)| cost <= most));
    line(
        [
            "CPU s per million events, requests of 100: ingest / processor / Redis",
            "none",
        ],
        "1.2 / 1.2 / 2.4",
        text,
        reached,
    )
}

fn system(results: &Results) -> [String; 6] {
    let system = results
        .rows
        .get(SYSTEM_ROW)
        .map(|runs| value(&medians(runs), "cpu_system"));
    let raw = results.ceilings.get("mongo-default").map(|figures| {
        let figure = |name: &str| figures.get(name).copied().unwrap_or_default();
        figure("cpu_client") + figure("cpu_server")
    });
    let both = system.zip(raw).filter(|(_, raw)| *raw > 0.0);
    line(
        [
            "whole system without generator over raw inserts, requests of 100",
            "default",
        ],
        "at most 1.6x the CPU",
        both.map(|(system, raw)| format!("{:.2}x ({system:.2} over {raw:.2} us/ev)", system / raw)),
        both.map(|(system, raw)| system / raw <= SYSTEM_MAX),
    )
}

fn memory(results: &Results) -> [String; 6] {
    let row = results.rows.get(COST_ROW).map(|runs| medians(runs));
    let used = row.map(|medians| MEMORY.map(|(name, most)| (value(&medians, name), most)));
    line(
        [
            "resident memory, requests of 100: ingest, processor",
            "none",
        ],
        "below 64, 128 MiB",
        used.map(|used| used.map(|(mib, _)| format!("{mib:.0}")).join(", ") + " MiB"),
        used.map(|used| used.iter().all(|(mib, most)| mib < most)),
    )
}

fn line(
    [case, indexes]: [&str; 2],
    reach: &str,
    measured: Option<String>,
    reached: Option<bool>,
) -> [String; 6] {
    [
        case.to_owned(),
        indexes.to_owned(),
        reach.to_owned(),
        measured.unwrap_or_else(|| "not measured".to_owned()),
        word(reached),
        "-".to_owned(),
    ]
}
