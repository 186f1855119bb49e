//! One bulk on its way: open, insert, look up, classify, dead letters, receipts, commit.
//!
//! A frame goes on when every command with a document of it was answered well; the others of the bulk
//! stay pending.
//!
//! Each step is safe to repeat, and each proves to the next that it is done: only the insert's
//! answer makes a receipt, only written receipts are committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::frame::FrameId;
use evp_shared::service::Chain;
use evp_shared::stream::EntryId;
use evp_shared::telemetry::{Weighted, as_f64};
use tracing::{error, warn};

use crate::bulk::classify::{Classified, DeadEvent, classify, is_clean, to_look_up};
use crate::bulk::commit::{Batch, BulkFailure, Committer};
use crate::bulk::open::{OpenEntry, PoisonEntry, open_all};
use crate::bulk::sketch::Sketches;
use crate::entry::{Delivery, Pending};
use crate::metrics::Metrics;
use crate::store::dead_letter::DeadLetter;
use crate::store::events::Events;
use crate::store::insert::{Inserter, StoreFailure};
use crate::store::lookup::event_facts;
use crate::store::parts::{ToStore, oldest};
use crate::store::receipt::Receipt;
use crate::store::room::Room;
use crate::written::{EventFacts, Id, StoredFacts, Written};

/// What became of a bulk.
#[derive(Debug, Default)]
pub struct Processed {
    /// Frames that stay pending because an event of theirs is unknown.
    pub unknown: usize,
    /// Entries that stay pending because they were made under another identity.
    pub foreign: usize,
    /// Entries that stay pending because a command with a document of theirs failed, while others of
    /// the bulk got through.
    pub failed: Vec<(u16, EntryId)>,
    /// What the first of those commands said.
    pub failure: Option<StoreFailure>,
    /// Commands its events took.
    pub commands: usize,
    /// Whether MongoDB has confirmed a write, now or by a receipt, so that it is known to work.
    pub is_confirmed: bool,
}

/// Brings bulks into MongoDB and the counters.
#[derive(Debug)]
pub struct Pipeline {
    /// That of this service's identity.
    pub fingerprint: u32,
    /// The way of events into MongoDB.
    pub events: Arc<Events>,
    /// The way of the rest into MongoDB.
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
    /// [`BulkFailure`]: everything stays pending; repeating is harmless. For MongoDB's sake only when
    /// no frame got through.
    pub async fn process(&self, deliveries: Vec<Delivery>) -> Result<Processed, BulkFailure> {
        let opened = open_all(deliveries, self.fingerprint);
        let mut batch = Batch::default();
        let (fresh, settled) = self.take_settled(opened.frames, &mut batch).await?;
        let mut letters: Vec<DeadLetter> = opened.poison.iter().map(poison_letter).collect();

        let started = self.clock.now();
        let mut processed = Processed {
            foreign: opened.foreign,
            ..Processed::default()
        };
        let outcomes = self.store(&fresh, &mut processed).await?;
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
        let stored = done.iter().map(|(entry, _)| *entry);
        took(&self.metrics.stored_after, stored, self.clock.now_ms());
        for ((entry, _), receipt) in done.iter().zip(receipts) {
            batch.add(entry.pending, Some(receipt));
        }
        processed.is_confirmed = !letters.is_empty() || batch.has_receipts();
        let poison = opened.poison.iter().map(|entry| entry.pending);
        poison.for_each(|entry| batch.add(entry, None));
        self.add_gone(opened.gone, &mut batch);
        // Before the commit: if that fails, the events come again with a receipt and are not looked at.
        self.sketch(&done);
        let since = self.clock.now();
        self.committer.commit(&batch).await?;
        self.metrics.commit.record(self.clock.now() - since);
        let counted = done.iter().map(|(entry, _)| *entry).chain(&settled);
        took(&self.metrics.counted_after, counted, self.clock.now_ms());
        Ok(processed)
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
    /// it was written, so they go straight to commit. Returns the others, and those.
    async fn take_settled(
        &self,
        frames: Vec<OpenEntry>,
        batch: &mut Batch,
    ) -> Result<(Vec<OpenEntry>, Vec<OpenEntry>), StoreFailure> {
        let redelivered = frames.iter().filter(|entry| entry.redelivered);
        let redelivered: Vec<FrameId> = redelivered.map(|entry| entry.frame.header.id).collect();
        let read = || self.inserter.find_receipts(&redelivered);
        let found = self.inserter.sure(read).await?;
        let (mut fresh, mut settled) = (Vec::with_capacity(frames.len()), Vec::new());
        for entry in frames {
            let receipt = found.get(&entry.frame.header.id);
            match receipt.filter(|_| entry.redelivered) {
                Some(receipt) => {
                    batch.add(entry.pending, Some(receipt.clone()));
                    settled.push(entry);
                }
                None => fresh.push(entry),
            }
        }
        Ok((fresh, settled))
    }

    /// Inserts every document of `entries`, and decides what became of each frame; `None` where that
    /// is not known, which is told in `processed`.
    async fn store(
        &self,
        entries: &[OpenEntry],
        processed: &mut Processed,
    ) -> Result<Vec<Option<Outcome>>, StoreFailure> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let frames = entries.iter().map(|entry| ToStore {
            frame: &entry.frame,
            redelivered: entry.redelivered,
        });
        let frames: Vec<ToStore<'_>> = frames.collect();
        let mut stored = self.events.insert(&frames).await?;
        processed.commands = stored.commands;
        self.metrics.suspects.increment(stored.suspects as u64);
        let events: usize = frames.iter().map(|one| one.frame.events as usize).sum();
        self.metrics.bulk_events.record(as_f64(events));

        let mut open = Vec::with_capacity(entries.len());
        let mut found = std::mem::take(&mut stored.found);
        let mut ids = Vec::new();
        for (entry, written) in entries.iter().zip(stored.frames()) {
            let Some((written, oldest_ms)) = written else {
                processed.failed.push(entry.pending.key());
                continue;
            };
            let facts = facts_to_decide(entry, written)?;
            let unknown = to_look_up(&facts, written).into_iter();
            ids.extend(unknown.filter(|id| !found.contains_key(id)));
            open.push((entry, written, oldest_ms, facts));
        }
        found.extend(self.events.look_up(&ids).await?);
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut open = open.into_iter().peekable();
        for entry in entries {
            let own = open.next_if(|(other, ..)| std::ptr::eq(*other, entry));
            let Some((_, written, oldest_ms, facts)) = own else {
                outcomes.push(None);
                continue;
            };
            let outcome = if is_clean(written) {
                Some(Outcome::clean(entry, oldest_ms))
            } else {
                self.decide(entry, (&facts, written), &found)
            };
            processed.unknown += usize::from(outcome.is_none());
            outcomes.push(outcome);
        }
        processed.failure = stored.failure.take();
        Ok(outcomes)
    }

    /// What became of a frame; `None` when an event of it is unknown.
    fn decide(
        &self,
        entry: &OpenEntry,
        (facts, written): (&[EventFacts], &[Written]),
        stored: &HashMap<Id, StoredFacts>,
    ) -> Option<Outcome> {
        let header = &entry.frame.header;
        let Classified::Done {
            counts,
            duplicates,
            expired,
            dead,
            counted,
        } = classify(&header.id.bytes(), facts, written, stored)
        else {
            return None;
        };
        let letter = |dead: &DeadEvent| {
            let facts = facts.get(dead.index)?;
            let document = entry.frame.iter().nth(dead.index)?;
            let (reason, detail) = (dead.reason, &dead.detail);
            Some(DeadLetter::of_event(
                header.id, facts, document, reason, detail,
            ))
        };
        let counted = counted.iter().filter_map(|index| facts.get(*index));
        let times_ms = counted.map(|event| self.events.spans.layout.time_ms(&event.id));
        let is_inserted = |one: &Written| *one == Written::Inserted;
        Some(Outcome {
            receipt: Receipt {
                frame: header.id,
                counts,
                duplicates,
                dead_letters: u32::try_from(dead.len()).unwrap_or(u32::MAX),
                expired,
                oldest_ms: times_ms.fold(None, oldest),
            },
            letters: dead.iter().filter_map(letter).collect(),
            inserted: Some(written.iter().map(is_inserted).collect()),
        })
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

/// Notes how long the events of `entries` took until now.
fn took<'a>(times: &Weighted, entries: impl Iterator<Item = &'a OpenEntry>, now_ms: u64) {
    for OpenEntry { frame, .. } in entries {
        let took_ms = now_ms.saturating_sub(frame.header.received_at_ms);
        times.record(Duration::from_millis(took_ms), u64::from(frame.events));
    }
}

/// What became of a frame all of whose events are known.
struct Outcome {
    receipt: Receipt,
    letters: Vec<DeadLetter>,
    /// Which of its documents this bulk inserted; `None` for all.
    inserted: Option<Vec<bool>>,
}

impl Outcome {
    /// That of a frame all of whose events were inserted by this bulk.
    fn clean(entry: &OpenEntry, oldest_ms: Option<u64>) -> Self {
        let header = &entry.frame.header;
        Self {
            receipt: Receipt {
                frame: header.id,
                counts: header.counts.clone(),
                duplicates: 0,
                dead_letters: 0,
                expired: 0,
                oldest_ms,
            },
            letters: Vec::new(),
            inserted: None,
        }
    }
}

/// What identifies the events of a frame, where there is anything to decide.
fn facts_to_decide(
    entry: &OpenEntry,
    written: &[Written],
) -> Result<Vec<EventFacts>, StoreFailure> {
    if is_clean(written) {
        return Ok(Vec::new());
    }
    let facts: Option<Vec<EventFacts>> = entry.frame.iter().map(event_facts).collect();
    // Opening the frame checked where its documents begin.
    facts.ok_or(StoreFailure::Protocol)
}

/// The dead letter of an entry that does not decode, which is then acknowledged without a receipt.
fn poison_letter(poison: &PoisonEntry) -> DeadLetter {
    let (entry, detail) = (poison.pending, Chain(&poison.error).to_string());
    warn!(partition = entry.partition, entry = %entry.ack.id, detail, "poison entry");
    DeadLetter::of_entry(entry, &poison.raw, &detail)
}
