//! Layered configuration: compiled defaults < `--config FILE.toml` < the environment.
//!
//! A key is declared once, as a row of a [`config_section!`](crate::config_section), with its
//! default and its documentation. A service reads its keys from a [`Source`], which collects *every*
//! problem on the way; none of them is reported before all are known, and none after a port is bound.
//!
//! In the environment the key is `EVP__INGEST__FRAME__BYTES`; a list is separated by commas. For a
//! secret, `EVP__REDIS__URL_FILE` (or `redis.url_file`) names a file that holds the value.

mod canary;
mod dead_letters;
mod identity;
mod key;
mod log;
mod mongo;
mod problem;
mod process;
mod reach;
mod redis;
mod reference;
mod secret;
mod section;
mod server;
mod size;
mod source;
mod value;

pub use canary::CanaryConfig;
pub use dead_letters::DeadLetterLimits;
pub use identity::identity;
pub use key::{Key, KeyRow};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use mongo::MongoConfig;
pub use problem::{ConfigProblem, ConfigProblems, EXIT_CODE};
pub use process::{ProcessConfig, ShutdownConfig};
pub use reach::{AuthMode, Plaintext};
pub use redis::{Durability, KeyPrefix, RedisConfig};
pub use reference::reference;
pub use secret::{Secret, SecretUrl};
pub use server::{ServerConfig, TlsConfig};
pub use size::ByteSize;
pub use source::{Change, SECTIONS, Settings, Source};
pub use value::{Choice, Value};
