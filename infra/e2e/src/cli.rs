//! The command line of `evp-faults`: lists and runs the scenarios.

mod attacks;
mod record;
mod report;
mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use evp_shared::clock::Clock;
use tokio::runtime::{Builder, Runtime};

use crate::scenario::{ALL, NOT_RUN, Scenario, Size};
use record::{Record, Records};

/// A scenario that takes longer has failed: so that one that hangs does not take all the rest.
const SHORT_MAX: Duration = Duration::from_secs(300);
const FULL_MAX: Duration = Duration::from_secs(2 * 3_600);

/// Produces faults under load and says whether anything was lost or counted twice.
#[derive(Debug, Parser)]
#[command(name = "evp-faults", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios, one after the other, and prints a line for each
    Run(Run),
    /// Makes the attacks of SECURITY.md and prints a row for each
    Attacks(attacks::Attacks),
    /// Asks every query of the dashboards, has every alert fire, or counts what people are told
    Watch(watch::Watch),
    /// Lists the scenarios by the rows of docs/RELIABILITY.md
    List,
    /// Prints the table of an earlier run
    Table {
        /// What `run --resume` wrote
        results: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Runs only this row or scenario (repeat it)
    #[arg(long = "row", value_name = "ROW|NAME")]
    rows: Vec<String>,
    /// The largest size, an hour in all, instead of about a minute each
    #[arg(long)]
    full: bool,
    /// The seconds each that every test run can afford
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Keeps the results in this file, and leaves out what it says has held
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Writes the table to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Does what was asked for. Fails when a scenario did.
///
/// # Errors
/// Nothing could be run, or a file not be written.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::List => list(),
        Command::Table { results } => print(&report::markdown(&Records::of(Some(results))?)),
        Command::Run(run) => return run_all(run),
        Command::Attacks(attacks) => return attacks.run(),
        Command::Watch(watch) => return watch.run(),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> Result<()> {
    for scenario in ALL {
        let Scenario {
            name, row, fault, ..
        } = scenario;
        print(&format!("{row:>2}  {name:<32} {fault}\n"))?;
    }
    for (row, why) in NOT_RUN {
        print(&format!("{row:>2}  not run: {why}\n"))?;
    }
    Ok(())
}

fn run_all(run: &Run) -> Result<ExitCode> {
    let size = match (run.full, run.quick) {
        (true, _) => Size::Full,
        (false, true) => Size::Test,
        (false, false) => Size::Short,
    };
    let wanted = |scenario: &&Scenario| {
        let row = scenario.row.to_string();
        run.rows.is_empty()
            || run
                .rows
                .iter()
                .any(|one| *one == row || one == scenario.name)
    };
    let chosen: Vec<&Scenario> = ALL.iter().filter(wanted).collect();
    ensure!(
        !chosen.is_empty(),
        "there is no such row; see evp-faults list"
    );
    let mut records = Records::of(run.resume.as_deref())?;
    let runtime = runtime()?;
    for scenario in chosen {
        if records.has_held(scenario.name, size) {
            continue;
        }
        let record = runtime.block_on(run_one(scenario, size));
        if let Some(error) = &record.failure {
            print(&format!("FAILED {}: {error}\n", scenario.name))?;
        }
        records.add(record)?;
    }
    let table = report::markdown(&records);
    match &run.markdown {
        Some(file) => std::fs::write(file, &table).context("write the table")?,
        None => print(&format!("\n{table}"))?,
    }
    let failed = records.failed(size);
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("\nfailed: {}\n", failed.join(", ")))?;
    Ok(ExitCode::FAILURE)
}

fn runtime() -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

async fn run_one(scenario: &Scenario, size: Size) -> Record {
    let clock = Clock::system();
    let since = clock.now();
    let longest = if size == Size::Full {
        FULL_MAX
    } else {
        SHORT_MAX
    };
    let outcome = tokio::time::timeout(longest, scenario.run(size)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("not over after {longest:?}")));
    let took_s = (clock.now() - since).as_secs();
    let (outcome, failure) = match outcome {
        Ok(outcome) => (Some(outcome), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Record {
        scenario: scenario.name.to_owned(),
        size,
        took_s,
        outcome,
        failure,
    }
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
