//! `evp-aggregator`: from the command line to the service.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evp_aggregator::AggregatorConfig;
use evp_aggregator::command::{self, AccessCommand};
use evp_shared::command::healthcheck;
use evp_shared::service::{self, Launch};
use evp_shared::version;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers queries over the events and their counters.
#[derive(Debug, Parser)]
#[command(version = version::full())]
struct Arguments {
    /// Configuration file, in TOML.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, list and end tenants and keys
    Access(AccessCommand),
    /// Ask the service that runs here whether it is ready
    Healthcheck,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = arguments.config.as_deref();
    match &arguments.command {
        Some(Command::Access(access)) => return command::main(file, access),
        Some(Command::Healthcheck) => {
            return healthcheck::<AggregatorConfig>("evp-aggregator", file);
        }
        None => {}
    }
    let launch = Launch {
        name: "evp-aggregator",
        config_file: arguments.config,
        check_config: arguments.check_config,
    };
    service::main(&launch, evp_aggregator::run)
}
