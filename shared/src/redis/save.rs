//! Saving what a server has to a file of its own, for backups.

use std::path::PathBuf;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, ServerInterface};
use fred::prelude::{Error as RedisError, Value};
use fred::types::InfoKind;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::config_value;
use super::info::field;

/// Between two attempts to begin, while the server makes another file.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a server names its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Its data directory; empty where CONFIG is not allowed.
    pub dir: PathBuf,
    /// `dbfilename`.
    pub saved: String,
    /// `appenddirname`, where it keeps an append-only file.
    pub log_dir: Option<String>,
    /// `appendfilename`.
    pub log: String,
}

impl Files {
    /// Asks the server; what it does not say is as Redis has it by default.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ask(client: &Client) -> Result<Self, RedisError> {
        let value = async |name, default: &str| {
            let value = config_value(client, name).await?;
            Ok::<_, RedisError>(value.unwrap_or_else(|| default.to_owned()))
        };
        let has_log = value("appendonly", "yes").await? == "yes";
        let log_dir = value("appenddirname", "appendonlydir").await?;
        Ok(Self {
            dir: value("dir", "").await?.into(),
            saved: value("dbfilename", "dump.rdb").await?,
            log_dir: has_log.then_some(log_dir),
            log: value("appendfilename", "appendonly.aof").await?,
        })
    }
}

/// Has the server save what it has at this moment, in the background; waits while it writes another
/// file.
///
/// # Errors
/// No answer came, or it is not allowed.
///
/// # Cancel safety
/// Dropped, it may have begun, which is harmless.
pub async fn begin_save(client: &Client) -> Result<(), RedisError> {
    loop {
        match client.bgsave::<Value>().await {
            Err(error)
                if error.details().contains("in progress")
                    || error.details().contains("child process") =>
            {
                sleep(LOOK_EVERY).await;
            }
            begun => return begun.map(drop),
        }
    }
}

/// How far a server is with saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saving {
    /// It writes.
    UnderWay,
    /// The last time went well.
    Done,
    /// The last time failed.
    Failed,
}

impl Saving {
    /// Waits until it writes no more.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ended(client: &Client) -> Result<Self, RedisError> {
        loop {
            let info: String = client.info(Some(InfoKind::Persistence)).await?;
            match Self::of(&info) {
                Self::UnderWay => sleep(LOOK_EVERY).await,
                ended => return Ok(ended),
            }
        }
    }

    fn of(info: &str) -> Self {
        if field(info, "rdb_bgsave_in_progress") == Some("1") {
            Self::UnderWay
        } else if field(info, "rdb_last_bgsave_status") == Some("ok") {
            Self::Done
        } else {
            Self::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saving_has_ended_when_nothing_is_written_any_more() {
        for (in_progress, status, expected) in [
            ("1", "ok", Saving::UnderWay),
            ("1", "err", Saving::UnderWay),
            ("0", "ok", Saving::Done),
            ("0", "err", Saving::Failed),
        ] {
            let info = format!(
                "# Persistence\r\nrdb_bgsave_in_progress:{in_progress}\r\nrdb_last_bgsave_status:{status}\r\n"
            );
            assert_eq!(Saving::of(&info), expected, "{info}");
        }
    }
}
