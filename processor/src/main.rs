//! `evp-processor`: the service, and the tools for those who run it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use evp_processor::command::dlq::{self, Dlq};
use evp_processor::command::doctor::{self, Doctor};
use evp_processor::command::erase::{self, Erase};
use evp_processor::command::inspect::{self, Inspect};
use evp_processor::command::storage::{self, Storage};
use evp_processor::command::verify::{self, Verify};
use evp_processor::command::{backup, restore};
use evp_processor::config::ProcessorConfig;
use evp_shared::command::healthcheck;
use evp_shared::service::{self, Launch};
use evp_shared::version;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stores the events of the stream exactly once and counts them exactly.
#[derive(Debug, Parser)]
#[command(name = "evp-processor", version = version::full())]
struct Arguments {
    /// Configuration file (TOML); the environment overrides it
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Judge the configuration and exit
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print an entry of the stream: its header and its events
    Inspect(Inspect),
    /// Check Redis, MongoDB and this machine, and name the fix for what is wrong
    Doctor(Doctor),
    /// Keep what Redis and MongoDB hold as files of one moment
    Backup(backup::Arguments),
    /// Hold the lock on MongoDB until the input ends
    #[command(hide = true)]
    HoldLock,
    /// Lay a backup down for Redis and MongoDB, and compare what they then hold
    Restore(restore::Arguments),
    /// List, show, replay or purge dead letters
    Dlq(Dlq),
    /// Take a person out of everything that is kept; the counts stay
    Erase(Erase),
    /// List, seal or drop the spans of events
    Storage(Storage),
    /// Ask the service that runs here whether it is ready
    Healthcheck,
    /// Compare the counters with the receipts, bucket by bucket, and mend them
    Verify(Verify),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = arguments.config.as_deref();
    match arguments.command {
        Some(Command::Inspect(inspect)) => inspect::main(file, &inspect),
        Some(Command::Doctor(doctor)) => doctor::main(file, &doctor),
        Some(Command::Backup(asked)) => backup::main(file, &asked),
        Some(Command::HoldLock) => backup::hold_lock(file),
        Some(Command::Restore(asked)) => restore::main(file, &asked),
        Some(Command::Dlq(dlq)) => dlq::main(file, &dlq),
        Some(Command::Erase(erase)) => erase::main(file, &erase),
        Some(Command::Storage(storage)) => storage::main(file, &storage),
        Some(Command::Verify(verify)) => verify::main(file, &verify),
        Some(Command::Healthcheck) => healthcheck::<ProcessorConfig>("evp-processor", file),
        None => service::main(
            &Launch {
                name: "evp-processor",
                config_file: arguments.config,
                check_config: arguments.check_config,
            },
            evp_processor::run,
        ),
    }
}
