//! The real servers and the binary, started, killed and started again.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails it by panicking"
)]

mod demo;
mod group;
mod mongo;
mod observe;
mod redis;
mod run;
mod supervisor;
mod test_command;
