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
            while let Some(bulk) = queue.next(limits, bulks.len()) {
                let pipeline = Arc::clone(&self.pipeline);
                let entries = bulk.iter().map(|one| (one.entry.partition, one.entry.id));
                let entries = entries.collect();
                bulks.spawn(async move { (entries, pipeline.process(bulk).await) });
            }
        }
        Ok(())
    }

    /// Learns from a bulk that is over, and returns the limits of the next ones.
    fn conclude(&self, (entries, result): Concluded, limits: BulkLimits) -> BulkLimits {
        let consumer = &*self.consumer;
        if result.is_err() && self.shutdown.is_triggered() {
            consumer
                .unfinished
                .fetch_add(entries.len(), Ordering::SeqCst);
        }
        for entry in entries {
            consumer.in_flight.lock().remove(&entry);
        }
        match result {
            Ok(processed) => {
                // What sent nothing to MongoDB proves nothing of it.
                if processed.is_confirmed {
                    self.mongo.ok();
                    consumer.breaker.succeed();
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
                limits.doubled_up_to(self.limits)
            }
            Err(BulkFailure::Stream(failure)) => {
                if !matches!(failure, StreamError::NewLife) {
                    warn!(error = %failure, "bulk not committed");
                    consumer.breaker.fail(consumer.clock.now());
                }
                consumer.left_overs.store(true, Ordering::SeqCst);
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
}
