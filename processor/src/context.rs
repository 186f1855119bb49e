//! What all loops of a processor share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use evp_shared::clock::Clock;
use evp_shared::stream::{Entry, Life, Stream};

use crate::bulk::sketch::Sketches;
use crate::config::ProcessorConfig;
use crate::deliver::in_flight::InFlight;
use crate::deliver::lives::Lives;
use crate::entry::Delivery;
use crate::metrics::Metrics;
use crate::store::breaker::Breaker;
use crate::store::insert::Inserter;
use crate::store::room::Room;

/// What all loops of a processor share.
#[derive(Debug)]
pub struct Context {
    /// The resolved configuration.
    pub config: ProcessorConfig,
    /// Name of this member of the consumer group.
    pub consumer: String,
    /// The stream commands.
    pub stream: Stream,
    /// The lives of the partitions.
    pub lives: Lives,
    /// The way to MongoDB.
    pub inserter: Inserter,
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
    /// Redis is short of memory: no acknowledged entry is kept.
    pub memory_short: AtomicBool,
    /// Room among the dead letters.
    pub dead_letter_room: Room,
    /// Sketches of users and sessions.
    pub sketches: Sketches,
    /// The metric handles.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

impl Context {
    /// Nothing is known, read or stored yet.
    pub fn new(config: ProcessorConfig, stream: Stream, inserter: Inserter, clock: Clock) -> Self {
        Self {
            consumer: config.name.clone().unwrap_or_else(default_name),
            lives: Lives::new(stream.clone()),
            in_flight: InFlight::default(),
            breaker: Breaker::default(),
            left_overs: LeftOvers::default(),
            unfinished: 0.into(),
            foreign: 0.into(),
            memory_short: false.into(),
            dead_letter_room: Room::new(config.dead_letters),
            sketches: Sketches::default(),
            metrics: Metrics::new(stream.partitions()),
            stream,
            inserter,
            clock,
            config,
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
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "processor" } else { host };
    format!("{host}-{}", std::process::id())
}
