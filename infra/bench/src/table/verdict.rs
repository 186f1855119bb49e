//! The table of figures to reach: what was measured, and whether it is enough. Pure.

use super::cells::{Medians, figure, indexes, spread};
use super::grid::Grid;
use crate::figures::Figures;
use crate::load::{Load, Pace};
use crate::results::{Results, medians};
use crate::row::{Goal, Length, Row, STALL_SHARE, all, thousands};
use crate::without;

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
    let whole = results.around.values().any(|ceilings| !ceilings.is_empty());
    for row in all() {
        let known = results.rows.contains_key(row.name) || results.failures.contains_key(row.name);
        if !known && !whole {
            continue;
        }
        let (measured, reached) = match results.rows.get(row.name) {
            _ if results.failures.contains_key(row.name) => {
                ("failed, see below".to_owned(), Some(false))
            }
            Some(runs) => judge(&row, &medians(runs)),
            None => (NOT_MEASURED.to_owned(), None),
        };
        let (case, reached) = match is_changed(&row, results) {
            true => (format!("{} (changed)", row.case), None),
            false => (row.case.to_owned(), reached),
        };
        grid.push([
            case,
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

/// Whether another load or length was asked for than the table's.
fn is_changed(row: &Row, results: &Results) -> bool {
    let is_other = |load: &Load| *load != row.load;
    let mut runs = results.rows.get(row.name).into_iter().flatten();
    results.loads.get(row.name).is_some_and(is_other) || !runs.all(|run| row.is_as_long(run))
}

const NOT_MEASURED: &str = "not measured";

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

/// Memory at the end over that in the middle: what is to stay flat.
const MEMORY_GROWTH: [&str; 3] = [
    "rss_growth_ingest",
    "rss_growth_processor",
    "rss_growth_redis",
];

/// What was measured, and whether it is what is to be reached.
pub(super) fn judge(row: &Row, medians: &Medians) -> (String, Option<bool>) {
    let (text, reached) = judge_alone(row, medians);
    let Some(without) = row.without else {
        return (text, reached);
    };
    let most = [
        ("mongod CPU", without::CPU, without.cpu_max),
        ("EVP and Redis CPU", without::EVP, without.evp_max),
        ("answer p99", without::ANSWER, without.answer_max),
    ];
    let mut all = (text, reached);
    if let Some(most) = without.duplicate_max {
        let cost = medians.get(without::DUPLICATE).map(|median| median.value);
        all.0 += &match cost {
            Some(cost) => format!("; mongod {cost:.1} us a duplicate"),
            None => format!("; mongod's us a duplicate: {NOT_MEASURED}"),
        };
        all.1 = match cost {
            Some(cost) => all.1.map(|reached| reached && cost <= most),
            None => all.1.filter(|reached| !reached),
        };
    }
    for (what, name, most) in most {
        let Some(ratio) = medians.get(name).map(|median| median.value) else {
            all.0 += &format!("; {what} to that without: {NOT_MEASURED}");
            all.1 = all.1.filter(|reached| !reached || most.is_none());
            continue;
        };
        all.0 += &format!("; {what} {ratio:.2}x that without");
        all.1 = all
            .1
            .map(|reached| reached && most.is_none_or(|most| ratio <= most));
    }
    all
}

fn judge_alone(row: &Row, medians: &Medians) -> (String, Option<bool>) {
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
                && figure("latency_samples") > 0.0
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
        Goal::Growth(most) => grown(row, medians, most, &rate),
        Goal::Steady => {
            let lowest = figure("stored_lowest_per_s");
            let has_stall = lowest < figure("asked_per_s") * STALL_SHARE;
            let text = format!("{rate}, lowest second {}", thousands(lowest));
            (text, Some(holds && !has_stall))
        }
        Goal::Flat(most) => flat(medians, most, holds, &rate),
        Goal::BacklogMb(most) => {
            let mb = figure("backlog_mb_per_million");
            (format!("{mb:.0} MB"), Some(mb > 0.0 && mb <= most))
        }
    }
}

fn grown(row: &Row, medians: &Medians, most: f64, rate: &str) -> (String, Option<bool>) {
    let Some(growth) = medians.get("mongod_growth").map(|median| median.value) else {
        return (NOT_MEASURED.to_owned(), None);
    };
    let millions = value(medians, "acknowledged_millions");
    let text = format!("{growth:.2}x up to {millions:.1} million, {rate}");
    let wanted = match row.length {
        Length::Events(events) => events as f64 / 1e6,
        Length::Usual | Length::Long(_) => 0.0,
    };
    let holds = value(medians, "holds") > 0.5;
    let reached = holds && growth <= most && millions >= wanted;
    (text, Some(reached))
}

fn flat(medians: &Medians, most: f64, holds: bool, rate: &str) -> (String, Option<bool>) {
    let grown = |name| medians.get(name).map(|median| median.value);
    let factors: Option<Vec<f64>> = MEMORY_GROWTH.into_iter().map(grown).collect();
    let Some(factors) = factors else {
        return (NOT_MEASURED.to_owned(), None);
    };
    let texts: Vec<String> = factors
        .iter()
        .map(|factor| format!("{factor:.2}x"))
        .collect();
    let asked = value(medians, "asked_per_s");
    let lowest = value(medians, "stored_lowest_per_s");
    let text = format!(
        "{rate} of {} asked, lowest second {}; memory {}",
        thousands(asked),
        thousands(lowest),
        texts.join(", ")
    );
    let is_flat = factors.iter().all(|growth| *growth <= most);
    let has_stall = lowest < asked * STALL_SHARE;
    (text, Some(holds && is_flat && !has_stall))
}

/// Rate of the row over the mean of each of its ceilings before and after it.
fn share(row: &Row, results: &Results) -> String {
    let (Some(runs), Some(around)) = (results.rows.get(row.name), results.around.get(row.name))
    else {
        return "-".to_owned();
    };
    let stored = value(&medians(runs), "stored_per_s");
    let of = |(name, both): (&String, &[Figures; 2])| {
        let [before, after] = both.each_ref().map(|one| figure(one, "events_per_s"));
        format!(
            "{:.2} of {name}'s {} before, {} after",
            stored / f64::midpoint(before, after),
            thousands(before),
            thousands(after)
        )
    };
    let shares: Vec<String> = around.iter().map(of).collect();
    match shares.is_empty() {
        true => "-".to_owned(),
        false => shares.join("; "),
    }
}

/// The medians of `names` in row `name` of the table; nothing unless all were measured.
fn measured<const N: usize>(results: &Results, name: &str, names: [&str; N]) -> Option<[f64; N]> {
    let row = all().into_iter().find(|row| row.name == name)?;
    if results.failures.contains_key(name) || is_changed(&row, results) {
        return None;
    }
    let medians = medians(results.rows.get(name)?);
    let found: Vec<f64> = names
        .into_iter()
        .filter_map(|name| Some(medians.get(name)?.value))
        .collect();
    found.try_into().ok()
}

fn cost(results: &Results) -> [String; 6] {
    let costs = measured(results, COST_ROW, CPU.map(|(name, _)| name));
    let within = |costs: [f64; 3]| costs.iter().zip(CPU).all(|(cost, (_, most))| *cost <= most);
    line(
        [
            "CPU s per million events, requests of 100: ingest / processor / Redis",
            "none",
        ],
        "1.2 / 1.2 / 2.4",
        costs.map(|costs| costs.map(|cost| format!("{cost:.2}")).join(" / ")),
        costs.map(within),
    )
}

fn system(results: &Results) -> [String; 6] {
    // Without mongod's share the sum would be another one.
    let system = measured(
        results,
        SYSTEM_ROW,
        ["cpu_system", "cpu_redis", "cpu_mongod"],
    );
    let around = results.around.get(SYSTEM_ROW);
    let raw = around
        .and_then(|around| around.get("mongo-default"))
        .map(|both| {
            let cost = |one| figure(one, "cpu_client") + figure(one, "cpu_server");
            both.each_ref().map(cost)
        });
    let all = system.zip(raw).map(|([system, ..], [before, after])| {
        let ratio = system / f64::midpoint(before, after);
        (ratio, system, before, after)
    });
    line(
        [
            "whole system without generator over raw inserts, requests of 100",
            "default",
        ],
        "at most 1.6x the CPU",
        all.map(|(ratio, system, before, after)| {
            format!("{ratio:.2}x ({system:.2} over {before:.2} before, {after:.2} us/ev after)")
        }),
        all.map(|(ratio, ..)| ratio <= SYSTEM_MAX),
    )
}

fn memory(results: &Results) -> [String; 6] {
    let used = measured(results, COST_ROW, MEMORY.map(|(name, _)| name));
    let below = |used: [f64; 2]| used.iter().zip(MEMORY).all(|(mib, (_, most))| *mib < most);
    line(
        [
            "resident memory, requests of 100: ingest, processor",
            "none",
        ],
        "below 64, 128 MiB",
        used.map(|used| used.map(|mib| format!("{mib:.0}")).join(", ") + " MiB"),
        used.map(below),
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
        measured.unwrap_or_else(|| NOT_MEASURED.to_owned()),
        word(reached),
        "-".to_owned(),
    ]
}
