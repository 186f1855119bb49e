//! Connections to Redis, and what is asked of the server before it is trusted.
//!
//! A service has one connection for commands that answer at once ([`connect`]) and, for blocking
//! reads, exclusive ones out of a pool ([`reader_pool`]): fred sends everything over one socket
//! in order, so one blocked XREADGROUP would hold up every commit behind it (ADR 0007).

use std::path::Path;
use std::time::Duration;

use deadpool::managed;
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, ConfigInterface};
use fred::prelude::{Builder, Error as RedisError, Value};
use fred::types::ConnectHandle;
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, TlsConnector, UnresponsiveConfig};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::{Durability, RedisConfig};

mod facts;
mod info;
mod save;

pub use facts::{ServerFacts, text_at};
pub use info::{LogState, Memory, online_replicas, renew_log, version};
pub use save::{Files, Save};

/// Delay before the first reconnection, and the longest, in ms. Kept short: while Redis is away
/// producers are refused.
const RECONNECT_MS: (u32, u32) = (50, 1_000);

/// Commands fred may queue. Callers hold far fewer in flight; the bound is what turns a bug into
/// an error instead of memory.
const QUEUED_COMMANDS_MAX: usize = 10_000;

/// Starts a connection that is kept up for as long as the client lives, and returns at once:
/// whether it is there, `is_connected` tells.
///
/// # Errors
/// The URL is malformed.
pub fn connect(how: &RedisConfig) -> Result<Client, RedisError> {
    let client = build(how, Some(how.command_timeout))?;
    // The handle is that of fred's own task, which ends with the client.
    drop(client.connect());
    Ok(client)
}

/// Whether the connection is there.
pub fn is_connected(client: &Client) -> bool {
    client.is_connected()
}

/// Asks the server for a sign of life; a server that hangs keeps its connection.
///
/// # Errors
/// No answer came.
pub async fn ping(client: &Client) -> Result<(), RedisError> {
    let _pong: Value = Box::pin(client.ping(None)).await?;
    Ok(())
}

/// Waits until the connection is there, for at most `patience`.
///
/// # Errors
/// It did not come.
pub async fn connected(client: &Client, patience: Duration) -> Result<(), RedisError> {
    match tokio::time::timeout(patience, client.wait_for_connect()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(RedisError::new(
            ErrorKind::Timeout,
            format!("redis does not answer within {patience:?}"),
        )),
    }
}

fn build(how: &RedisConfig, silence_max: Option<Duration>) -> Result<Client, RedisError> {
    let url = how.url.expose();
    // Asked for TLS, fred looks for what the machine trusts, and fails where that is nothing, as in a container.
    let plain = url
        .strip_prefix("rediss://")
        .map(|rest| format!("redis://{rest}"));
    // Of a cluster fred asks CONFIG and INFO of the node that holds the slot of their first argument.
    let mut config = Config::from_url_centralized(plain.as_deref().unwrap_or(url))?;
    config.fail_fast = false;
    if plain.is_some() || how.ca_file.is_some() {
        let client = rustls::ClientConfig::builder()
            .with_root_certificates(roots(how.ca_file.as_deref())?)
            .with_no_client_auth();
        config.tls = Some(TlsConnector::from(client).into());
    }
    let mut builder = Builder::from_config(config);
    builder
        .with_connection_config(|connection| {
            connection.connection_timeout = how.connect_timeout;
            connection.internal_command_timeout = how.command_timeout;
            connection.max_command_buffer_len = QUEUED_COMMANDS_MAX;
            connection.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: silence_max,
                interval: Duration::from_secs(1),
            };
        })
        .set_policy(ReconnectPolicy::new_exponential(
            0,
            RECONNECT_MS.0,
            RECONNECT_MS.1,
            2,
        ));
    builder.build()
}

/// Who is trusted: the authority in `file` and no other, or the public ones.
fn roots(file: Option<&Path>) -> Result<RootCertStore, RedisError> {
    let Some(file) = file else {
        return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    };
    let unusable = |error: &dyn std::fmt::Display| {
        let text = format!("redis.ca_file {}: {error}", file.display());
        RedisError::new(ErrorKind::Config, text)
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"holds no certificate"));
    }
    Ok(roots)
}

/// Pool of exclusive connections for blocking reads.
pub type ReaderPool = managed::Pool<ReaderManager>;

/// A connection out of a [`ReaderPool`].
pub type Reader = managed::Object<ReaderManager>;

/// A client with a connection of its own, which ends with it: fred's clients go on, and connect
/// anew, when nobody holds them any more.
#[derive(Debug)]
pub struct OwnConnection {
    client: Client,
    task: ConnectHandle,
}

impl std::ops::Deref for OwnConnection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes the connections of a [`ReaderPool`].
#[derive(Debug)]
pub struct ReaderManager {
    how: RedisConfig,
}

impl managed::Manager for ReaderManager {
    type Type = OwnConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<OwnConnection, RedisError> {
        // A blocking read is silent by design, so its own deadline watches it instead.
        let client = build(&self.how, None)?;
        let task = client.connect();
        // Whole before the first wait, which the pool may cut short.
        let own = OwnConnection { client, task };
        own.wait_for_connect().await?;
        Ok(own)
    }

    async fn recycle(
        &self,
        client: &mut OwnConnection,
        _: &managed::Metrics,
    ) -> managed::RecycleResult<RedisError> {
        if !client.is_connected() {
            return Err(managed::RecycleError::message("not connected"));
        }
        Box::pin(client.ping::<Value>(None)).await?;
        Ok(())
    }
}

/// A pool of at most `size` exclusive connections.
///
/// # Errors
/// The runtime has no timer.
pub fn reader_pool(how: RedisConfig, size: usize) -> Result<ReaderPool, managed::BuildError> {
    let deadline = Some(how.connect_timeout + how.command_timeout);
    managed::Pool::builder(ReaderManager { how })
        .max_size(size)
        .runtime(deadpool::Runtime::Tokio1)
        .timeouts(managed::Timeouts {
            wait: deadline,
            create: deadline,
            recycle: deadline,
        })
        .build()
}

/// What a server promises, as far as it lets itself be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerPromise {
    /// `maxmemory-policy`.
    pub eviction: Option<String>,
    /// `appendonly`.
    pub append_only: Option<String>,
    /// `appendfsync`.
    pub fsync: Option<String>,
    /// `no-appendfsync-on-rewrite`.
    pub no_fsync_on_rewrite: Option<String>,
}

impl ServerPromise {
    /// Asks the server. Where CONFIG is not allowed nothing is known, and the declared value
    /// stands as declared.
    ///
    /// # Errors
    /// No answer came.
    pub async fn ask(client: &Client) -> Result<Self, RedisError> {
        Ok(Self {
            eviction: config_value(client, "maxmemory-policy").await?,
            append_only: config_value(client, "appendonly").await?,
            fsync: config_value(client, "appendfsync").await?,
            no_fsync_on_rewrite: config_value(client, "no-appendfsync-on-rewrite").await?,
        })
    }

    /// What the server lacks for `declared`, each with the line that mends it; empty when it
    /// keeps the promise.
    pub fn shortfalls(&self, declared: Durability) -> Vec<String> {
        let mut wanted = vec![("maxmemory-policy", &self.eviction, &["noeviction"][..])];
        match declared {
            Durability::Fsync | Durability::Replicated => wanted.extend([
                ("appendonly", &self.append_only, &["yes"][..]),
                ("appendfsync", &self.fsync, &["always"]),
                (
                    "no-appendfsync-on-rewrite",
                    &self.no_fsync_on_rewrite,
                    &["no"],
                ),
            ]),
            Durability::Everysec => wanted.extend([
                ("appendonly", &self.append_only, &["yes"][..]),
                ("appendfsync", &self.fsync, &["everysec", "always"]),
            ]),
            Durability::Memory => {}
        }
        let short = |(name, found, enough): (&str, &Option<String>, &[&str])| {
            let found = found.as_deref()?;
            let needed = *enough.first()?;
            (!enough.contains(&found)).then(|| {
                format!(
                    "redis has `{name} {found}`: durability {} needs `CONFIG SET {name} {needed}`",
                    declared.as_str()
                )
            })
        };
        wanted.into_iter().filter_map(short).collect()
    }
}

async fn config_value(client: &Client, name: &str) -> Result<Option<String>, RedisError> {
    let reply: Result<Value, RedisError> = client.config_get(name).await;
    let value = match reply {
        Ok(value) => value,
        // Managed servers rename or forbid CONFIG.
        Err(error) if error.details().starts_with("NOPERM") => return Ok(None),
        Err(error) if error.details().starts_with("ERR unknown command") => return Ok(None),
        Err(error) => return Err(error),
    };
    let pairs: Vec<String> = value.convert().unwrap_or_default();
    Ok(pairs.into_iter().nth(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(eviction: &str, append_only: &str, fsync: &str) -> ServerPromise {
        ServerPromise {
            eviction: Some(eviction.into()),
            append_only: Some(append_only.into()),
            fsync: Some(fsync.into()),
            no_fsync_on_rewrite: Some("no".into()),
        }
    }

    #[test]
    fn a_server_that_promises_less_than_declared_is_told_what_to_set() {
        let cases = [
            (
                promise("noeviction", "yes", "always"),
                Durability::Fsync,
                "",
            ),
            (
                promise("noeviction", "yes", "everysec"),
                Durability::Fsync,
                "appendfsync always",
            ),
            (
                promise("noeviction", "no", "always"),
                Durability::Everysec,
                "appendonly yes",
            ),
            (
                promise("noeviction", "yes", "everysec"),
                Durability::Everysec,
                "",
            ),
            (
                promise("noeviction", "yes", "no"),
                Durability::Everysec,
                "appendfsync everysec",
            ),
            (
                promise("allkeys-lru", "no", "no"),
                Durability::Memory,
                "maxmemory-policy noeviction",
            ),
            (ServerPromise::default(), Durability::Fsync, ""),
        ];
        for (found, declared, expected) in cases {
            let shortfalls = found.shortfalls(declared).join("; ");
            assert!(shortfalls.contains(expected), "{shortfalls}");
            assert_eq!(shortfalls.is_empty(), expected.is_empty(), "{shortfalls}");
        }
    }

    /// Where the machine itself trusts nobody, a connection is made all the same.
    #[test]
    fn without_a_ca_file_the_public_authorities_are_trusted_wherever_it_runs() {
        let trusted = roots(None).unwrap();
        assert!(trusted.len() > 50, "{}", trusted.len());
        assert_eq!(trusted.roots, webpki_roots::TLS_SERVER_ROOTS);
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_with_its_name() {
        for name in ["/dev/null", "/nowhere.pem"] {
            let how = RedisConfig {
                ca_file: Some(name.into()),
                ..RedisConfig::at("rediss://localhost", Duration::from_secs(1))
            };
            let error = connect(&how).map(drop).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
