//! One bulk on its way: open, insert, classify, dead letters, receipts, commit.
//!
//! Each step is safe to repeat, and each proves to the next that it is done: only the insert's
//! answer makes a receipt, only written receipts are committed.

use std::sync::Arc;

use evp_shared::clock::Clock;
use evp_shared::frame::FrameId;
use evp_shared::service::Chain;
use evp_shared::store::EVENTS;
use evp_shared::telemetry::as_f64;
use tracing::{error, warn};

use crate::bulk::classify::{Classified, DeadEvent, classify, is_clean, to_look_up};
use crate::bulk::commit::{Batch, BulkFailure, Committer};
use crate::bulk::open::{OpenEntry, PoisonEntry, open_all};
use crate::bulk::sketch::Sketches;
use crate::entry::{Delivery, Pending};
use crate::metrics::Metrics;
use crate::store::dead_letter::DeadLetter;
use crate::store::insert::{Inserter, StoreFailure};
use crate::store::lookup::event_facts;
use crate::store::receipt::Receipt;
use crate::store::room::Room;
use crate::written::{EventFacts, Written};

/// What became of a bulk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Processed {
    /// Frames that stay pending because an event of theirs is unknown.
    pub unknown: usize,
    /// Entries that stay pending because they were made under another identity.
    pub foreign: usize,
    /// Whether MongoDB has confirmed a write, now or by a receipt, so that it is known to work.
    pub is_confirmed: bool,
}

/// Brings bulks into MongoDB and the counters.
#[derive(Debug)]
pub struct Pipeline {
    /// That of this service's identity.
    pub fingerprint: u32,
    /// The way to MongoDB.
    pub inserter: Inserter,
    /// The way to the counters.
    pub committer: Arc<Committer>,
    /// Room among the dead letters.
    pub room: Arc<Room>,
    /// Where new events are noted; `None` where they are not.
    pub sketches: Option<Sketches>,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

impl Pipeline {
    /// Brings the events of `deliveries` into MongoDB and the counters, and acknowledges them.
    ///
    /// # Errors
    /// [`BulkFailure`]: everything stays pending; repeating is harmless.
    pub async fn process(&self, deliveries: Vec<Delivery>) -> Result<Processed, BulkFailure> {
        let opened = open_all(deliveries, self.fingerprint);
        let mut batch = Batch::default();
        let fresh = self.take_settled(opened.frames, &mut batch).await?;
        let mut letters: Vec<DeadLetter> = opened.poison.iter().map(poison_letter).collect();

        let started = self.clock.now();
        let outcomes = self.store(&fresh).await?;
        let stored = self.clock.now();
        self.metrics.insert.record(stored - started);

        let mut receipts = Vec::with_capacity(fresh.len());
        let mut done = Vec::with_capacity(fresh.len());
        for (entry, outcome) in fresh.iter().zip(outcomes) {
            if let Some(outcome) = outcome {
                letters.extend(outcome.letters);
                receipts.push(outcome.receipt);
                done.push((entry, outcome.inserted));
            }
        }
        self.room.take(&self.inserter, &letters, stored).await?;
        self.inserter.keep_dead_letters(&letters).await?;
        for letter in &letters {
            self.metrics.dead_letters[letter.reason as usize].increment(1);
        }
        let now_ms = self.clock.now_ms();
        let receipts = self.inserter.write_receipts(receipts, now_ms).await?;
        let written = self.clock.now();
        self.metrics.receipt.record(written - stored);
        for ((entry, _), receipt) in done.iter().zip(receipts) {
            batch.add(entry.pending, Some(receipt));
        }
        let is_confirmed = !letters.is_empty() || batch.has_receipts();
        let poison = opened.poison.iter().map(|entry| entry.pending);
        poison.for_each(|entry| batch.add(entry, None));
        self.add_gone(opened.gone, &mut batch);
        // Before the commit: if that fails, the events come again with a receipt and are not looked at.
        self.sketch(&done);
        let since = self.clock.now();
        self.committer.commit(&batch).await?;
        self.metrics.commit.record(self.clock.now() - since);
        Ok(Processed {
            unknown: fresh.len() - done.len(),
            foreign: opened.foreign,
            is_confirmed,
        })
    }

    /// Notes the events that this bulk inserted.
    fn sketch(&self, done: &[(&OpenEntry, Option<Vec<bool>>)]) {
        let Some(sketches) = &self.sketches else {
            return;
        };
        let now = self.clock.now();
        for (entry, inserted) in done {
            let is_new = |index: usize| {
                let these = inserted.as_ref();
                these.is_none_or(|these| these.get(index).copied().unwrap_or(false))
            };
            let documents = entry.frame.iter().enumerate();
            let new = documents.filter(|(index, _)| is_new(*index));
            let received_at_ms = entry.frame.header.received_at_ms;
            sketches.note(received_at_ms, new.map(|(_, document)| document), now);
        }
    }

    /// Adds the redelivered frames whose receipt exists to `batch`: their documents were safe before
    /// it was written, so they go straight to commit. Returns the others.
    async fn take_settled(
        &self,
        frames: Vec<OpenEntry>,
        batch: &mut Batch,
    ) -> Result<Vec<OpenEntry>, StoreFailure> {
        let redelivered = frames.iter().filter(|entry| entry.redelivered);
        let redelivered: Vec<FrameId> = redelivered.map(|entry| entry.frame.header.id).collect();
        let found = self.inserter.find_receipts(&redelivered).await?;
        let mut fresh = Vec::with_capacity(frames.len());
        for entry in frames {
            let receipt = found.get(&entry.frame.header.id);
            match receipt.filter(|_| entry.redelivered) {
                Some(receipt) => batch.add(entry.pending, Some(receipt.clone())),
                None => fresh.push(entry),
            }
        }
        Ok(fresh)
    }

    /// Inserts every document of `entries` with one command, and decides what became of each frame.
    async fn store(&self, entries: &[OpenEntry]) -> Result<Vec<Option<Outcome>>, StoreFailure> {
        let documents = entries.iter().flat_map(|entry| entry.frame.iter());
        let documents: Vec<&[u8]> = documents.collect();
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        self.metrics.bulk_events.record(as_f64(documents.len()));
        // A frame that is alone in its bulk may be alone because it fails.
        let written = match entries {
            [one] => {
                let frame = one.frame.header.id;
                self.inserter.insert_alone(frame, &documents).await?
            }
            _ => self.inserter.insert(EVENTS, &documents).await?,
        };
        let mut rest = written.as_slice();
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let parts = rest.split_at_checked(entry.frame.events as usize);
            let (own, after) = parts.ok_or(StoreFailure::Protocol)?;
            rest = after;
            outcomes.push(self.decide(entry, own).await?);
        }
        Ok(outcomes)
    }

    /// What became of a frame; `None` when an event of it is unknown.
    async fn decide(
        &self,
        entry: &OpenEntry,
        written: &[Written],
    ) -> Result<Option<Outcome>, StoreFailure> {
        let header = &entry.frame.header;
        let mut outcome = Outcome {
            receipt: Receipt {
                frame: header.id,
                counts: Vec::new(),
                duplicates: 0,
                dead_letters: 0,
            },
            letters: Vec::new(),
            inserted: None,
        };
        if is_clean(written) {
            outcome.receipt.counts.clone_from(&header.counts);
            return Ok(Some(outcome));
        }
        let facts: Option<Vec<EventFacts>> = entry.frame.iter().map(event_facts).collect();
        // Opening the frame checked where its documents begin.
        let facts = facts.ok_or(StoreFailure::Protocol)?;
        let stored = self.inserter.look_up(&to_look_up(&facts, written)).await?;
        let Classified::Done {
            counts,
            duplicates,
            dead,
        } = classify(&header.id.bytes(), &facts, written, &stored)
        else {
            return Ok(None);
        };
        let letter = |dead: &DeadEvent| {
            let facts = facts.get(dead.index)?;
            let document = entry.frame.iter().nth(dead.index)?;
            let (reason, detail) = (dead.reason, &dead.detail);
            Some(DeadLetter::of_event(
                header.id, facts, document, reason, detail,
            ))
        };
        let is_inserted = |one: &Written| *one == Written::Inserted;
        outcome.receipt.counts = counts;
        outcome.receipt.duplicates = duplicates;
        outcome.receipt.dead_letters = u32::try_from(dead.len()).unwrap_or(u32::MAX);
        outcome.letters = dead.iter().filter_map(letter).collect();
        outcome.inserted = Some(written.iter().map(is_inserted).collect());
        Ok(Some(outcome))
    }

    fn add_gone(&self, gone: Vec<Pending>, batch: &mut Batch) {
        let entries = gone.len();
        if entries > 0 {
            self.metrics.entries_lost.increment(entries as u64);
            error!(entries, "pending entries were deleted");
        }
        gone.into_iter().for_each(|entry| batch.add(entry, None));
    }
}

/// What became of a frame all of whose events are known.
struct Outcome {
    receipt: Receipt,
    letters: Vec<DeadLetter>,
    /// Which of its documents this bulk inserted; `None` for all.
    inserted: Option<Vec<bool>>,
}

/// The dead letter of an entry that does not decode, which is then acknowledged without a receipt.
fn poison_letter(poison: &PoisonEntry) -> DeadLetter {
    let (entry, detail) = (poison.pending, Chain(&poison.error).to_string());
    warn!(partition = entry.partition, entry = %entry.ack.id, detail, "poison entry");
    DeadLetter::of_entry(entry, &poison.raw, &detail)
}
