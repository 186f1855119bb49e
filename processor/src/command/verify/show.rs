//! The report of a verification, for people and for programs.

use evp_shared::counters::{Step, split_field};
use serde_json::{Value, json};

use super::Report;
use crate::command::{show_time, table};
use crate::verify::deep::Counts;
use crate::verify::differences::Differences;

/// Differences printed; the summary counts all.
const SHOWN_MAX: usize = 1_000;

/// One row per count that differs: partition, bucket's width, its begin, and the count.
fn rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (partition, found) in &report.differences {
        for bucket in &found.buckets {
            let begin = |step: Step| show_time(bucket.number * step.seconds() * 1_000);
            let begin = bucket.step.map(begin).unwrap_or_default();
            let width = bucket.step.map_or("total", width);
            let place = [partition.to_string(), width.to_owned(), begin];
            let mut push = |cells: [&str; 4]| {
                rows.push([&place[..], &cells.map(str::to_owned)].concat());
            };
            for one in &bucket.counts {
                let (tenant, kind) = split_field(&one.field).unwrap_or(("", &one.field));
                push([
                    tenant,
                    kind,
                    &one.counted.to_string(),
                    &one.owed.to_string(),
                ]);
            }
            if bucket.damaged {
                push(["", "", "damaged", ""]);
            }
        }
    }
    rows
}

/// What the cells of a row are.
const HEAD: [&str; 7] = [
    "partition",
    "bucket",
    "begin",
    "tenant",
    "type",
    "counted",
    "receipts",
];

pub(super) fn as_text(report: &Report) -> String {
    let mut lines = Vec::new();
    let rows = rows(report);
    if !rows.is_empty() {
        let head = HEAD.map(str::to_owned).to_vec();
        let shown = rows.iter().take(SHOWN_MAX).cloned();
        let shown: Vec<_> = std::iter::once(head).chain(shown).collect();
        lines.push(table(&shown));
    }
    if rows.len() > SHOWN_MAX {
        lines.push(format!("and {} more", rows.len() - SHOWN_MAX));
    }
    if let Some(deep) = &report.deep {
        lines.extend(deep.differing.iter().map(|frame| {
            let receipt = frame.receipt.as_ref().map(counts);
            let receipt = receipt.as_deref().unwrap_or("missing");
            let stored = counts(&frame.stored);
            let mut line = format!("frame {}: receipt {receipt}, stored {stored}", frame.frame);
            if !frame.erased.is_empty() {
                line = format!("{line}, erased {}", counts(&frame.erased));
            }
            line
        }));
        lines.push(format!(
            "deep: {} frames compared, {} differ, {} receipts mended, {} not compared because \
             events of theirs have ended",
            deep.frames, deep.differing_frames, deep.mended, deep.ended_frames
        ));
    }
    let compared = compared(report);
    let left: usize = report.differences.values().map(Differences::counts).sum();
    lines.push(format!(
        "verify: {compared} buckets compared, {} counts differed, {} events settled, {} counts \
         set, {left} differ",
        report.found, report.repaired.settled_events, report.repaired.set_counts
    ));
    lines.join("\n")
}

fn compared(report: &Report) -> usize {
    let found = report.differences.values();
    found.map(|one| one.compared).sum()
}

pub(super) fn as_json(report: &Report) -> Value {
    let named = |row: Vec<String>| -> Value { HEAD.into_iter().zip(row).collect() };
    let differences: Value = rows(report).into_iter().map(named).collect();
    let deep = report.deep.as_ref().map(|deep| {
        let frames = deep.differing.iter();
        json!({
            "compared": deep.frames,
            "differing": deep.differing_frames,
            "mended": deep.mended,
            "ended": deep.ended_frames,
            "frames": frames.map(|one| one.frame.to_string()).collect::<Value>(),
        })
    });
    json!({
        "equal": report.is_equal(),
        "bucketsCompared": compared(report),
        "countsDiffered": report.found,
        "eventsSettled": report.repaired.settled_events,
        "countsSet": report.repaired.set_counts,
        "differences": differences,
        "deep": deep,
    })
}

const fn width(step: Step) -> &'static str {
    match step {
        Step::Second => "second",
        Step::Minute => "minute",
        Step::Hour => "hour",
    }
}

/// Counts as `tenant/type=count`, `nothing` where there are none.
fn counts(counts: &Counts) -> String {
    if counts.is_empty() {
        return "nothing".to_owned();
    }
    let each = counts.iter();
    let each = each.map(|((tenant, kind), count)| format!("{tenant}/{kind}={count}"));
    each.collect::<Vec<_>>().join(" ")
}
