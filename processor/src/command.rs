//! The tools for those who run EVP, and what they have in common.

pub mod dlq;
pub mod doctor;
pub mod inspect;
pub mod verify;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bson::DateTime;
use evp_shared::clock::Clock;
use evp_shared::config::{EXIT_CODE, Source, Value as _};
use evp_shared::keys::Keys;
use evp_shared::redis::{Connect, connect, connected};
use evp_shared::service::{ServiceConfig as _, install_tls};
use evp_shared::store;
use evp_shared::stream::Stream;
use mongodb::Database;

use crate::config::ProcessorConfig;

/// Connections of a command.
const CONNECTIONS: u32 = 4;

/// The configuration, or the exit code after saying what is wrong with it.
///
/// # Errors
/// The exit code of a configuration that cannot be used.
fn configured(config_file: Option<&Path>) -> Result<ProcessorConfig, ExitCode> {
    let config = Source::load(config_file).and_then(|mut source| {
        let config = ProcessorConfig::read(&mut source);
        source.finish(config)
    });
    config.map_err(|problems| {
        complain(&problems);
        ExitCode::from(EXIT_CODE)
    })
}

fn complain(error: &impl std::fmt::Display) {
    // Nothing is left to say it with when stderr is closed.
    drop(writeln!(std::io::stderr(), "evp-processor: {error:#}"));
}

/// Prints a command's answer; a closed stdout is a failure.
fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Runs a command to its end.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    install_tls();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(command)
}

async fn open_stream(config: &ProcessorConfig) -> anyhow::Result<Stream> {
    let how = Connect::from(&config.redis);
    let client = connect(&how)?;
    connected(&client, how.connect_timeout).await?;
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
