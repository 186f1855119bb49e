//! Append: decoded events on their way to the stream.

pub(crate) mod appender;
pub(crate) mod batcher;
pub(crate) mod frames;
pub(crate) mod greeting;
pub(crate) mod held;
pub(crate) mod partition;
pub(crate) mod pending;
pub(crate) mod submission;
