//! The `evp-ingest` binary.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evp_ingest::IngestConfig;
use evp_shared::command::healthcheck;
use evp_shared::service::{self, Launch};
use evp_shared::version;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes events over HTTP and appends them to the stream.
#[derive(Debug, Parser)]
#[command(name = "evp-ingest", version = version::full())]
struct Arguments {
    /// Configuration file (TOML); the environment (EVP__SECTION__KEY) overrides it.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Checks the configuration and exits.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the service that runs here whether it is ready
    Healthcheck,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Healthcheck) = arguments.command {
        return healthcheck::<IngestConfig>("evp-ingest", arguments.config.as_deref());
    }
    let launch = Launch {
        name: "evp-ingest",
        config_file: arguments.config,
        check_config: arguments.check_config,
    };
    service::main(&launch, evp_ingest::run)
}
