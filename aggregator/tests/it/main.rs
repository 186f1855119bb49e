//! The aggregator against a real Redis and a real MongoDB.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test, what cannot go on is a failure"
)]

mod admin;
mod admin_left;
mod analytics;
mod audit;
mod dashboard;
mod event;
mod events;
mod events_back;
mod guard;
mod keys;
mod keys_failing;
mod list_failing;
mod list_moving;
mod list_spans;
mod managing;
mod metrics;
mod notices;
mod openapi;
mod outage;
mod parameters;
mod plans;
mod process;
mod service;
mod sign_in;
mod sse;
mod stream;
mod stream_resume;
mod tenants;
