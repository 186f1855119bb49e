use std::fmt::Write as _;

use super::record::{Record, Records};
use crate::scenario::{ALL, NOT_RUN};

const HEAD: &str = "\
| row | fault | scenario, seed | sent | acknowledged | stored | duplicates | dead-lettered | lost | \
unreported | counted twice | recovered | what was done and measured |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// The table of the newest runs, in the order of their rows.
pub(super) fn markdown(records: &Records) -> String {
    let mut text = HEAD.to_owned();
    for scenario in ALL {
        let runs = records
            .all()
            .iter()
            .filter(|one| one.scenario == scenario.name);
        for record in runs {
            let row = match scenario.row {
                0 => "-".to_owned(),
                row => row.to_string(),
            };
            let line = line(record);
            // Writing to a string cannot fail.
            writeln!(text, "| {row} | {} | {line} |", scenario.fault).ok();
        }
    }
    for (row, why) in NOT_RUN {
        writeln!(text, "| {row} | not run here: {why} |{}", " |".repeat(11)).ok();
    }
    text
}

fn line(record: &Record) -> String {
    let Some(outcome) = &record.outcome else {
        let failure = record.failure.as_deref().unwrap_or_default();
        let first = failure.lines().next().unwrap_or_default();
        return format!("`{}`{} | FAILED: {first}", record.scenario, " |".repeat(9));
    };
    let mut done = outcome.faults.clone();
    for (name, value) in &outcome.figures {
        write!(done, "; {name} {value}").ok();
    }
    let name = format!("`{}`, {}", outcome.scenario, outcome.seed);
    let Some(books) = &outcome.verdict else {
        return format!("{name}{} | {done}", " |".repeat(9));
    };
    format!(
        "{name} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} s | {done}",
        books.sent,
        books.acknowledged,
        books.stored,
        books.duplicates,
        books.dead,
        books.lost,
        books.unreported(),
        books.double_counted,
        outcome.recovered_s,
    )
}
