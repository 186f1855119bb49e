//! The tools for those who run EVP, and what they have in common.

pub mod backup;
pub mod dlq;
pub mod doctor;
pub mod erase;
pub mod inspect;
pub mod restore;
pub mod storage;
pub mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bson::DateTime;
use evp_shared::clock::Clock;
use evp_shared::command;
use evp_shared::config::Value as _;
use evp_shared::keys::Keys;
use evp_shared::redis::{connect, connected};
use evp_shared::store;
use evp_shared::stream::Stream;
use mongodb::Database;

use crate::config::ProcessorConfig;
pub use evp_shared::command::Done;
use evp_shared::command::{FAILED, show_time, table};

/// Connections of a command.
const CONNECTIONS: u32 = 4;

/// Runs a command of this program, see [`command::run_to_end`].
fn run_to_end(
    config_file: Option<&Path>,
    failed: u8,
    command: impl AsyncFnOnce(&ProcessorConfig) -> anyhow::Result<Done>,
) -> ExitCode {
    command::run_to_end("evp-processor", config_file, failed, command)
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
    }
}
