//! The contract between EVP's services, and the kit they are built with.
//!
//! The contract, in reading order: [`event`] (what an event is), [`document`] (how it is stored),
//! [`frame`] (how events travel), [`keys`], [`counters`] and [`sketch`] (what
//! Redis keeps where), [`stream`]
//! (the only speaker of stream commands), [`store`] (MongoDB), [`outcome`] (what can become of an
//! event), [`dead_letters`] (what is done with those that could not be stored), [`access`] (who may come
//! in), [`audit`] (who asked for what).
//!
//! The kit: [`config`], [`choice`], [`telemetry`], [`health`], [`shutdown`], [`tasks`], [`backoff`],
//! [`clock`], [`command`], [`http`], [`tls`], [`redis`], [`version`], and [`testing`] for the tests of all crates.
#![warn(missing_docs)]

pub mod access;
#[cfg(feature = "mongo")]
pub mod audit;
pub mod backoff;
pub mod canary;
pub mod choice;
pub mod clock;
pub mod command;
pub mod config;
pub mod counters;
#[cfg(feature = "mongo")]
pub mod dead_letters;
pub mod document;
pub mod event;
pub mod frame;
pub mod health;
pub mod http;
pub mod keys;
pub mod outcome;
pub mod redis;
pub mod request;
pub mod service;
pub mod shutdown;
pub mod sketch;
#[cfg(feature = "mongo")]
pub mod store;
pub mod stream;
pub mod tasks;
pub mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod tls;
pub mod version;
