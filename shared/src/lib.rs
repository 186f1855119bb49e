//! The contract between EVP's services, and the kit they are built with.
#![warn(missing_docs)]

pub mod backoff;
pub mod clock;
pub mod config;
pub mod document;
pub mod event;
pub mod health;
pub mod http;
pub mod outcome;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
