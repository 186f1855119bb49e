//! What INFO says of a server.

use fred::clients::Client;
use fred::interfaces::{ClientLike, ServerInterface};
use fred::prelude::{Error as RedisError, Value};
use fred::types::InfoKind;

/// How many replicas follow the server, as far as it knows.
///
/// # Errors
/// No answer came.
pub async fn online_replicas(client: &Client) -> Result<usize, RedisError> {
    let info: String = client.info(Some(InfoKind::Replication)).await?;
    let is_online = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    Ok(info.lines().filter(is_online).count())
}

/// A field of what INFO answers.
pub(super) fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::trim)
}

/// `redis_version`; that of a compatible server is the one it is compatible with.
///
/// # Errors
/// No answer came.
pub async fn version(client: &Client) -> Result<String, RedisError> {
    let info: String = client.info(Some(InfoKind::Server)).await?;
    Ok(field(&info, "redis_version").unwrap_or_default().to_owned())
}

/// What became of the append-only file that a server was started over.
///
/// # Source
/// A log that ends inside MULTI is cut behind the last whole command instead of before MULTI, so
/// the next start runs what is left of that script together with the first one after it: parts of
/// a commit, its bits without its counts. Seen on 7.0.15; mended in Valkey by its pull request 4342
/// of 2026. A log made anew has no such rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// It was made anew; or there is none.
    Renewed,
    /// It is being made anew.
    UnderWay,
    /// It is written on as it was found.
    Old,
    /// The last attempt to make it anew failed.
    Failed,
}

impl LogState {
    /// Asks the server.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ask(client: &Client) -> Result<Self, RedisError> {
        let info: String = client.info(Some(InfoKind::Persistence)).await?;
        Ok(Self::of(&info))
    }

    fn of(info: &str) -> Self {
        let is = |line: &str| info.lines().any(|one| one.trim() == line);
        if !is("aof_enabled:1") {
            Self::Renewed
        } else if is("aof_rewrite_in_progress:1") || is("aof_rewrite_scheduled:1") {
            Self::UnderWay
        } else if is("aof_last_bgrewrite_status:err") {
            // First: one that fails before it begins leaves the time as it was.
            Self::Failed
        } else if is("aof_last_rewrite_time_sec:-1") {
            Self::Old
        } else {
            Self::Renewed
        }
    }
}

/// Has the server make its append-only file anew, in the background.
///
/// # Errors
/// No answer came, it is not allowed, or it cannot begin.
pub async fn renew_log(client: &Client) -> Result<(), RedisError> {
    let _started: Value = client.bgrewriteaof().await?;
    Ok(())
}

/// How much memory a server has and uses, in bytes; a limit of 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// `used_memory`.
    pub used: u64,
    /// `maxmemory`.
    pub limit: u64,
}

impl Memory {
    /// Asks the server.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ask(client: &Client) -> Result<Self, RedisError> {
        let info: String = client.info(Some(InfoKind::Memory)).await?;
        let number = |name| field(&info, name).and_then(|value| value.parse().ok());
        Ok(Self {
            used: number("used_memory").unwrap_or(0),
            limit: number("maxmemory").unwrap_or(0),
        })
    }

    /// Used share of the limit, 0 without a limit.
    pub fn share(self) -> f64 {
        if self.limit == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share needs no more than 52 bits"
        )]
        let share = self.used as f64 / self.limit as f64;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_renewed_when_an_attempt_has_ended_well() {
        let cases = [
            ("0", "0", "-1", "ok", LogState::Renewed),
            ("1", "0", "-1", "ok", LogState::Old),
            ("1", "1", "-1", "ok", LogState::UnderWay),
            ("1", "1", "3", "err", LogState::UnderWay),
            ("1", "0", "3", "err", LogState::Failed),
            ("1", "0", "-1", "err", LogState::Failed),
            ("1", "0", "3", "ok", LogState::Renewed),
        ];
        for (enabled, in_progress, seconds, status, expected) in cases {
            let info = format!(
                "# Persistence\r\naof_enabled:{enabled}\r\n\
                 aof_rewrite_in_progress:{in_progress}\r\naof_rewrite_scheduled:0\r\n\
                 aof_last_rewrite_time_sec:{seconds}\r\naof_last_bgrewrite_status:{status}\r\n"
            );
            assert_eq!(LogState::of(&info), expected, "{info}");
        }
        assert_eq!(
            LogState::of("aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:1"),
            LogState::UnderWay
        );
    }

    #[test]
    fn without_a_limit_no_share_of_it_is_used() {
        assert!(Memory { used: 5, limit: 0 }.share() < f64::EPSILON);
        assert!((Memory { used: 5, limit: 10 }.share() - 0.5).abs() < f64::EPSILON);
    }
}
