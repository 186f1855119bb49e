//! Committing a bulk: what goes into which call of the commit script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evp_shared::stream::commit::{CELLS_MAX, CELLS_PER_ROW, ENTRIES_MAX};
use evp_shared::stream::{
    Commit, Committed, EntryAck, KeptWindow, Life, Settle, Stream, StreamError,
};
use tracing::error;

use crate::config::ProcessorConfig;
use crate::deliver::lives::Lives;
use crate::entry::Pending;
use crate::metrics::Metrics;
use crate::store::insert::StoreFailure;
use crate::store::receipt::WrittenReceipt;

/// Why a bulk was not committed. Its entries stay pending.
#[derive(Debug, thiserror::Error)]
pub enum BulkFailure {
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// Redis, or another life.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Entries whose work is done, and the receipts of their frames, by partition and the life they
/// were read in.
#[derive(Debug, Default)]
pub struct Batch(BTreeMap<(u16, Life), Part>);

#[derive(Debug, Default)]
struct Part {
    acks: Vec<EntryAck>,
    settles: Vec<Settle>,
}

impl Batch {
    /// Adds an entry to acknowledge, with the receipt of its frame if it held one.
    pub fn add(&mut self, entry: Pending, receipt: Option<WrittenReceipt>) {
        let part = self.0.entry((entry.partition, entry.life)).or_default();
        part.acks.push(entry.ack);
        part.settles
            .extend(receipt.map(WrittenReceipt::into_settle));
    }

    /// Whether a receipt is in it.
    pub fn has_receipts(&self) -> bool {
        self.0.values().any(|part| !part.settles.is_empty())
    }
}

/// Brings what is done into Redis.
#[derive(Debug)]
pub struct Committer {
    /// The stream commands.
    pub stream: Stream,
    /// The lives of the partitions.
    pub lives: Arc<Lives>,
    /// Redis is short of memory: no acknowledged entry is kept.
    pub memory_short: AtomicBool,
    kept_age: Duration,
    kept_bytes: u64,
    metrics: Arc<Metrics>,
}

impl Committer {
    /// Commits to `stream`.
    pub fn new(
        config: &ProcessorConfig,
        stream: Stream,
        lives: Arc<Lives>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stream,
            lives,
            memory_short: false.into(),
            kept_age: config.kept_age,
            kept_bytes: config.kept_bytes,
            metrics,
        }
    }

    /// Settles the receipts of `batch` and acknowledges its entries.
    ///
    /// In a new life the receipts alone are settled, at once: the entries may be gone with the old
    /// one, and then nobody but reconcile, minutes later, would count what is stored.
    ///
    /// # Errors
    /// [`StreamError`]; what was committed before it stays so, and repeating is harmless. After one
    /// that wants a hello, hello was said before the entries, which are pending, are read again.
    pub async fn commit(&self, batch: &Batch) -> Result<(), StreamError> {
        for ((partition, life), Part { acks, settles }) in &batch.0 {
            match self.commit_all(*partition, *life, acks, settles).await {
                Err(error) if error.wants_hello() => {
                    self.lives.greet_all().await?;
                    for ((partition, _), Part { settles, .. }) in &batch.0 {
                        let life = self.lives.known(*partition);
                        let sum = self.commit_all(*partition, life, &[], settles).await?;
                        self.metrics.committed(*partition, &sum);
                    }
                    return Err(error);
                }
                committed => self.metrics.committed(*partition, &committed?),
            }
        }
        Ok(())
    }

    /// Settles `receipts` of `partition` without an entry, and says what that did.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn settle(
        &self,
        partition: u16,
        receipts: Vec<WrittenReceipt>,
    ) -> Result<Committed, StreamError> {
        let settles = receipts.into_iter().map(WrittenReceipt::into_settle);
        let settles: Vec<Settle> = settles.collect();
        let life = self.lives.known(partition);
        self.commit_all(partition, life, &[], &settles).await
    }

    /// Commits in as many calls as the script's bounds ask for. Frames are settled before the last
    /// entry is acknowledged, so that a crash in between leaves an entry to settle the rest by.
    async fn commit_all(
        &self,
        partition: u16,
        life: Life,
        acks: &[EntryAck],
        settles: &[Settle],
    ) -> Result<Committed, StreamError> {
        let mut sum = Committed::default();
        for (acks, settles) in calls(acks, settles) {
            let commit = Commit {
                life,
                entries: acks,
                settles,
                kept: self.kept(),
            };
            let done = self.stream.commit(partition, &commit).await?;
            sum.counted += done.counted;
            sum.duplicates += done.duplicates;
            sum.dead_letters += done.dead_letters;
            sum.expired += done.expired;
            sum.left_to_verify += done.left_to_verify;
            sum.backlog_events = done.backlog_events;
            for failure in done.failures {
                error!(partition, failure, "counter not written: run verify");
            }
        }
        Ok(sum)
    }

    /// The kept window as of now.
    pub fn kept(&self) -> KeptWindow {
        KeptWindow {
            age: self.kept_age,
            bytes: self.kept_bytes,
            none: self.memory_short.load(Ordering::Relaxed),
        }
    }
}

/// Splits a commit at the script's bounds: settles first, entries with the last of them.
fn calls<'a>(acks: &'a [EntryAck], settles: &'a [Settle]) -> Vec<(&'a [EntryAck], &'a [Settle])> {
    let mut calls: Vec<(&[EntryAck], &[Settle])> = Vec::new();
    let mut rest = settles;
    while !rest.is_empty() {
        let mut cells = 0;
        let fit = rest.iter().take(ENTRIES_MAX).take_while(|settle| {
            cells += settle.counts.len() * CELLS_PER_ROW;
            cells <= CELLS_MAX
        });
        let (now, later) = rest.split_at(fit.count().max(1));
        calls.push((&[], now));
        rest = later;
    }
    let mut parts = acks.chunks(ENTRIES_MAX);
    if let Some(first) = parts.next() {
        let last_settles = calls.pop().map_or(&[][..], |(_, settles)| settles);
        calls.push((first, last_settles));
    }
    calls.extend(parts.map(|part| (part, &[][..])));
    calls
}

#[cfg(test)]
mod tests {
    use evp_shared::counters::CountRow;
    use evp_shared::frame::{FrameId, ProducerId};
    use evp_shared::stream::EntryId;

    use super::*;

    fn settle(rows: usize) -> Settle {
        let row = CountRow {
            tenant: "t".into(),
            event_type: "e".into(),
            count: 1,
        };
        Settle {
            frame: FrameId::new(1, ProducerId::new(0, 1), 1),
            receipt_at_ms: 0,
            counts: vec![row; rows],
            duplicates: 0,
            dead_letters: 0,
            expired: 0,
        }
    }

    fn acks(count: usize) -> Vec<EntryAck> {
        vec![
            EntryAck {
                id: EntryId::ZERO,
                events: 1,
                bytes: 1,
                stored_bytes: 1
            };
            count
        ]
    }

    #[test]
    fn a_call_keeps_the_bounds_of_the_script() {
        let sizes = |acks: &[EntryAck], settles: &[Settle]| -> Vec<(usize, usize)> {
            calls(acks, settles)
                .iter()
                .map(|(acks, settles)| (acks.len(), settles.len()))
                .collect()
        };
        assert_eq!(sizes(&acks(2), &[settle(1), settle(1)]), [(2, 2)]);
        assert_eq!(
            sizes(&acks(1), &[settle(900), settle(900)]),
            [(0, 1), (1, 1)]
        );
        assert_eq!(
            sizes(&acks(2_500), &[settle(1)]),
            [(1_000, 1), (1_000, 0), (500, 0)]
        );
        assert_eq!(sizes(&[], &[settle(1)]), [(0, 1)]);
        assert_eq!(sizes(&acks(1), &[]), [(1, 0)]);
        assert!(sizes(&[], &[]).is_empty());
    }
}
