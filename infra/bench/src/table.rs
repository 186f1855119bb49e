//! What is printed: the table of docs/BENCHMARKS.md, what every row cost, the ceilings, and ratios
//! to an earlier session.

mod cells;
mod grid;
mod verdict;

use std::collections::BTreeMap;

use crate::figures::{self, Figures};
use crate::results::{Results, Run, medians};
use crate::row::{Row, all, thousands};
use cells::{Medians, cell, figure, indexes, rounded, spread};
pub(crate) use grid::Grid;

/// Everything.
#[must_use]
pub fn text(results: &Results) -> String {
    let parts = [
        format!("\n{}", results.header.text()),
        format!("\n## Figures to reach\n\n{}", verdict::table(results)),
        format!("\n## What each row cost (median)\n\n{}", costs(results)),
        format!("\n## Times in ms (median)\n\n{}", times(results)),
        tenths(results),
        ceilings(results),
        failures(results),
    ];
    parts.join("\n")
}

/// The rows there are.
#[must_use]
pub fn rows(rows: &[Row]) -> String {
    let mut grid = Grid::new(&["row", "case", "indexes", "reach"]);
    for row in rows {
        grid.push([
            row.name.to_owned(),
            row.case.to_owned(),
            indexes(row),
            row.reach(),
        ]);
    }
    grid.text()
}

/// One run, while the session goes on.
#[must_use]
pub fn run_line(row: &Row, number: usize, of: usize, run: &Run) -> String {
    let figure = |name: &str| figure(&run.figures, name);
    if !row.layout.processor {
        return format!(
            "{} {number}/{of}: {:.0} MB of Redis per million events",
            row.name,
            figure("backlog_mb_per_million")
        );
    }
    let stored = match figure("latency_samples") > 0.0 {
        true => format!(
            "stored p50 {:.0} p99 {:.0} ms, ",
            figure("stored_p50_ms"),
            figure("stored_p99_ms")
        ),
        false => String::new(),
    };
    format!(
        "{} {number}/{of}: stored {}/s, {}, {:.2} cores (others {:.2}), answer p99 {:.1} ms, \
         {stored}backlog {}",
        row.name,
        thousands(figure("stored_per_s")),
        if figure("holds") > 0.5 {
            "holds"
        } else {
            "does not hold"
        },
        figure("cores"),
        figure("other_cores"),
        figure("answer_p99_ms"),
        thousands(figure("backlog_end_events")),
    )
}

/// One ceiling, while the session goes on.
#[must_use]
pub fn ceiling_line(name: &str, figures: &Figures) -> String {
    format!(
        "{name}: {}/s, CPU client {:.2}, server {:.2} us/ev",
        thousands(figure(figures, "events_per_s")),
        figure(figures, "cpu_client"),
        figure(figures, "cpu_server"),
    )
}

/// Figures whose ratio tells whether something became better or worse.
const COMPARED: [&str; 12] = [
    "accepted_per_s",
    "stored_per_s",
    "cores",
    "cpu_system",
    "cpu_ingest",
    "cpu_processor",
    "cpu_redis",
    "cpu_mongod",
    "answer_p99_ms",
    "stored_p50_ms",
    "stored_p99_ms",
    "rss_processor_mib",
];

/// Ratios of the medians, new over old, for the rows that both have.
#[must_use]
pub fn comparison(old: &Results, new: &Results) -> String {
    let mut columns = vec!["row"];
    columns.extend(COMPARED);
    let mut grid = Grid::new(&columns);
    for (name, runs) in &new.rows {
        let Some(before) = old.rows.get(name) else {
            continue;
        };
        let (before, after) = (medians(before), medians(runs));
        let asked = |medians: &Medians| cell(medians, "asked_per_s", 0);
        // Of a session before loads were kept, or of another load: no ratio means anything.
        if old.loads.get(name) != new.loads.get(name) || asked(&before) != asked(&after) {
            grid.push([format!("{name}: other loads")]);
            continue;
        }
        let mut cells = vec![name.clone()];
        cells.extend(COMPARED.map(|figure| ratio(&before, &after, figure)));
        grid.push(cells);
    }
    format!(
        "\n## New over old: commit {} (builds {}) over {} ({})\n\n{}",
        new.header.commit,
        new.header.builds,
        old.header.commit,
        old.header.builds,
        grid.text()
    )
}

fn ratio(before: &Medians, after: &Medians, figure: &str) -> String {
    match (before.get(figure), after.get(figure)) {
        (Some(before), Some(after)) if before.value > 0.0 => {
            format!("{:.2}", after.value / before.value)
        }
        _ => "-".to_owned(),
    }
}

fn measured_rows(results: &Results) -> impl Iterator<Item = (Row, Medians)> {
    all().into_iter().filter_map(|row| {
        let runs = results.rows.get(row.name)?;
        Some((row, medians(runs)))
    })
}

fn costs(results: &Results) -> String {
    let mut grid = Grid::new(&[
        "row",
        "stored/s (spread)",
        "lowest s",
        "cores",
        "others",
        "gen",
        "ingest",
        "proc",
        "redis",
        "mongod",
        "system",
        "MiB ingest",
        "proc",
        "redis",
        "ev/frame",
        "ev/bulk",
        "iowait",
        "steal %",
    ]);
    for (row, medians) in measured_rows(results) {
        let figure = |name: &str, digits: usize| cell(&medians, name, digits);
        grid.push([
            row.name.to_owned(),
            spread(&medians, "stored_per_s"),
            rounded(&medians, "stored_lowest_per_s"),
            figure("cores", 2),
            figure("other_cores", 2),
            figure("cpu_generator", 2),
            figure("cpu_ingest", 2),
            figure("cpu_processor", 2),
            figure("cpu_redis", 2),
            figure("cpu_mongod", 2),
            figure("cpu_system", 2),
            figure("rss_ingest_mib", 0),
            figure("rss_processor_mib", 0),
            figure("redis_peak_mib", 0),
            figure("frame_events", 0),
            figure("bulk_events", 0),
            figure("iowait_pct", 1),
            figure("steal_pct", 1),
        ]);
    }
    format!(
        "{}gen to system: CPU seconds per million events, user and system; system is all but the \
         generator; others: cores used by processes that are not part of the run\n",
        grid.text()
    )
}

fn times(results: &Results) -> String {
    let mut grid = Grid::new(&[
        "row",
        "answer p50",
        "p99",
        "p99.9",
        "stored p50",
        "p99",
        "p99.9",
        "send delay p99",
        "insert",
        "receipt",
        "commit",
        "backlog",
        "slope/s",
    ]);
    for (row, medians) in measured_rows(results) {
        let figure = |name: &str, digits: usize| cell(&medians, name, digits);
        grid.push([
            row.name.to_owned(),
            figure("answer_p50_ms", 1),
            figure("answer_p99_ms", 1),
            figure("answer_p999_ms", 1),
            figure("stored_p50_ms", 0),
            figure("stored_p99_ms", 0),
            figure("stored_p999_ms", 0),
            figure("send_delay_p99_ms", 1),
            figure("insert_ms", 1),
            figure("receipt_ms", 1),
            figure("commit_ms", 1),
            rounded(&medians, "backlog_end_events"),
            rounded(&medians, "backlog_slope_per_s"),
        ]);
    }
    format!(
        "{}answer: from when the request was due to its whole answer; stored: from there to the \
         commit of the event; insert, receipt, commit: mean of one bulk\n",
        grid.text()
    )
}

/// What mongod's CPU per event became in the rows that are about it.
fn tenths(results: &Results) -> String {
    let names: Vec<String> = (1..=10).map(figures::tenth).collect();
    let has = |(_, medians): &(Row, Medians)| medians.contains_key(&names[0]);
    let rows: Vec<_> = measured_rows(results).filter(has).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new(&[
        "row",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "10",
        "last to first",
    ]);
    for (row, medians) in rows {
        let mut cells = vec![row.name.to_owned()];
        cells.extend(names.iter().map(|name| cell(&medians, name, 2)));
        cells.push(cell(&medians, "mongod_growth", 2));
        grid.push(cells);
    }
    format!(
        "\n## mongod's CPU seconds per million events, by tenths of the events\n\n{}",
        grid.text()
    )
}

fn ceilings(results: &Results) -> String {
    let mut grid = Grid::new(&[
        "row",
        "ceiling",
        "events/s before",
        "after",
        "CPU client before",
        "after",
        "CPU server before",
        "after",
    ]);
    let measured = |around: &(_, &BTreeMap<_, _>)| !around.1.is_empty();
    let mut rows = results.around.iter().filter(measured).peekable();
    if rows.peek().is_none() {
        return String::new();
    }
    for (row, ceilings) in rows {
        for (name, both) in ceilings {
            let mut cells = vec![row.clone(), name.clone()];
            cells.extend(
                both.each_ref()
                    .map(|one| thousands(figure(one, "events_per_s"))),
            );
            for cost in ["cpu_client", "cpu_server"] {
                cells.extend(
                    both.each_ref()
                        .map(|one| format!("{:.2}", figure(one, cost))),
                );
            }
            grid.push(cells);
        }
    }
    format!(
        "\n## Ceilings directly before and after the row\n\n{}",
        grid.text()
    )
}

fn failures(results: &Results) -> String {
    let lines = results
        .failures
        .iter()
        .map(|(name, why)| format!("\nFAILED {name}: {why}"));
    lines.collect()
}

#[cfg(test)]
mod tests;
