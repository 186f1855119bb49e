//! The `evp-bench` binary.

use std::process::ExitCode;

use clap::Parser as _;
use evp_bench::cli::{Cli, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Fails only when a provider is installed already, and there is none but ring in the tree.
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evp-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
