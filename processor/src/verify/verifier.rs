//! What a verification works with.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::stream::Stream;
use mongodb::Database;

use crate::bulk::commit::Committer;
use crate::config::ProcessorConfig;
use crate::deliver::lives::Lives;
use crate::metrics::Metrics;
use crate::store::insert::Inserter;

/// Longest wait for one answer of MongoDB: a command reads far more at once than the service.
const ANSWER_DEADLINE: Duration = Duration::from_secs(900);

/// Commands to MongoDB at once.
const AT_ONCE: usize = 4;

/// Reads counters and receipts, and mends the counters.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// The stream commands.
    pub stream: Stream,
    /// The way to MongoDB.
    pub inserter: Inserter,
    /// Settles what is missing.
    pub committer: Arc<Committer>,
    /// The time.
    pub clock: Clock,
}

impl Verifier {
    /// For a command, without a processor beside it.
    pub fn of_command(config: &ProcessorConfig, stream: Stream, database: Database) -> Self {
        let lives = Arc::new(Lives::new(stream.clone()));
        let metrics = Arc::new(Metrics::resolve(stream.partitions()));
        Self {
            committer: Arc::new(Committer::new(config, stream.clone(), lives, metrics)),
            stream,
            inserter: Inserter::new(database, ANSWER_DEADLINE, AT_ONCE),
            clock: Clock::system(),
        }
    }
}
