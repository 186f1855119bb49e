//! The worker: joins deliveries to bulks and keeps a bounded number of them in flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use evp_shared::health::Condition;
use evp_shared::service::Chain;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{EntryId, StreamError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::bulk::commit::BulkFailure;
use crate::bulk::pipeline::{Pipeline, Processed};
use crate::config::BulkLimits;
use crate::deliver::consumer::Consumer;
use crate::deliver::queue::Queue;
use crate::entry::Delivery;
use crate::store::insert::StoreFailure;

/// Stores for one processor until the deliveries end.
#[derive(Debug)]
pub struct WorkLoop {
    /// Whose deliveries they are.
    pub consumer: Arc<Consumer>,
    /// What is done with a bulk.
    pub pipeline: Arc<Pipeline>,
    /// Bounds of a bulk.
    pub limits: BulkLimits,
    /// Where deliveries come from.
    pub deliveries: mpsc::Receiver<Vec<Delivery>>,
    /// Whether MongoDB takes what it is given.
    pub mongo: Condition,
    /// The order to stop, after which what fails is not tried again.
    pub shutdown: Shutdown,
}

/// A bulk that is over: which entries were in it, and what became of them.
type Concluded = (Vec<(u16, EntryId)>, Result<Processed, BulkFailure>);

impl WorkLoop {
    /// Runs until every sender of deliveries is gone and what they sent is committed.
    ///
    /// # Errors
    /// A bulk panicked.
    pub async fn run(mut self) -> Result<(), tokio::task::JoinError> {
        let mut limits = self.limits;
        let mut queue = Queue::default();
        let mut bulks: JoinSet<Concluded> = JoinSet::new();
        let mut open = true;
        while open || !queue.is_empty() || !bulks.is_empty() {
            tokio::select! {
                Some(concluded) = bulks.join_next(), if !bulks.is_empty() => {
                    limits = self.conclude(concluded?, limits);
                }
                received = self.deliveries.recv(), if open && !queue.is_full(limits) => {
                    match received {
                        Some(deliveries) => queue.extend(deliveries),
                        None => open = false,
                    }
                }
            }
            while let Some(bulk) = self.next(&mut queue, limits, bulks.len()) {
                let pipeline = Arc::clone(&self.pipeline);
                let entries = bulk.iter().map(|one| (one.entry.partition, one.entry.id));
                let entries = entries.collect();
                bulks.spawn(async move { (entries, pipeline.process(bulk).await) });
            }
        }
        Ok(())
    }

    fn next(
        &self,
        queue: &mut Queue,
        limits: BulkLimits,
        in_flight: usize,
    ) -> Option<Vec<Delivery>> {
        let apart = self.consumer.apart.lock();
        let is_apart = |one: &Delivery| apart.contains(&(one.entry.partition, one.entry.id));
        queue.next(limits, in_flight, is_apart)
    }

    /// Learns from a bulk that is over, and returns the limits of the next ones.
    fn conclude(&self, (entries, result): Concluded, limits: BulkLimits) -> BulkLimits {
        let consumer = &*self.consumer;
        if result.is_err() && self.shutdown.is_triggered() {
            consumer
                .unfinished
                .fetch_add(entries.len(), Ordering::SeqCst);
        }
        let was_apart = self.end_of(&entries, result.is_ok());
        match result {
            Ok(processed) => {
                // What sent nothing to MongoDB proves nothing of it.
                if processed.is_confirmed {
                    self.mongo.ok();
                    consumer.breaker.succeed();
                }
                if let Some(failure) = &processed.failure {
                    self.in_part(failure, processed.failed);
                }
                let (frames, entries) = (processed.unknown, processed.foreign);
                if frames > 0 {
                    warn!(frames, "frames stay pending: an event is unknown");
                    let unknown = &consumer.metrics.unknown_frames;
                    unknown.increment(frames as u64);
                    consumer.left_overs.store(true, Ordering::SeqCst);
                }
                if entries > 0 {
                    error!(entries, "frames of another identity stay pending");
                    consumer.foreign.fetch_add(1, Ordering::SeqCst);
                }
                limits.doubled_up_to(self.limits.widened(processed.commands))
            }
            Err(BulkFailure::Stream(failure)) => {
                if !matches!(failure, StreamError::NewLife) {
                    warn!(error = %failure, "bulk not committed");
                    consumer.breaker.fail(consumer.clock.now());
                }
                consumer.left_overs.store(true, Ordering::SeqCst);
                limits
            }
            Err(BulkFailure::Store(failure)) if was_apart && !consumer.breaker.is_open() => {
                self.in_part(&failure, Vec::new());
                limits
            }
            Err(BulkFailure::Store(failure)) => {
                warn!(error = %Chain(&failure), "bulk not stored");
                self.mongo.fail(failure.to_string());
                consumer.metrics.store_failures.increment(1);
                consumer.breaker.fail(consumer.clock.now());
                consumer.left_overs.store(true, Ordering::SeqCst);
                // Down to a frame alone, which is then looked at document by document.
                limits.halved()
            }
        }
    }

    /// Notes that `entries` are not worked on any more. Returns whether they were apart from others;
    /// what is done no longer is.
    fn end_of(&self, entries: &[(u16, EntryId)], is_done: bool) -> bool {
        let consumer = &*self.consumer;
        let (mut in_flight, mut apart) = (consumer.in_flight.lock(), consumer.apart.lock());
        let mut was_apart = false;
        for entry in entries {
            in_flight.remove(entry);
            was_apart |= apart.contains(entry);
            if is_done {
                apart.remove(entry);
            }
        }
        was_apart
    }

    /// Some frames stay pending, of a MongoDB that takes others: reading goes on.
    fn in_part(&self, failure: &StoreFailure, failed: Vec<(u16, EntryId)>) {
        let consumer = &*self.consumer;
        warn!(error = %Chain(failure), frames = failed.len().max(1), "bulk stored in part");
        consumer.metrics.store_failures.increment(1);
        consumer.set_apart(failed);
        consumer.left_overs.store(true, Ordering::SeqCst);
    }
}
