//! The claimer: takes over entries that another consumer was given and did not finish.
//!
//! Entries are taken by their own idle time. A consumer's idle time would not do: it also grows
//! while a healthy reader merely waits.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::health::Beat;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{ClaimStep, EntryId, StreamError};
use tokio::sync::mpsc;
use tracing::{debug, error};

use crate::deliver::consumer::Consumer;
use crate::entry::Delivery;

/// Entries per step. Small enough that two steps, which the channel holds, are stored well
/// within half the claim idle time; a pass goes on at full speed until its end.
const STEP: u64 = 100;

/// Claims for one processor until the shutdown.
#[derive(Debug)]
pub struct ClaimLoop {
    /// Whom the entries are given to.
    pub consumer: Arc<Consumer>,
    /// Wait between two passes.
    pub interval: Duration,
    /// Where deliveries go; full, it holds the claimer back.
    pub deliveries: mpsc::Sender<Vec<Delivery>>,
    /// Sign of life.
    pub beat: Beat,
}

impl ClaimLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        loop {
            let ended = tokio::time::timeout(self.interval, shutdown.triggered());
            if ended.await.is_ok() {
                return Ok(());
            }
            self.beat.beat();
            for partition in 0..self.consumer.stream.partitions() {
                let pass = self.pass(partition);
                let passed = tokio::select! {
                    passed = pass => passed,
                    // Entries claimed and not sent stay pending here, for others to claim.
                    () = shutdown.triggered() => return Ok(()),
                };
                if let Err(error) = passed {
                    debug!(%error, partition, "claim pass stopped");
                }
            }
        }
    }

    async fn pass(&self, partition: u16) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let mut cursor = EntryId::ZERO;
        loop {
            if consumer.breaker.is_open() {
                return Ok(());
            }
            // Room first: an entry claimed and not worked on would only grow idle here.
            let Ok(room) = self.deliveries.reserve().await else {
                return Ok(());
            };
            let lives = consumer.lives_now();
            let step = ClaimStep {
                consumer: &consumer.name,
                idle: consumer.claim_idle,
                cursor,
                count: STEP,
            };
            let claimed = consumer.stream.claim(partition, step).await?;
            let entries = claimed.deleted.len();
            if entries > 0 {
                consumer.metrics.entries_lost.increment(entries as u64);
                error!(partition, entries, "pending entries were deleted");
            }
            let deliveries = consumer.deliver(claimed.entries, &lives, true);
            consumer.metrics.claimed.increment(deliveries.len() as u64);
            if !deliveries.is_empty() {
                room.send(deliveries);
            }
            self.beat.beat();
            if claimed.cursor == EntryId::ZERO {
                return Ok(());
            }
            cursor = claimed.cursor;
        }
    }
}
