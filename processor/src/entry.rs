//! What the reader and the claimer hand to the worker.

use evp_shared::stream::{Entry, Life};

/// One entry as it was delivered to this processor.
#[derive(Debug)]
pub struct Delivery {
    /// The entry.
    pub entry: Entry,
    /// The life that was known before the entry was read: what its commit must carry.
    pub life: Life,
    /// Whether it may have been worked on before, so that a receipt may exist.
    pub redelivered: bool,
}
