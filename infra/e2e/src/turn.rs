use std::sync::LazyLock;
use std::thread;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A heavy scenario keeps about two cores busy; more at once would only make each other late.
const CORES_EACH: usize = 2;

static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new((cores / CORES_EACH).max(1))
});

/// Waits for the turn of a scenario that loads the machine; it lasts until the value is dropped.
pub async fn heavy() -> Option<SemaphorePermit<'static>> {
    // The semaphore is never closed, so there always is a permit.
    TURNS.acquire().await.ok()
}
