//! The claimer: takes over entries that another consumer was given and did not finish.
//!
//! Entries are taken by their own idle time. A consumer's idle time would not do: it also grows
//! while a healthy reader merely waits.

use std::sync::Arc;

use evp_shared::health::Beat;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{ClaimStep, EntryId, StreamError};
use tokio::sync::mpsc;
use tracing::{debug, error};

use crate::context::Context;
use crate::entry::Delivery;

/// Entries per step. Small enough that two steps, which the channel holds, are stored well
/// within half the claim idle time; a pass goes on at full speed until its end.
const STEP: u64 = 100;

/// Claims for one processor until the shutdown.
#[derive(Debug)]
pub struct ClaimLoop {
    /// What the loops share.
    pub context: Arc<Context>,
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
            tokio::select! {
                () = tokio::time::sleep(self.context.config.claim_interval) => {}
                () = shutdown.triggered() => return Ok(()),
            }
            self.beat.beat();
            for partition in 0..self.context.stream.partitions() {
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
        let context = &*self.context;
        let mut cursor = EntryId::ZERO;
        loop {
            if context.breaker.is_open() {
                return Ok(());
            }
            // Room first: an entry claimed and not worked on would only grow idle here.
            let Ok(room) = self.deliveries.reserve().await else {
                return Ok(());
            };
            let lives = context.lives_now();
            let idle = context.config.claim_idle;
            let step = ClaimStep {
                consumer: &context.consumer,
                idle,
                cursor,
                count: STEP,
            };
            let claimed = context.stream.claim(partition, step).await?;
            if !claimed.deleted.is_empty() {
                context
                    .metrics
                    .entries_lost
                    .increment(claimed.deleted.len() as u64);
                error!(
                    partition,
                    entries = claimed.deleted.len(),
                    "pending entries were deleted"
                );
            }
            let deliveries = context.deliver(claimed.entries, &lives, true);
            context.metrics.claimed.increment(deliveries.len() as u64);
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
