//! The command line.

mod comparing;
mod load;
mod measuring;
mod reading;
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Parser, Subcommand};
use evp_shared::shutdown::Shutdown;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use self::comparing::{Compare, compare};
use self::measuring::{Run, Saturate, measure, search, show};
use self::reading::{Queries, Streams};
use self::servers::ServerArgs;
use crate::ceiling::{append, http, insert};
use crate::console::print;
use crate::header::Header;
use crate::load::generator;
use crate::reading::{metrics, queries, streams};
use crate::refusal;
use crate::results::Results;
use crate::row;
use crate::stack::Environment;
use crate::table;

/// Measures EVP on this machine.
#[derive(Debug, Parser)]
#[command(name = "evp-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures rows and prints the table
    Run(Run),
    /// Measures two builds in turn and prints ratios with their spread
    ///
    /// Exits with 2 when a row of the new build is worse than noise, and with 1 when there are too
    /// few pairs to tell.
    Compare(Compare),
    /// Finds the highest rate at which a row holds
    Saturate(Saturate),
    /// Prints the table of an earlier session
    Show {
        /// What `run --json` wrote
        results: PathBuf,
        /// Prints ratios to this earlier session as well
        #[arg(long, value_name = "FILE")]
        compare: Option<PathBuf>,
    },
    /// Lists the rows
    List,
    /// Measures queries over many events
    Queries(Queries),
    /// Measures clients of the live stream
    Streams(Streams),
    /// Measures what reading counters costs Redis among a thousand tenants
    Metrics(ServerArgs),
    /// Measures what refusals cost ingest, beside events that are accepted
    Refusals {
        /// Seconds of each
        #[arg(long, value_name = "N", default_value_t = 10)]
        seconds: u64,
        #[command(flatten)]
        servers: ServerArgs,
    },
    /// Sends a load; started by the other commands
    #[command(hide = true)]
    Generate { spec: String },
    /// Inserts documents; started by the other commands
    #[command(hide = true)]
    RawInserts { spec: String },
    /// Appends frames; started by the other commands
    #[command(hide = true)]
    RawAppends { spec: String },
    /// Answers 202 to everything; started by the other commands
    #[command(hide = true)]
    NullServer { port: u16 },
}

/// Does what the command line asks for.
///
/// # Errors
/// What went wrong; nothing of what was started is left behind.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Generate { spec } => {
            // One thread: waking another one for every answer would cost more than the answer.
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let spec = serde_json::from_str(&spec)?;
            finish(&runtime.block_on(generator::generate(&spec))?)
        }
        Command::RawInserts { spec } => {
            let spec = serde_json::from_str(&spec)?;
            finish(&threads()?.block_on(insert::run(&spec))?)
        }
        Command::RawAppends { spec } => {
            let spec = serde_json::from_str(&spec)?;
            finish(&threads()?.block_on(append::run(&spec))?)
        }
        Command::NullServer { port } => {
            threads()?.block_on(http::serve_null(port))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::List => {
            print(&table::rows(&row::all()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { results, compare } => {
            let old = compare.as_deref().map(Results::load).transpose()?;
            Ok(show(&Results::load(&results)?, old.as_ref()))
        }
        Command::Run(arguments) => threads()?.block_on(interruptible(measure(arguments))),
        Command::Compare(arguments) => threads()?.block_on(interruptible(compare(arguments))),
        Command::Saturate(arguments) => threads()?.block_on(interruptible(search(arguments))),
        Command::Queries(arguments) => {
            let environment = arguments.servers.environment()?;
            report(&environment, queries::run(&environment, arguments.plan()))
        }
        Command::Metrics(servers) => {
            let environment = servers.environment()?;
            report(&environment, metrics::run(&environment))
        }
        Command::Refusals { seconds, servers } => {
            let environment = servers.environment()?;
            let measured = Duration::from_secs(seconds);
            report(&environment, refusal::run(&environment, measured))
        }
        Command::Streams(arguments) => {
            let environment = arguments.servers.environment()?;
            report(&environment, streams::run(&environment, arguments.plan()))
        }
    }
}

/// Measures, and prints the versions of what was measured above its table.
fn report(
    environment: &Environment,
    measuring: impl Future<Output = anyhow::Result<String>>,
) -> anyhow::Result<ExitCode> {
    threads()?.block_on(interruptible(async {
        let header = Header::collect(environment).await?;
        let table = measuring.await?;
        print(&format!("{}\n\n{table}", header.text()));
        Ok(ExitCode::SUCCESS)
    }))
}

fn threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

fn finish(report: &impl Serialize) -> anyhow::Result<ExitCode> {
    print(&serde_json::to_string(report)?);
    Ok(ExitCode::SUCCESS)
}

/// Drops `work`, and with it every process and directory it holds, when a signal comes.
async fn interruptible(
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let signals = Shutdown::on_signals()?;
    tokio::select! {
        outcome = work => outcome,
        () = signals.triggered() => bail!("interrupted"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
