//! The report of a verification, for people and for programs.

use evp_shared::counters::Step;
use serde_json::{Value, json};

use super::Report;
use crate::audit::compare::DifferingBucket;
use crate::audit::deep::Counts;
use crate::audit::verify::Differences;
use crate::command::{show_time, table};

/// Differences printed; the summary counts all.
const SHOWN_MAX: usize = 1_000;

/// One row per count that differs: partition, bucket's width, its begin, and the count.
fn rows(report: &Report) -> Vec<[String; 7]> {
    let mut rows = Vec::new();
    for (partition, found) in &report.differences {
        let buckets = found.buckets.iter().map(|(step, bucket)| {
            let begin = show_time(bucket.number * step.seconds() * 1_000);
            (width(*step), begin, bucket)
        });
        let total = found.total.iter();
        let total = total.map(|bucket| ("total", String::new(), bucket));
        for (width, begin, bucket) in buckets.chain(total) {
            rows.extend(rows_of(*partition, (width, &begin), bucket));
        }
    }
    rows
}

fn rows_of(
    partition: u16,
    (width, begin): (&str, &str),
    bucket: &DifferingBucket,
) -> Vec<[String; 7]> {
    let row = |tenant: &str, kind: &str, counted: String, owed: String| {
        [
            partition.to_string(),
            width.to_owned(),
            begin.to_owned(),
            tenant.to_owned(),
            kind.to_owned(),
            counted,
            owed,
        ]
    };
    let mut rows: Vec<_> = bucket
        .counts
        .iter()
        .map(|one| {
            let (counted, owed) = (one.counted.to_string(), one.owed.to_string());
            row(&one.tenant, &one.event_type, counted, owed)
        })
        .collect();
    if bucket.damaged {
        rows.push(row("", "", "damaged".to_owned(), String::new()));
    }
    rows
}

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
        let shown = rows.iter().take(SHOWN_MAX).map(|row| row.to_vec());
        let head = HEAD.map(str::to_owned).to_vec();
        lines.push(table(
            &std::iter::once(head).chain(shown).collect::<Vec<_>>(),
        ));
    }
    if rows.len() > SHOWN_MAX {
        lines.push(format!("and {} more", rows.len() - SHOWN_MAX));
    }
    if let Some(deep) = &report.deep {
        lines.extend(deep.differing.iter().map(|frame| {
            let receipt = frame.receipt.as_ref().map(counts);
            let receipt = receipt.as_deref().unwrap_or("missing");
            let stored = counts(&frame.stored);
            format!("frame {}: receipt {receipt}, stored {stored}", frame.frame)
        }));
        lines.push(format!(
            "deep: {} frames compared, {} differ, {} receipts mended",
            deep.frames, deep.differing_frames, deep.mended
        ));
    }
    let compared: usize = report
        .differences
        .values()
        .map(|found| found.compared)
        .sum();
    let left: usize = report.differences.values().map(Differences::counts).sum();
    lines.push(format!(
        "verify: {compared} buckets compared, {} counts differed, {} events settled, {} counts \
         set, {left} differ",
        report.found, report.repaired.settled_events, report.repaired.set_counts
    ));
    lines.join("\n")
}

pub(super) fn as_json(report: &Report) -> Value {
    let compared: usize = report
        .differences
        .values()
        .map(|found| found.compared)
        .sum();
    let differences: Vec<Value> = rows(report)
        .into_iter()
        .map(|row| {
            let named = HEAD.iter().zip(row);
            named
                .map(|(name, cell)| ((*name).to_owned(), Value::from(cell)))
                .collect()
        })
        .collect();
    let deep = report.deep.as_ref().map(|deep| {
        let frames: Vec<Value> = deep
            .differing
            .iter()
            .map(|frame| Value::from(frame.frame.to_string()))
            .collect();
        json!({
            "compared": deep.frames,
            "differing": deep.differing_frames,
            "mended": deep.mended,
            "frames": frames,
        })
    });
    json!({
        "equal": report.is_equal(),
        "bucketsCompared": compared,
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
    let each = counts.iter();
    let each = each.map(|((tenant, kind), count)| format!("{tenant}/{kind}={count}"));
    let text = each.collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}
