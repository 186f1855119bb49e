//! The `evp-ingest` binary.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use evp_shared::service::{self, Launch};
use evp_shared::version;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes events over HTTP and appends them to the stream.
#[derive(Debug, Parser)]
#[command(name = "evp-ingest", version = version::full())]
struct Arguments {
    /// Configuration file (TOML); the environment (EVP__SECTION__KEY) overrides it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Checks the configuration and exits.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let launch = Launch {
        name: "evp-ingest",
        config_file: arguments.config,
        check_config: arguments.check_config,
    };
    service::main(&launch, evp_ingest::run)
}
