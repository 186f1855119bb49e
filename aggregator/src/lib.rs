//! Answers queries over the events and their counters; reads both, writes neither. What operators
//! ask of dead letters, who may come in and who did is all it changes.
//!
//! In reading order, each floor above the next, which it may import:
//!
//! - [`start`] starts and ends the service, with [`probe`] (readiness) and [`openapi`] (what lists
//!   all routes), [`canary`] (whether
//!   events arrive) and [`notices`], which tell people that something is wrong.
//! - `routes`, one module per resource, and `dashboard`, the pages that show all of it and use the
//!   public routes like everybody else.
//! - [`command`], the tools for tenants and keys.
//! - [`guard`] (under which name, from which page) and `state` (what every handler works with).
//! - [`counters`] (Redis), [`analytics`], [`feed`] (the live stream), [`events`] (MongoDB) and
//!   [`admin`] (the pipeline and its dead letters). None of these five imports another.
//! - [`error`] (what a client is told), [`params`], [`time`], `deadline` and `answer`, [`cache`], [`auth`]
//!   (who asks, and whose data that may see), [`sign_in`] (how people come in), [`mail`], [`slots`], [`tries`] (how often
//!   a client may), [`changes`] (what outlives whoever asked for it), [`counts`] (adding up), [`event_json`]
//!   and [`schema`] (how events and problems are written and described), [`metrics`], [`config`].
//!
//! Counters never come from MongoDB and events never from Redis: a slow store does not slow
//! `/metrics`, and `/events` works while Redis is away.

pub mod admin;
pub mod analytics;
mod answer;
pub mod auth;
pub mod cache;
pub mod canary;
pub mod changes;
pub mod command;
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
pub mod mail;
pub mod metrics;
pub mod notices;
pub mod openapi;
pub mod params;
pub mod probe;
mod routes;
pub mod schema;
pub mod sign_in;
pub mod slots;
pub mod start;
mod state;
pub mod time;
pub mod tries;

pub use config::AggregatorConfig;
pub use start::run;
