//! Deliver: which entries this processor is given, takes over and keeps until they are committed.

pub mod claimer;
pub mod consumer;
pub mod lives;
pub mod member;
pub mod queue;
pub mod reader;
