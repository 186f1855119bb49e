//! What INFO says of a server.

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::prelude::Error as RedisError;
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
