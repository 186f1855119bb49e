//! The tools for those who run EVP, and what they have in common.

mod actor;
pub mod dlq;
pub mod doctor;
pub mod erase;
pub mod inspect;
pub mod storage;
pub mod verify;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bson::DateTime;
use evp_shared::clock::Clock;
use evp_shared::config::{EXIT_CODE, Source, Value as _};
use evp_shared::keys::Keys;
use evp_shared::redis::{connect, connected};
use evp_shared::service::{ServiceConfig as _, install_tls};
use evp_shared::store;
use evp_shared::stream::Stream;
use mongodb::Database;

use crate::config::ProcessorConfig;

/// Connections of a command.
const CONNECTIONS: u32 = 4;

/// What a command found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What to print.
    pub text: String,
    /// Whether everything asked for was done, and is well.
    pub complete: bool,
}

/// Exit code of a command that failed, where nothing else is said of it.
const FAILED: u8 = 1;

/// Runs a command to its end and prints its answer. Exit code 0: complete; 1: not; `failed`: it
/// could not be done, or not be printed.
fn run_to_end(
    config_file: Option<&Path>,
    failed: u8,
    command: impl AsyncFnOnce(&ProcessorConfig) -> anyhow::Result<Done>,
) -> ExitCode {
    let config = Source::load(config_file).and_then(|mut source| {
        let config = ProcessorConfig::read(&mut source);
        source.finish(config)
    });
    let config = match config {
        Ok(config) => config,
        Err(problems) => return complain(&problems, EXIT_CODE),
    };
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = runtime.map_err(Into::into).and_then(|runtime| {
        let done = runtime.block_on(command(&config))?;
        writeln!(std::io::stdout(), "{}", done.text)?;
        anyhow::Ok(done)
    });
    match done {
        Ok(Done { complete: true, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => complain(&error, failed),
    }
}

fn complain(error: &impl std::fmt::Display, code: u8) -> ExitCode {
    // Nothing is left to say it with when stderr is closed.
    drop(writeln!(std::io::stderr(), "evp-processor: {error:#}"));
    ExitCode::from(code)
}

async fn open_stream(config: &ProcessorConfig) -> anyhow::Result<Stream> {
    let stream = begin_stream(config)?;
    connected(stream.client(), config.redis.connect_timeout).await?;
    Ok(stream)
}

/// The stream, whose connection may not be there yet.
fn begin_stream(config: &ProcessorConfig) -> anyhow::Result<Stream> {
    let client = connect(&config.redis)?;
    let keys = Keys::new(config.redis.key_prefix.as_str());
    Ok(Stream::new(client, &keys, config.redis.partitions.get()))
}

async fn open_database(config: &ProcessorConfig) -> anyhow::Result<Database> {
    Ok(store::connect(&config.mongo, CONNECTIONS).await?)
}

/// Parses a time for a command line into Unix ms: RFC 3339, or a duration that lies back.
fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(back) = Duration::parse(text) {
        let back = u64::try_from(back.as_millis()).unwrap_or(u64::MAX);
        return Ok(Clock::system().now_ms().saturating_sub(back));
    }
    let time = DateTime::parse_rfc3339_str(text).map_err(|_| {
        "write a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 36h".to_owned()
    })?;
    u64::try_from(time.timestamp_millis()).map_err(|_| "is before 1970".to_owned())
}

/// Unix ms as RFC 3339.
fn show_time(ms: u64) -> String {
    let time = DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    time.try_to_rfc3339_string()
        .unwrap_or_else(|_| ms.to_string())
}

/// Columns padded to their widest cell; the first row is the head.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_as_such_or_as_how_long_ago() {
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), Ok(1_000));
        let hour_ago = Clock::system().now_ms() - 3_600_000;
        assert!(parse_time("1h").unwrap().abs_diff(hour_ago) < 60_000);
        assert!(parse_time("yesterday").is_err());
        assert!(parse_time("1969-01-01T00:00:00Z").is_err());
        assert_eq!(show_time(1_000), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["a", "b"]), row(["long", "c"])]),
            "a     b\nlong  c"
        );
    }
}
