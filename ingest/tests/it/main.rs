//! The service against a real Redis.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, a panic is the report"
)]

mod allocations;
mod bounds;
mod contract;
mod durability;
mod group_commit;
mod keys;
mod limits;
mod outage;
mod process;
mod raw;
mod refusals;
mod storage;
mod support;
mod told;
