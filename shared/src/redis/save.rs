//! Saving what a server has to a file of its own, for backups.

use std::path::PathBuf;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, ServerInterface};
use fred::prelude::{Error as RedisError, Value};
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

/// Which of a server's saves one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Save {
    /// `run_id` of the server.
    server: String,
    /// How many it had made before: `rdb_saves`.
    before: u64,
}

impl Save {
    /// Waits until the server writes no file beside its log.
    ///
    /// # Errors
    /// No answer came.
    pub async fn possible(client: &Client) -> Result<(), RedisError> {
        while Persistence::ask(client).await?.is_writing() {
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Has the server save what it has at this moment, in the background; waits while it writes
    /// another file.
    ///
    /// # Errors
    /// No answer came, or it is not allowed.
    ///
    /// # Cancel safety
    /// Dropped, it may have begun, which is harmless.
    pub async fn begin(client: &Client) -> Result<Self, RedisError> {
        loop {
            let before = Persistence::ask(client).await?;
            if before.is_writing() {
                sleep(LOOK_EVERY).await;
                continue;
            }
            match client.bgsave::<Value>().await {
                // It has begun with something else in between.
                Err(error) if error.details().contains("in progress") => {}
                Err(error) if error.details().contains("child process") => {}
                begun => {
                    let _begun = begun?;
                    return Ok(Self {
                        server: before.server,
                        before: before.saves,
                    });
                }
            }
        }
    }

    /// Waits until it is on disk. Returns whether it is, and no later one in its place.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ended(&self, client: &Client) -> Result<bool, RedisError> {
        loop {
            let now = Persistence::ask(client).await?;
            if now.server != self.server || now.saves > self.before + 1 {
                return Ok(false);
            }
            if !now.is_saving {
                return Ok(now.is_saved && now.saves == self.before + 1);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether nothing was saved after it.
    ///
    /// # Errors
    /// No answer came.
    pub async fn is_last(&self, client: &Client) -> Result<bool, RedisError> {
        let now = Persistence::ask(client).await?;
        Ok(now.server == self.server && now.saves == self.before + 1 && !now.is_saving)
    }
}

/// What a server says of the files it writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Persistence {
    server: String,
    saves: u64,
    is_saving: bool,
    is_rewriting: bool,
    is_saved: bool,
}

impl Persistence {
    async fn ask(client: &Client) -> Result<Self, RedisError> {
        let info: String = client.info(None).await?;
        Ok(Self::of(&info))
    }

    fn of(info: &str) -> Self {
        let is = |name, value| field(info, name) == Some(value);
        let saves = field(info, "rdb_saves").and_then(|saves| saves.parse().ok());
        Self {
            server: field(info, "run_id").unwrap_or_default().to_owned(),
            saves: saves.unwrap_or(0),
            is_saving: is("rdb_bgsave_in_progress", "1"),
            is_rewriting: is("aof_rewrite_in_progress", "1"),
            is_saved: is("rdb_last_bgsave_status", "ok"),
        }
    }

    fn is_writing(&self) -> bool {
        self.is_saving || self.is_rewriting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_which_files_it_writes() {
        let info = "# Server\r\nrun_id:abc\r\n# Persistence\r\nrdb_bgsave_in_progress:0\r\nrdb_saves:7\r\n\
                    rdb_last_bgsave_status:ok\r\naof_rewrite_in_progress:1\r\n";
        let expected = Persistence {
            server: "abc".to_owned(),
            saves: 7,
            is_saving: false,
            is_rewriting: true,
            is_saved: true,
        };
        assert_eq!(Persistence::of(info), expected);
        assert!(expected.is_writing());
    }
}
