//! Which entries this processor is working on, so that none of its loops takes one up twice.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use evp_shared::stream::EntryId;

/// Entries between delivery and commit.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashSet<(u16, EntryId)>>);

impl InFlight {
    /// Notes that `id` is worked on; `false` when it already was.
    pub fn enter(&self, partition: u16, id: EntryId) -> bool {
        self.set().insert((partition, id))
    }

    /// Notes that `id` is not worked on any more.
    pub fn leave(&self, partition: u16, id: EntryId) {
        self.set().remove(&(partition, id));
    }

    /// Whether `id` is worked on.
    pub fn has(&self, partition: u16, id: EntryId) -> bool {
        self.set().contains(&(partition, id))
    }

    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<(u16, EntryId)>> {
        // A set of ids is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
