//! Upkeep: the loops that no event waits for.

pub mod reconcile;
mod renewal;
pub mod ticker;
