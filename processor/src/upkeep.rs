//! Upkeep: the loops that no event waits for.

pub mod dead_letters;
pub mod house_loop;
pub mod housekeeper;
pub mod reconcile;
mod renewal;
pub mod sketch;
pub mod tenants;
pub mod ticker;
