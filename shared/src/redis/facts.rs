//! What a server says of itself, for `doctor` and for starting services.

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::prelude::Error as RedisError;

use super::info::field;
use super::{Memory, ServerPromise, config_value, online_replicas};

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `redis_version`; that of a compatible server is the one it is compatible with.
    pub version: String,
    /// What it promises.
    pub promise: ServerPromise,
    /// How much memory it has and uses.
    pub memory: Memory,
    /// Replicas that follow it.
    pub replicas: usize,
    /// Whether its last write to the append-only file went well.
    pub log_written: bool,
    /// Its data directory; `None` where CONFIG is not allowed.
    pub dir: Option<String>,
    /// Unix ms by its clock.
    pub now_ms: u64,
}

impl ServerFacts {
    /// Asks the server.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ask(client: &Client) -> Result<Self, RedisError> {
        let info: String = client.info(None).await?;
        let script = "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)";
        let no_keys = Vec::<String>::new();
        let now_ms: u64 = client.eval(script, no_keys, Vec::<String>::new()).await?;
        Ok(Self {
            version: field(&info, "redis_version").unwrap_or_default().to_owned(),
            promise: ServerPromise::ask(client).await?,
            memory: Memory::ask(client).await?,
            replicas: online_replicas(client).await?,
            log_written: field(&info, "aof_last_write_status").is_none_or(|status| status == "ok"),
            dir: config_value(client, "dir").await?,
            now_ms,
        })
    }
}

/// The text under a key that belongs to no partition, such as the identity's fingerprint.
///
/// # Errors
/// No answer came, or the key holds another type.
pub async fn text_at(client: &Client, key: String) -> Result<Option<String>, RedisError> {
    client.get(key).await
}
