//! Finds or fetches real `redis-server` and `mongod` and runs them, and any other process, so that
//! nothing is left behind: for `make run`, tests and benchmarks alike.
//!
//! Reading order: [`find`] (where the binaries come from), `group` (why no process outlives its
//! owner), [`Service`] (one process), [`RedisServer`] and [`MongoServer`] (a process that answers),
//! [`Supervisor`] (a process that is started again), [`Observers`] (Prometheus and Alertmanager).
//!
//! [`command`] is what the binary `evp-devstack` does with them.
//!
//! Deliberately absent: any other EVP crate, a Redis or MongoDB driver, containers.

pub mod command;
pub mod find;

mod console;
mod error;
mod group;
mod http;
mod keys;
mod mongo;
mod observers;
mod options;
mod port;
mod project;
mod readiness;
mod redis;
mod scratch;
mod service;
mod supervisor;

pub use error::Error;
pub use keys::Keys;
pub use mongo::{MongoOptions, MongoServer};
pub use observers::Observers;
pub use port::free_port;
pub use redis::{RedisOptions, RedisServer};
pub use scratch::ScratchDir;
pub use service::{Output, Service, ServiceSpec};
pub use supervisor::{GaveUp, Supervisor};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
