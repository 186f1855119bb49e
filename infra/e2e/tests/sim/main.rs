//! The deterministic simulation, its deliberate defects, and its model against real servers.
#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot go on is a failure"
)]

mod collections;
mod conformance;
mod defects;
mod found;
mod histories;
mod seeds;
mod spans;
