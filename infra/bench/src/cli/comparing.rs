//! The command that compares two builds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::load::LoadArgs;
use super::measuring::{Sizes, selected};
use super::servers::ServerArgs;
use crate::compare::Comparison;
use crate::compare::pairs::{Pairs, Verdict};

/// What the command exits with when a row is worse than noise.
const WORSE: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Compare {
    /// Folder of the old evp-ingest and evp-processor
    #[arg(conflicts_with = "bin_dir")]
    old: PathBuf,
    /// Folder of the new ones
    new: PathBuf,
    /// Compares these rows (repeat it, or set them off by commas)
    #[arg(
        long = "row",
        visible_alias = "rows",
        value_name = "NAME",
        value_delimiter = ',',
        default_values = ["r500-default", "r100-default", "single-none", "latency"]
    )]
    rows: Vec<String>,
    /// Pairs of runs of each row; fewer than 5 give no verdict
    #[arg(long, value_name = "N", default_value_t = 5)]
    pairs: usize,
    /// Seconds measured in each run, after 3 s of warm-up
    #[arg(long, value_name = "N", default_value_t = 8)]
    seconds: u64,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    load: LoadArgs,
}

pub(super) async fn compare(arguments: Compare) -> anyhow::Result<ExitCode> {
    let new = arguments.servers.environment_of(arguments.new);
    let comparison = Comparison {
        builds: [arguments.servers.environment_of(arguments.old)?, new?],
        rows: selected(
            &arguments.rows,
            &arguments.load,
            Sizes::default(),
            Some(arguments.seconds),
        )?,
        pairs: arguments.pairs,
        measured: Duration::from_secs(arguments.seconds),
    };
    let pairs = comparison.run().await?;
    let verdicts: Vec<Verdict> = pairs.iter().map(Pairs::verdict).collect();
    Ok(match &verdicts {
        all if all.iter().any(|one| matches!(one, Verdict::Worse(_))) => ExitCode::from(WORSE),
        all if all.contains(&Verdict::Unknown) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}
