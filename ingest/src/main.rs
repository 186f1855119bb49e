//! The `evp-ingest` binary.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use evp_ingest::{IngestConfig, Listeners, RunError, run};
use evp_shared::config::Source;
use evp_shared::shutdown::Shutdown;
use evp_shared::telemetry::init_tracing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes events over HTTP and appends them to the stream.
#[derive(Debug, Parser)]
#[command(name = "evp-ingest", version)]
struct Arguments {
    /// Configuration file (TOML); the environment (EVP__SECTION__KEY) overrides it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Checks the configuration and exits.
    #[arg(long)]
    check_config: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match start(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evp-ingest: {}", render(&error));
            error.exit_code()
        }
    }
}

async fn start(arguments: Arguments) -> Result<(), RunError> {
    let source = Source::load(arguments.config.as_deref()).map_err(RunError::Config)?;
    let config = IngestConfig::read(source).map_err(RunError::Config)?;
    if arguments.check_config {
        return Ok(());
    }
    init_tracing(&config.log)?;
    tracing::info!(config = ?config, "starting");
    let shutdown = Shutdown::on_signals().map_err(RunError::Signals)?;
    let listeners = Listeners::bind(&config).await?;
    run(config, listeners, shutdown).await
}

/// The error with all its causes, in one line each.
fn render(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str("\n  because: ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
