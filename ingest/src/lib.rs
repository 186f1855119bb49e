//! Takes events over HTTP and appends them to the stream.
//!
//! The path of one event, in reading order:
//! - `route` answers a request: asks `admission` whether to take it, reads its body under caps.
//! - [`body`] decompresses and decodes it; `events` accepts or rejects each event by itself and
//!   writes the accepted ones as documents.
//! - `batcher` joins the events of concurrent requests into frames.
//! - `appender` gives frames their identity and appends them until there is an answer.
//! - `response` answers: `202` when the events are on the stream, as durable as configured.
//!
//! Beside it: `keeper` keeps in touch with Redis, [`app`] puts the service together.
//!
//! An event is on the stream twice when an answer of Redis was lost: its frame was appended again,
//! under the same id, which is settled once. A client that got `503 not_confirmed` may send its
//! events again with the `eventIds` it was given: they are the same events.
//!
//! Deliberately absent: MongoDB, and any knowledge of what becomes of an event after the stream.

pub mod admission;
pub mod app;
mod appender;
mod batcher;
pub mod body;
pub mod config;
mod cors;
pub mod error;
mod events;
mod keeper;
pub mod metrics;
mod response;
mod route;

pub use app::run;
pub use config::IngestConfig;
pub use error::RunError;
