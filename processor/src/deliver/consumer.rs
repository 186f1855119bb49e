//! This processor as a consumer of the group.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::stream::{Entry, EntryId, Life, Stream, StreamError};
use parking_lot::Mutex;

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
    /// Entries between delivery and commit, so that no loop takes one up twice.
    pub in_flight: Mutex<HashSet<(u16, EntryId)>>,
    /// Entries that stay pending because of a failure that met not all of their bulk: each is a bulk of
    /// its own, which says of a MongoDB that takes others no more than that.
    pub apart: Mutex<HashSet<(u16, EntryId)>>,
    /// Pauses reading.
    pub breaker: Breaker,
    /// Whether entries were left pending under this consumer: nobody else takes them up while it
    /// lives, so its reader does.
    pub left_overs: AtomicBool,
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
    /// Longest wait for an answer of Redis.
    pub patience: Duration,
}

/// Entries that are known to fail apart from others, at most; the rest is tried among them.
const APART_MAX: usize = 1_000;

impl Consumer {
    /// Notes that `entries` fail while others do not.
    pub fn set_apart(&self, entries: Vec<(u16, EntryId)>) {
        let mut apart = self.apart.lock();
        // Those that others have taken over are never heard of again.
        if apart.len() + entries.len() > APART_MAX {
            apart.clear();
        }
        apart.extend(entries.into_iter().take(APART_MAX));
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
    pub fn deliver(&self, entries: Vec<Entry>, lives: &[Life], redelivered: bool) -> Vec<Delivery> {
        let entries = entries.into_iter();
        let entries =
            entries.filter(|entry| self.in_flight.lock().insert((entry.partition, entry.id)));
        let life = |entry: &Entry| lives.get(usize::from(entry.partition)).copied();
        let deliveries = entries.map(|entry| Delivery {
            life: life(&entry).unwrap_or_default(),
            entry,
            redelivered,
        });
        deliveries.collect()
    }

    /// The lives known now, by partition: to be taken before entries are read.
    pub fn lives_now(&self) -> Vec<Life> {
        let partitions = 0..self.stream.partitions();
        partitions
            .map(|partition| self.lives.known(partition))
            .collect()
    }
}

/// The name of a processor that is given none.
pub fn default_name() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{host}-{}", std::process::id())
}
