//! Which entries this processor is working on, so that none of its loops takes one up twice.

use std::collections::HashSet;

use evp_shared::stream::EntryId;
use parking_lot::Mutex;

/// Entries between delivery and commit.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashSet<(u16, EntryId)>>);

impl InFlight {
    /// Notes that `id` is worked on; `false` when it already was.
    pub fn enter(&self, partition: u16, id: EntryId) -> bool {
        self.0.lock().insert((partition, id))
    }

    /// Notes that `id` is not worked on any more.
    pub fn leave(&self, partition: u16, id: EntryId) {
        self.0.lock().remove(&(partition, id));
    }

    /// Whether `id` is worked on.
    pub fn has(&self, partition: u16, id: EntryId) -> bool {
        self.0.lock().contains(&(partition, id))
    }
}
