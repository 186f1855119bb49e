//! `evp-processor verify`: compares counters with receipts, and receipts with events.

mod show;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use evp_shared::access::tenants::Learned;

use super::{Done, open_database, open_stream, parse_time, run_to_end};
use crate::config::ProcessorConfig;
use crate::store::erasure;
use crate::store::lease::under;
use crate::verify::compare::Span;
use crate::verify::deep::{Deep, deep};
use crate::verify::differences::Differences;
use crate::verify::repair::Repaired;
use crate::verify::verifier::Verifier;

/// Exit code when the comparison could not be made.
const COULD_NOT_TELL: u8 = 2;

/// What to compare and whether to mend.
#[derive(Debug, Clone, Default, Args)]
pub struct Verify {
    /// Mend what differs: settle receipts younger than a day, set older counters to their sum
    #[arg(long)]
    pub repair: bool,
    /// Also compare the receipts of frames older than a day with the events, by a full scan
    #[arg(long)]
    pub deep: bool,
    /// With --deep, also frames younger than a day that nothing is pending of: for tests
    #[arg(long, requires = "deep", hide = true)]
    pub any_age: bool,
    /// Oldest time to compare: 2026-01-31T12:00:00Z, or 36h for as long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<u64>,
    /// Newest time to compare
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<u64>,
    /// Compare this partition only
    #[arg(long, value_name = "P")]
    pub partition: Option<u16>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a verification found and did.
#[derive(Debug, Default)]
pub struct Report {
    /// What differs at the end, by partition.
    pub differences: BTreeMap<u16, Differences>,
    /// Counts that differed before anything was mended.
    pub found: usize,
    /// What was mended.
    pub repaired: Repaired,
    /// The deep check.
    pub deep: Option<Deep>,
}

impl Report {
    /// Whether counters, receipts and, as far as asked for, events are equal at the end.
    pub fn is_equal(&self) -> bool {
        let deep = self.deep.as_ref();
        self.differences
            .values()
            .all(|found| found.buckets.is_empty())
            && deep.is_none_or(|deep| deep.differing_frames == deep.mended)
    }
}

/// Exit code 0: equal, or mended; 1: differences are left; 2: it could not be told.
pub fn main(config_file: Option<&Path>, verify: &Verify) -> ExitCode {
    run_to_end(config_file, COULD_NOT_TELL, async |config| {
        checked(config, verify).await
    })
}

/// [`run`], with what is to be printed of it.
///
/// # Errors
/// It could not be told.
pub async fn checked(config: &ProcessorConfig, verify: &Verify) -> anyhow::Result<Done> {
    let report = run(config, verify).await?;
    let text = if verify.json {
        serde_json::to_string_pretty(&show::as_json(&report))?
    } else {
        show::as_text(&report)
    };
    let complete = report.is_equal();
    Ok(Done { text, complete })
}

/// Verifies. What reads all spans, or mends, does it under the lease.
///
/// # Errors
/// It could not be told.
pub async fn run(config: &ProcessorConfig, verify: &Verify) -> anyhow::Result<Report> {
    let (stream, database) = (open_stream(config).await?, open_database(config).await?);
    // What is counted as other depends on it.
    Learned::default().look(&stream).await?;
    let verifier = Verifier::of_command(config, stream, database.clone());
    if verify.deep || verify.repair {
        under(&database, "verify", Box::pin(compare(&verifier, verify))).await?
    } else {
        compare(&verifier, verify).await
    }
}

async fn compare(verifier: &Verifier, verify: &Verify) -> anyhow::Result<Report> {
    let partitions = match verify.partition {
        None => 0..verifier.stream.partitions(),
        Some(partition) => {
            verifier.stream.keys(partition)?;
            partition..partition + 1
        }
    };
    if verify.repair {
        for partition in partitions.clone() {
            verifier.committer.lives.greet(partition).await?;
        }
    }
    let mut old = BTreeMap::new();
    for partition in partitions.clone() {
        old.insert(partition, verifier.old_before(partition).await?);
    }
    let mut report = Report::default();
    if verify.deep {
        // Before the counters are compared: they are compared with mended receipts.
        let before = deep_before(verifier, verify, &old).await?;
        let database = verifier.inserter.database();
        if verify.repair {
            erasure::finish(database).await?;
        }
        anyhow::ensure!(
            !erasure::is_interrupted(database).await?,
            "an erasure was interrupted, and is no loss: run evp-processor erase again, then this"
        );
        let found = deep(database, &before, verify.repair).await?;
        report.deep = Some(found);
    }
    let seconds = |ms: Option<u64>| ms.map(|ms| ms / 1_000);
    let span = Span {
        from: seconds(verify.from),
        to: seconds(verify.to),
    };
    for (partition, old) in old {
        let mut found = verifier.differences(partition, span).await?;
        report.found += found.counts();
        if verify.repair && !found.buckets.is_empty() {
            let repaired = verifier.repair(partition, &found, old).await?;
            report.repaired.add(repaired);
            found = verifier.differences(partition, span).await?;
        }
        report.differences.insert(partition, found);
    }
    Ok(report)
}

/// Up to which Unix second frames are compared with events, by partition.
async fn deep_before(
    verifier: &Verifier,
    verify: &Verify,
    old: &BTreeMap<u16, u64>,
) -> anyhow::Result<BTreeMap<u16, u64>> {
    if !verify.any_age {
        return Ok(old.clone());
    }
    let now = verifier.clock.now_ms() / 1_000 + 1;
    let mut before = BTreeMap::new();
    for partition in old.keys() {
        let oldest = verifier.stream.oldest_uncommitted(*partition).await?;
        let pending = oldest.map_or(now, |oldest| oldest.received_at_ms / 1_000);
        before.insert(*partition, pending.min(now));
    }
    Ok(before)
}
