//! What operators see and do: the state of the pipeline, the dead letters, and who asked for what.

pub mod audit;
pub mod keys;
pub mod letters;
pub mod pipeline;
mod spans;

use std::time::Duration;

use evp_shared::audit::Audit;
use evp_shared::clock::Clock;
use evp_shared::dead_letters::DeadLetters;
use evp_shared::stream::Stream;
use evp_shared::tasks::TaskPool;
use mongodb::Database;

use self::pipeline::PipelineState;
use self::spans::StorageState;
use crate::cache::Cache;
use crate::config::AggregatorConfig;

/// Replays and purges under way at the same time.
const OPERATIONS_AT_ONCE: usize = 2;

/// How old the state of the spans may be: it is a command for each, and every screen shows the pipeline.
const STORAGE_TTL: Duration = Duration::from_secs(30);

/// Looks after the pipeline and its dead letters.
#[derive(Debug)]
pub struct Admin {
    stream: Stream,
    database: Database,
    letters: DeadLetters,
    audit: Audit,
    fingerprint: u32,
    clock: Clock,
    time_limit: Duration,
    state: Cache<(), PipelineState>,
    /// `None` where MongoDB did not answer, which is not asked again at once either.
    storage: Cache<(), Option<StorageState>>,
    /// Replays and purges; they outlive their clients.
    pub operations: TaskPool,
}

impl Admin {
    /// Over `stream` and `database`.
    pub fn new(
        stream: Stream,
        database: Database,
        clock: Clock,
        config: &AggregatorConfig,
    ) -> Self {
        let time_limit = config.query.time_limit;
        Self {
            audit: Audit::new(&database),
            letters: DeadLetters::new(database.clone(), time_limit),
            stream,
            database,
            fingerprint: config.identity.fingerprint(),
            clock,
            time_limit,
            state: Cache::one(config.query.cache_ttl),
            storage: Cache::one(STORAGE_TTL),
            operations: TaskPool::new("operation", OPERATIONS_AT_ONCE),
        }
    }
}
