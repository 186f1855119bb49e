//! Reconcile: settles the receipts whose counts are missing.
//!
//! Truth is in MongoDB. A minute's bucket is compared with the receipts of its seconds two minutes
//! and one hour after it closed, and after a new life from ten minutes before the cut on. Settling
//! a receipt again is harmless, so finding too much to settle costs work and nothing else.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::counters::Step;
use evp_shared::health::Beat;
use evp_shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::commit::commit_all;
use crate::context::Context;
use crate::pipeline::BulkFailure;
use crate::verify::differing_buckets;

const MINUTE: u64 = 60;
/// How long after its end a minute is compared, in minutes.
const LATER: [u64; 2] = [2, 60];
/// How far before a cut forgotten commits may lie: a frame's second is older than its entry by no
/// more than the appender's deadline and the clocks' difference.
const BEFORE_CUT: u64 = 10;
/// How far back: bits live 48 h, and half of that is the margin.
const BACK_MAX: u64 = 24 * 60;

/// Reconciles for one processor until the shutdown.
#[derive(Debug)]
pub struct ReconcileLoop {
    /// What the loops share.
    pub context: Arc<Context>,
    /// Sign of life.
    pub beat: Beat,
}

impl ReconcileLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again a minute later.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut minutes = tokio::time::interval(Duration::from_secs(MINUTE));
        minutes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = minutes.tick() => self.closed_minutes().await,
                cuts = self.context.lives.cuts() => {
                    for (partition, cut) in cuts {
                        let from = (cut.ms / 60_000).saturating_sub(BEFORE_CUT);
                        self.attempt(partition, from..self.this_minute() + 1).await;
                    }
                }
                () = shutdown.triggered() => return Ok(()),
            }
            self.beat.beat();
        }
    }

    async fn closed_minutes(&self) {
        let now = self.this_minute();
        for partition in 0..self.context.stream.partitions() {
            for later in LATER {
                let minute = now.saturating_sub(later);
                self.attempt(partition, minute..minute + 1).await;
            }
        }
    }

    fn this_minute(&self) -> u64 {
        self.context.clock.now_ms() / 60_000
    }

    async fn attempt(&self, partition: u16, minutes: Range<u64>) {
        let from = minutes
            .start
            .max(self.this_minute().saturating_sub(BACK_MAX));
        match reconcile(&self.context, partition, from..minutes.end).await {
            Ok(0) => {}
            Ok(events) => {
                info!(partition, events, "counts that were missing are in");
                self.context.metrics.reconciled.increment(events);
            }
            Err(error) => warn!(partition, %error, "reconcile stopped"),
        }
    }
}

/// Compares the minute buckets `minutes` of `partition` with their receipts, newest first, and
/// settles where counts are missing. Returns the events added.
///
/// # Errors
/// [`BulkFailure`]; repeating is harmless.
pub async fn reconcile(
    context: &Context,
    partition: u16,
    minutes: Range<u64>,
) -> Result<u64, BulkFailure> {
    let differing = differing_buckets(context, partition, Step::Minute, minutes).await?;
    let mut added = 0;
    for bucket in differing.into_iter().rev() {
        let minute = bucket.number;
        if bucket.has_surplus() {
            warn!(
                partition,
                minute, "more counted than receipts say: run verify"
            );
        }
        if bucket.is_missing_counts() {
            added += settle(context, partition, second(minute)..second(minute + 1)).await?;
        }
    }
    Ok(added)
}

/// Settles the receipts of `partition` whose frames were received in the Unix seconds `seconds`:
/// only what was missing is added. Returns the events added.
///
/// # Errors
/// [`BulkFailure`]; repeating is harmless.
pub async fn settle(
    context: &Context,
    partition: u16,
    seconds: Range<u32>,
) -> Result<u64, BulkFailure> {
    let settles = context
        .inserter
        .receipts_of_seconds(partition, seconds)
        .await?;
    let life = context.lives.known(partition);
    let done = commit_all(context, partition, life, (&[], &settles)).await?;
    Ok(done.counted)
}

fn second(minute: u64) -> u32 {
    u32::try_from(minute * MINUTE).unwrap_or(u32::MAX)
}
