//! Upkeep: the loops that no event waits for.

pub mod dead_letters;
pub mod reconcile;
mod renewal;
pub mod sketch;
pub mod ticker;
