//! Store: all that is written to MongoDB and read back, and what a failure of it means.

pub mod breaker;
pub mod dead_letter;
pub mod erasure;
pub mod events;
pub mod insert;
pub mod isolate;
pub mod lease;
pub mod lookup;
pub mod parts;
pub mod receipt;
pub mod room;
pub mod spans;
pub mod sums;
pub mod suspects;
