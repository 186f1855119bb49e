//! The reader: first what is pending under this consumer, then what nobody was given yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evp_shared::backoff::Backoff;
use evp_shared::health::{Beat, Condition};
use evp_shared::redis::{Reader, ReaderPool};
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{Entry, EntryId, GroupReader, Life, StreamError};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config::BulkLimits;
use crate::deliver::consumer::Consumer;
use crate::entry::{Delivery, ReadCount, is_foreign};
use crate::store::breaker::Admit;
use crate::store::events::Events;

/// Entries per page of the own pending list.
const PAGE: u64 = 100;

/// Shortest time between two passes over the own pending list: a frame that stays unknown must
/// not be worked on without a pause.
const PASS_EVERY: Duration = Duration::from_millis(250);

/// Bounds of the entries asked for at once: few of all partitions together when frames are large,
/// many of each when they are small.
const COUNT_BOUNDS: (u64, u64) = (16, 1_000);

/// What is known of the frames' size is not known any more when nothing was read for this long:
/// under load they grow up to their limit within that, and a thousand of those are 512 MiB.
const SIZE_KNOWN_FOR: Duration = Duration::from_secs(1);

/// Reads for one processor until the shutdown.
#[derive(Debug)]
pub struct ReadLoop {
    /// Whom the entries are given to.
    pub consumer: Arc<Consumer>,
    /// Asked whether MongoDB is back when there is nothing to store.
    pub events: Arc<Events>,
    /// What one read should fill.
    pub limits: BulkLimits,
    /// Longest wait for new entries.
    pub block: Duration,
    /// That of this service's identity.
    pub fingerprint: u32,
    /// Exclusive connections: a blocked read holds up everything behind it.
    pub pool: ReaderPool,
    /// Where deliveries go; full, it holds the reader back.
    pub deliveries: mpsc::Sender<Vec<Delivery>>,
    /// Whether MongoDB takes what it is given.
    pub mongo: Condition,
    /// Sign of life.
    pub beat: Beat,
}

impl ReadLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut backoff = Backoff::new(Duration::from_millis(50), 2, Duration::from_secs(2));
        while !shutdown.is_triggered() {
            let Err(error) = self.read_on(&shutdown).await else {
                break;
            };
            // A reply may have been lost with the connection: its entries are pending.
            self.consumer.left_overs.store(true, Ordering::SeqCst);
            debug!(%error, "reading stopped");
            let pause = backoff.next_delay();
            timeout(pause, shutdown.triggered()).await.ok();
            if self.consumer.lives.greet_all().await.is_ok() {
                backoff.reset();
            }
        }
        Ok(())
    }

    /// Reads over one connection until it fails.
    async fn read_on(&self, shutdown: &Shutdown) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        consumer.lives.greet_all().await?;
        consumer.left_overs.store(true, Ordering::SeqCst);
        let lives = consumer.lives_now();
        let connection = self.pool.get().await.map_err(|error| {
            warn!(%error, "no connection to read over");
            StreamError::NotConnected
        })?;
        let outcome = self.read_over(&connection, &lives, shutdown).await;
        if outcome.is_err() {
            // It may still be blocked in a read: it goes, instead of back into the pool.
            drop(Reader::take(connection));
        }
        outcome
    }

    /// Reads over a connection that was made in `made_in`. In another life it goes: it may be one to
    /// a server that others do not speak to any more, whose group no entry comes to.
    async fn read_over(
        &self,
        connection: &Reader,
        made_in: &[Life],
        shutdown: &Shutdown,
    ) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let group = GroupReader::new(connection, &consumer.stream, &consumer.name);
        let partitions = consumer.stream.partitions();
        let mut count = ReadCount::new(COUNT_BOUNDS.0, COUNT_BOUNDS.1, partitions);
        let mut pass_due = consumer.clock.now();
        while !shutdown.is_triggered() && !self.deliveries.is_closed() {
            let entries = match consumer.breaker.admit(consumer.clock.now()) {
                Admit::Read => count.entries(),
                Admit::Probe => 1,
                Admit::Wait(pause) => {
                    self.beat.beat();
                    count.forget();
                    timeout(pause, shutdown.triggered()).await.ok();
                    continue;
                }
            };
            if consumer.breaker.is_open() {
                // What failed is pending here: it is the probe.
                self.probe(&group).await?;
                count.forget();
            } else if consumer.clock.now() >= pass_due
                && consumer.left_overs.swap(false, Ordering::SeqCst)
            {
                pass_due = consumer.clock.now() + PASS_EVERY;
                self.read_pending(&group, shutdown).await?;
            } else {
                let lives = consumer.lives_now();
                if lives != made_in {
                    return Err(StreamError::NewLife);
                }
                let read = group.read_new(entries, self.block).await?;
                let deliveries = consumer.deliver(read, &lives, false);
                count.learn(&deliveries, self.limits);
                let since = consumer.clock.now();
                self.send(deliveries).await;
                if consumer.clock.now() - since > SIZE_KNOWN_FOR {
                    count.forget();
                }
            }
            self.beat.beat();
        }
        Ok(())
    }

    /// Takes up everything that is pending under this consumer and not being worked on.
    async fn read_pending(
        &self,
        group: &GroupReader<'_>,
        shutdown: &Shutdown,
    ) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        for partition in 0..consumer.stream.partitions() {
            let mut after = EntryId::ZERO;
            while !shutdown.is_triggered() && !consumer.breaker.is_open() {
                let lives = consumer.lives_now();
                let page = group.read_pending(partition, after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.id;
                self.send(consumer.deliver(page, &lives, true)).await;
                self.beat.beat();
            }
        }
        if consumer.breaker.is_open() {
            consumer.left_overs.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Takes up the oldest pending entry, or a new one where none is pending.
    async fn probe(&self, group: &GroupReader<'_>) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let lives = consumer.lives_now();
        for partition in 0..consumer.stream.partitions() {
            if let Some(oldest) = self.oldest_own(group, partition).await? {
                consumer.left_overs.store(true, Ordering::SeqCst);
                self.send(consumer.deliver(vec![oldest], &lives, true))
                    .await;
                return Ok(());
            }
        }
        let read = group.read_new(1, self.block).await?;
        // With nothing to store, nothing else would ever show that MongoDB is back.
        if read.is_empty() && self.events.probe_now().await.is_ok() {
            consumer.breaker.succeed();
            self.mongo.ok();
        }
        self.send(consumer.deliver(read, &lives, false)).await;
        Ok(())
    }

    /// The oldest pending entry of `partition` that speaks for MongoDB: one of another identity stays
    /// pending, and so may one that fails while others do not. With it as the probe the breaker would
    /// stay open.
    async fn oldest_own(
        &self,
        group: &GroupReader<'_>,
        partition: u16,
    ) -> Result<Option<Entry>, StreamError> {
        let (mut after, mut count) = (EntryId::ZERO, 1);
        loop {
            let page = group.read_pending(partition, after, count).await?;
            let Some(last) = page.last() else {
                return Ok(None);
            };
            after = last.id;
            count = COUNT_BOUNDS.0;
            let apart = self.consumer.apart.lock().clone();
            let is_own = |entry: &Entry| {
                !is_foreign(entry, self.fingerprint)
                    && !apart.contains(&(entry.partition, entry.id))
            };
            if let Some(own) = page.into_iter().find(is_own) {
                return Ok(Some(own));
            }
            self.beat.beat();
        }
    }

    async fn send(&self, deliveries: Vec<Delivery>) {
        if !deliveries.is_empty() {
            // Where the worker is gone, nothing is read any more.
            self.deliveries.send(deliveries).await.ok();
        }
    }
}
