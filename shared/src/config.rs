//! Layered configuration: compiled defaults < `--config FILE.toml` < the environment.
//!
//! A key is declared once, as a const [`Key`], with its default and its documentation. A service
//! reads its keys from a [`Source`], which collects *every* problem on the way; none of them is
//! reported before all are known, and none after a port is bound.
//!
//! ```
//! use evp_shared::config::{ByteSize, Key, Source};
//!
//! const FRAME_BYTES: Key<ByteSize> =
//!     Key::new("ingest.frame.bytes", "512KiB", "Largest frame, uncompressed.").range("4KiB", "4MiB");
//!
//! let mut source = Source::from_text("[ingest.frame]\nbytes = \"1MiB\"", &[])?;
//! let frame_bytes = source.get(&FRAME_BYTES);
//! assert_eq!(source.finish(frame_bytes)?, ByteSize::mib(1));
//! # Ok::<(), evp_shared::config::ConfigProblems>(())
//! ```
//!
//! In the environment the key is `EVP__INGEST__FRAME__BYTES`; a list is separated by commas. For a
//! secret, `EVP__REDIS__URL_FILE` (or `redis.url_file`) names a file that holds the value.

mod auth;
mod identity;
mod key;
mod log;
mod mongo;
mod problem;
mod redis;
mod reference;
mod runtime;
mod secret;
mod server;
mod shutdown;
mod size;
mod source;
mod value;

pub use auth::{AUTH_MODE, AuthConfig, AuthMode};
pub use identity::{IDENTITY_MODE, SALT_BITS, identity};
pub use key::{AnyKey, Key};
pub use log::{LOG_FORMAT, LOG_LEVEL, LogConfig, LogFormat, LogLevel};
pub use mongo::{MONGO_CA_FILE, MONGO_DATABASE, MONGO_URI, MongoConfig};
pub use problem::{ConfigProblem, ConfigProblems, EXIT_CODE};
pub use redis::{
    Durability, KeyPrefix, REDIS_CA_FILE, REDIS_COMMAND_TIMEOUT, REDIS_CONNECT_TIMEOUT,
    REDIS_DURABILITY, REDIS_KEY_PREFIX, REDIS_PARTITIONS, REDIS_URL, RedisConfig,
};
pub use reference::{check_defaults, reference};
pub use runtime::{RuntimeConfig, WORKER_THREADS};
pub use secret::SecretUrl;
pub use server::{
    AdminConfig, SERVER_CONNECTIONS, SERVER_HEADER_TIMEOUT, SERVER_KEEP_ALIVE_IDLE,
    SERVER_WRITE_IDLE, ServerConfig, admin_listen, server_listen,
};
pub use shutdown::{SHUTDOWN_DELAY, SHUTDOWN_GRACE, ShutdownConfig};
pub use size::ByteSize;
pub use source::{SECTIONS, Source};
pub use value::{Choice, Value};

/// The keys of the sections that services share; the listeners' defaults differ by service, so
/// each service adds its own to the reference.
pub const SHARED_KEYS: &[&dyn AnyKey] = &[
    &SERVER_CONNECTIONS,
    &SERVER_HEADER_TIMEOUT,
    &SERVER_KEEP_ALIVE_IDLE,
    &SERVER_WRITE_IDLE,
    &REDIS_URL,
    &REDIS_KEY_PREFIX,
    &REDIS_PARTITIONS,
    &REDIS_DURABILITY,
    &REDIS_CONNECT_TIMEOUT,
    &REDIS_COMMAND_TIMEOUT,
    &REDIS_CA_FILE,
    &MONGO_URI,
    &MONGO_DATABASE,
    &MONGO_CA_FILE,
    &IDENTITY_MODE,
    &SALT_BITS,
    &LOG_FORMAT,
    &LOG_LEVEL,
    &WORKER_THREADS,
    &SHUTDOWN_GRACE,
    &SHUTDOWN_DELAY,
    &AUTH_MODE,
];
