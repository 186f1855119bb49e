//! Answers queries over the events and their counters; reads both, writes neither. What operators
//! ask of dead letters is all it changes.
//!
//! In reading order: [`config`], [`start`] (starts and ends the service), [`auth`] (whose data a
//! request may see), [`guard`] (who may ask), `routes` (one module per resource), [`params`] (query parameters),
//! [`counters`] with [`counts`] and [`cache`] (Redis), [`analytics`], [`feed`] (the
//! live stream), [`events`] (MongoDB), [`admin`] (the pipeline and its dead letters), [`openapi`], [`error`] (what a
//! client is told), [`metrics`], [`probe`] (readiness).
//!
//! Counters never come from MongoDB and events never from Redis: a slow store does not slow
//! `/metrics`, and `/events` works while Redis is away. `dashboard` holds the pages that show all of
//! it, which use the public routes like everybody else.

pub mod admin;
pub mod analytics;
pub mod auth;
pub mod cache;
pub mod config;
pub mod counters;
pub mod counts;
mod dashboard;
mod deadline;
pub mod error;
pub mod event_json;
pub mod events;
pub mod feed;
pub mod guard;
pub mod metrics;
pub mod openapi;
pub mod params;
pub mod probe;
mod routes;
pub mod schema;
pub mod start;
mod state;
pub mod time;

pub use config::AggregatorConfig;
pub use start::run;
