//! `evp-devstack`: real servers for `make run` and `make test`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evp_devstack::command::{self, Ports};
use evp_devstack::{Error, Keys};

/// Runs EVP and the real servers it needs on this machine.
#[derive(Debug, Parser)]
#[command(name = "evp-devstack")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs redis-server, mongod and EVP's three services until Ctrl-C; data is kept in .data
    Run {
        /// Folder of evp-ingest, evp-processor and evp-aggregator [default: that of this binary]
        #[arg(long)]
        bin_dir: Option<PathBuf>,
    },
    /// Runs Prometheus and Alertmanager beside a running make run until Ctrl-C
    Observe,
    /// Runs a command with a redis-server and a mongod of its own, and exits with its code
    Test {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Finds or fetches redis-server, mongod, Prometheus, Alertmanager and k6, and prints where they are
    Fetch,
    /// Runs k6 with its arguments
    K6 {
        /// Arguments of k6
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Loads the 336,776 flights of 2013 from New York as events
    DemoData {
        /// Base URL of ingest [default: that of make run]
        #[arg(long)]
        ingest: Option<String>,
        /// Base URL of the aggregator [default: that of make run]
        #[arg(long)]
        aggregator: Option<String>,
    },
    /// Sends a gentle stream of made-up events until Ctrl-C
    Demo {
        /// Base URL of ingest [default: that of make run]
        #[arg(long)]
        ingest: Option<String>,
        /// Base URL of the aggregator, to be told [default: that of make run]
        #[arg(long)]
        aggregator: Option<String>,
        /// Events per second, about
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        rate: u32,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evp-devstack: {error:#}");
            ExitCode::from(error.downcast_ref().map_or(1, Error::exit_code))
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let ports = Ports::from_environment()?;
    match command {
        Command::Run { bin_dir } => command::run(&ports, bin_dir).await?,
        Command::Observe => command::observe(&ports).await?,
        Command::Test { command } => return Ok(command::test(&command).await?),
        Command::Fetch => command::fetch().await?,
        Command::K6 { args } => command::k6(&ports, &args).await?,
        Command::Demo {
            ingest,
            aggregator,
            rate,
        } => {
            let keys = keys_for(ingest.as_ref())?;
            let ingest = ingest.unwrap_or_else(|| ports.ingest_url());
            let aggregator = aggregator.unwrap_or_else(|| ports.aggregator_url());
            command::demo(&ingest, &aggregator, &keys, rate).await?;
        }
        Command::DemoData { ingest, aggregator } => {
            let keys = keys_for(ingest.as_ref().or(aggregator.as_ref()))?;
            let ingest = ingest.unwrap_or_else(|| ports.ingest_url());
            let aggregator = aggregator.unwrap_or_else(|| ports.aggregator_url());
            command::demo_data(&ingest, &aggregator, &keys).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Those of `make run` are for `make run`: another system is shown what the environment says.
fn keys_for(elsewhere: Option<&String>) -> evp_devstack::Result<Keys> {
    match elsewhere {
        None => Keys::of_make_run(),
        Some(_) => Ok(Keys::from_environment()),
    }
}
