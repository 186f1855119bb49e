//! The processor against a real Redis and a real MongoDB.
#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot go on is a failure"
)]

mod allocations;
mod books;
mod dead_letters;
mod deep;
mod dlq;
mod doctor;
mod durability;
mod erase;
mod fail_points;
mod harness;
mod housekeeper;
mod isolate;
mod membership;
mod once;
mod process;
mod proof;
mod redelivery;
mod redis_forgets;
mod sketches;
mod span_indexes;
mod spans;
mod storage;
mod tenants;
mod verify;
