//! Takes events over HTTP and appends them to the stream.

pub mod body;
mod events;
