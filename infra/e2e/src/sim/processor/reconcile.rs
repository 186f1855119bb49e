//! Reconcile: settles the receipts whose counts are missing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use evp_shared::counters::Step;
use evp_shared::stream::Settle;

use super::{Processor, Stopped};
use crate::sim::defect::Defect;
use crate::sim::mongo::{MongoAnswer, MongoOp};
use crate::sim::redis::{CommitOp, RedisAnswer, RedisOp};
use crate::sim::world::sleep;

/// How long after its end a minute is compared, in minutes.
const LATER: [u64; 2] = [2, 60];
/// How far before a cut forgotten commits may lie, in minutes.
const BEFORE_CUT: u64 = 10;
/// How far back, in minutes.
const BACK_MAX: u64 = 24 * 60;

impl Processor {
    /// The reconciler.
    pub async fn reconcile(self: Rc<Self>) {
        if self.has(Defect::NoReconcile) {
            return;
        }
        let mut seen = self.this_minute();
        loop {
            sleep(&self.world, 1_000).await;
            let cuts = std::mem::take(&mut *self.cuts.borrow_mut());
            for (partition, cut) in cuts {
                let from = (cut.ms / 60_000).saturating_sub(BEFORE_CUT);
                let minutes = from..self.this_minute() + 1;
                let done = self.attempt(partition, minutes).await;
                if done.is_err() && !self.has(Defect::CutTriedOnce) {
                    self.owe(partition, cut);
                }
            }
            let minute = self.this_minute();
            if minute != seen {
                seen = minute;
                for partition in 0..self.partitions() {
                    for later in LATER {
                        let closed = minute - later;
                        if self.attempt(partition, closed..closed + 1).await.is_err() {
                            // It is compared again at the next of LATER.
                            break;
                        }
                    }
                }
            }
        }
    }

    fn this_minute(&self) -> u64 {
        self.clock_ms() / 60_000
    }

    async fn attempt(&self, partition: u16, minutes: Range<u64>) -> Result<(), Stopped> {
        let oldest = self.this_minute().saturating_sub(BACK_MAX);
        let minutes = minutes.start.max(oldest)..minutes.end;
        let op = RedisOp::Minutes { partition };
        let RedisAnswer::Minutes(buckets) = self.redis(op).await? else {
            return Err(Stopped::Failed);
        };
        let receipts = self.receipts(partition, minutes.clone()).await?;
        let mut owed: BTreeMap<u64, i64> = BTreeMap::new();
        for settle in &receipts {
            let events: i64 = settle.counts.iter().map(|row| i64::from(row.count)).sum();
            *owed.entry(minute_of(settle)).or_default() += events;
        }
        for (minute, owed) in owed.into_iter().rev() {
            if buckets.get(&minute).copied().unwrap_or(0) >= owed {
                continue;
            }
            let since = self.server().await.map_err(|_| Stopped::Failed)?;
            let settles = self.receipts(partition, minute..minute + 1).await?;
            let sure = self.make_sure(since).await;
            sure.map_err(|_| Stopped::Failed)?;
            let life = self.lives.borrow()[usize::from(partition)];
            let op = CommitOp {
                partition,
                life,
                settles,
                ..self.kept()
            };
            self.commit(op).await?;
        }
        Ok(())
    }

    async fn receipts(&self, partition: u16, minutes: Range<u64>) -> Result<Vec<Settle>, Stopped> {
        match self.mongo(MongoOp::Receipts(partition, minutes)).await {
            Some(MongoAnswer::Receipts(receipts)) => Ok(receipts),
            _ => Err(Stopped::Failed),
        }
    }
}

fn minute_of(settle: &Settle) -> u64 {
    Step::Minute.bucket(settle.frame.second().into())
}
