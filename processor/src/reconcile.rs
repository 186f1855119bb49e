//! Reconcile: settles the receipts whose counts are missing.
//!
//! Truth is in MongoDB. A minute's bucket is compared with the receipts of its seconds two minutes
//! and one hour after it closed, and after a new life from ten minutes before the cut on. Settling
//! a receipt again is harmless, so finding too much to settle costs work and nothing else.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use evp_shared::counters::Step;
use evp_shared::health::Beat;
use evp_shared::shutdown::Shutdown;
use evp_shared::store::RECEIPTS;
use futures::TryStreamExt as _;
use tracing::{info, warn};

use crate::commit::commit_all;
use crate::context::Context;
use crate::insert::StoreFailure;
use crate::pipeline::BulkFailure;

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
    // The bucket is read first: what is committed between the two reads looks missing and is
    // settled again, which is harmless; the other way round it could look present and not be.
    let buckets = context
        .stream
        .count_buckets(partition, Step::Minute, minutes.clone())
        .await?;
    let receipts = receipt_sums(context, partition, minutes.clone()).await?;
    let mut added = 0;
    let compared: Vec<_> = minutes.zip(buckets).collect();
    for (minute, bucket) in compared.into_iter().rev() {
        let counted: i64 = bucket.values().sum();
        let owed = receipts.get(&minute).copied().unwrap_or(0);
        if counted > owed {
            warn!(
                partition,
                minute, counted, owed, "more counted than receipts say: run verify"
            );
        }
        if counted >= owed {
            continue;
        }
        let seconds = second(minute)..second(minute + 1);
        let settles = context
            .inserter
            .receipts_of_seconds(partition, seconds)
            .await?;
        let life = context.lives.known(partition);
        added += commit_all(context, partition, life, (&[], &settles))
            .await?
            .counted;
    }
    Ok(added)
}

/// Events per minute as the receipts have them.
async fn receipt_sums(
    context: &Context,
    partition: u16,
    minutes: Range<u64>,
) -> Result<HashMap<u64, i64>, StoreFailure> {
    let pipeline = [
        doc! { "$match": {
            "_id": { "$gte": first_of(minutes.start), "$lt": first_of(minutes.end) },
            "p": i32::from(partition),
        } },
        doc! { "$project": {
            "minute": { "$floor": { "$divide": [{ "$toLong": { "$toDate": "$_id" } }, 60_000] } },
            "events": { "$sum": { "$map": {
                "input": "$n", "in": { "$arrayElemAt": ["$$this", 2] },
            } } },
        } },
        doc! { "$group": { "_id": { "$toLong": "$minute" }, "events": { "$sum": "$events" } } },
    ];
    let receipts = context.inserter.database().collection::<Document>(RECEIPTS);
    let query = async move {
        receipts
            .aggregate(pipeline)
            .await?
            .try_collect::<Vec<_>>()
            .await
    };
    let found = context.inserter.within(query).await??;
    let sum = |document: &Document| {
        let minute = u64::try_from(document.get_i64("_id").ok()?).ok()?;
        Some((minute, document.get_i64("events").ok()?))
    };
    Ok(found.iter().filter_map(sum).collect())
}

fn second(minute: u64) -> u32 {
    u32::try_from(minute * MINUTE).unwrap_or(u32::MAX)
}

fn first_of(minute: u64) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&second(minute).to_be_bytes());
    ObjectId::from_bytes(bytes)
}
