//! Takes events over HTTP and appends them to the stream.
//!
//! The path of one event, in reading order:
//! - `http::route` answers a request: `http::door` says whose it is (`sender`), [`admission`] whether
//!   to take it; then its body is read under caps.
//! - [`decode`] decompresses and decodes it; `decode::events` accepts or rejects each event by itself
//!   and writes the accepted ones as documents.
//! - `append::batcher` joins the events of concurrent requests into frames.
//! - `append::appender` gives frames their identity and appends them until there is an answer.
//! - `http::response` answers: `202` when the events are on the stream, as durable as configured.
//!
//! Beside it: `keeper` keeps in touch with Redis, `quota` takes slices of the tenants' days, [`service`] puts all of it together.
//!
//! An event is on the stream twice when an answer of Redis was lost: its frame was appended again,
//! under the same id, which is settled once. A client that got `503 not_confirmed` may send its
//! events again with the `eventIds` it was given: they are the same events.
//!
//! Deliberately absent: MongoDB, and any knowledge of what becomes of an event after the stream but
//! what processors write to Redis: the backlog, from where on events are kept, a full disk.

pub mod admission;
pub(crate) mod append;
mod canary;
pub mod config;
pub mod decode;
pub mod error;
pub(crate) mod http;
mod keeper;
mod metrics;
mod outcome;
mod quota;
mod sender;
pub mod service;

pub use config::IngestConfig;
pub use error::RunError;
pub use service::run;
