//! The `evp-faults` binary.

use std::process::ExitCode;

use clap::Parser as _;
use evp_e2e::cli::{Cli, run};

fn main() -> ExitCode {
    evp_shared::testing::install_crypto();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evp-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}
