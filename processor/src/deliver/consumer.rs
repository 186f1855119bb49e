//! This processor as a consumer of the group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::stream::{Entry, Life, Stream, StreamError};

use crate::config::ProcessorConfig;
use crate::deliver::in_flight::InFlight;
use crate::deliver::lives::Lives;
use crate::entry::Delivery;
use crate::metrics::Metrics;
use crate::store::breaker::Breaker;

/// This processor as a consumer of the group: what it was given, what became of that, and whether
/// it may be given more.
#[derive(Debug)]
pub struct Consumer {
    /// Its name in the group.
    pub name: String,
    /// The stream commands.
    pub stream: Stream,
    /// The lives of the partitions.
    pub lives: Arc<Lives>,
    /// Entries being worked on.
    pub in_flight: InFlight,
    /// Pauses reading.
    pub breaker: Breaker,
    /// Says that entries were left pending under this consumer.
    pub left_overs: LeftOvers,
    /// Entries of bulks that failed after the order to stop: nobody here takes them up again.
    pub unfinished: AtomicUsize,
    /// How often entries of another identity were met.
    pub foreign: AtomicU64,
    /// How long an entry stays with a consumer that does not finish it.
    pub claim_idle: Duration,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    patience: Duration,
}

impl Consumer {
    /// Nothing is known or read yet.
    pub fn new(
        config: &ProcessorConfig,
        stream: Stream,
        lives: Arc<Lives>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self {
            name: config.name.clone().unwrap_or_else(default_name),
            stream,
            lives,
            in_flight: InFlight::default(),
            breaker: Breaker::default(),
            left_overs: LeftOvers::default(),
            unfinished: 0.into(),
            foreign: 0.into(),
            claim_idle: config.claim_idle,
            metrics,
            clock,
            patience: config.redis.command_timeout,
        }
    }

    /// Waits for an answer of Redis, but not for a connection, which may take for ever.
    ///
    /// # Errors
    /// [`StreamError`]; [`StreamError::NotConnected`] when it takes longer than a command may.
    pub async fn in_time<T, E: Into<StreamError>>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StreamError> {
        match tokio::time::timeout(self.patience, asked).await {
            Ok(answered) => answered.map_err(Into::into),
            Err(_) => Err(StreamError::NotConnected),
        }
    }

    /// The entries nobody here works on, noted as worked on.
    pub fn deliver(&self, entries: Vec<Entry>, life: &[Life], redelivered: bool) -> Vec<Delivery> {
        entries
            .into_iter()
            .filter(|entry| self.in_flight.enter(entry.partition, entry.id))
            .map(|entry| {
                let life = life
                    .get(usize::from(entry.partition))
                    .copied()
                    .unwrap_or_default();
                Delivery {
                    entry,
                    life,
                    redelivered,
                }
            })
            .collect()
    }

    /// The lives known now, by partition: to be taken before entries are read.
    pub fn lives_now(&self) -> Vec<Life> {
        (0..self.stream.partitions())
            .map(|partition| self.lives.known(partition))
            .collect()
    }
}

/// Whether entries were left pending under this consumer: nobody else takes them up while it
/// lives, so its reader does.
#[derive(Debug, Default)]
pub struct LeftOvers {
    some: AtomicBool,
}

impl LeftOvers {
    /// Says that there are some.
    pub fn signal(&self) {
        self.some.store(true, Ordering::SeqCst);
    }

    /// Whether there were some since the last call.
    pub fn take(&self) -> bool {
        self.some.swap(false, Ordering::SeqCst)
    }
}

fn default_name() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{host}-{}", std::process::id())
}
