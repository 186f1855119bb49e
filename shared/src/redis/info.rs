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

/// `redis_version`; that of a compatible server is the one it is compatible with.
///
/// # Errors
/// No answer came.
pub async fn version(client: &Client) -> Result<String, RedisError> {
    let info: String = client.info(Some(InfoKind::Server)).await?;
    let mut lines = info.lines();
    let found = lines.find_map(|line| line.strip_prefix("redis_version:"));
    Ok(found.unwrap_or_default().trim().to_owned())
}

/// Has the server write its append-only file anew, if it has not since it was started; says whether
/// it was asked to.
///
/// # Errors
/// No answer came, or it is not allowed.
///
/// # Source
/// A log that ends inside MULTI is cut behind the last whole command instead of before MULTI, so
/// the next start runs what is left of that script together with the first one after it: parts of
/// a commit, its bits without its counts. Seen on 7.0.15; mended in Valkey by its pull request 4342
/// of 2026. A log made anew has no such rest.
pub async fn renew_log(client: &Client) -> Result<bool, RedisError> {
    let info: String = client.info(Some(InfoKind::Persistence)).await?;
    let is = |line: &str| info.lines().any(|one| one.trim() == line);
    let is_due = is("aof_enabled:1")
        && is("aof_last_rewrite_time_sec:-1")
        && is("aof_rewrite_in_progress:0")
        && is("aof_rewrite_scheduled:0");
    if is_due {
        let _started: Value = client.bgrewriteaof().await?;
    }
    Ok(is_due)
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
        let field = |name: &str| {
            let line = info
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok())
                .unwrap_or(0)
        };
        Ok(Self {
            used: field("used_memory"),
            limit: field("maxmemory"),
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
    fn without_a_limit_no_share_of_it_is_used() {
        assert!(Memory { used: 5, limit: 0 }.share() < f64::EPSILON);
        assert!((Memory { used: 5, limit: 10 }.share() - 0.5).abs() < f64::EPSILON);
    }
}
