//! What operators see and do: the state of the pipeline, and the dead letters. Of all tenants.

pub mod letters;
pub mod pipeline;

use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::dead_letters::DeadLetters;
use evp_shared::stream::Stream;
use mongodb::Database;
use tokio::sync::Semaphore;

use self::pipeline::PipelineState;
use crate::cache::Cache;
use crate::metrics::CacheMetrics;

/// Replays and purges under way at the same time.
const OPERATIONS_AT_ONCE: usize = 2;

/// Looks after the pipeline and its dead letters.
#[derive(Debug)]
pub struct Admin {
    stream: Stream,
    database: Database,
    letters: DeadLetters,
    fingerprint: u32,
    clock: Clock,
    time_limit: Duration,
    state: Cache<(), PipelineState>,
    operations: Semaphore,
}

impl Admin {
    /// Over `stream` and `database`, whose reads take `time_limit` at most; `fingerprint` is that
    /// of the identity this service makes.
    pub fn new(
        (stream, database): (Stream, Database),
        fingerprint: u32,
        clock: Clock,
        (time_limit, ttl): (Duration, Duration),
    ) -> Self {
        Self {
            letters: DeadLetters::new(database.clone()).within(time_limit),
            stream,
            database,
            fingerprint,
            clock,
            time_limit,
            state: Cache::new(1, ttl, CacheMetrics::resolve()),
            operations: Semaphore::new(OPERATIONS_AT_ONCE),
        }
    }
}
