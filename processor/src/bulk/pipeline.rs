//! One bulk on its way: open, insert, classify, dead letters, receipts, commit.
//!
//! Each step is safe to repeat, and each proves to the next that it is done: only the insert's
//! answer makes a receipt, only written receipts are committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use evp_shared::clock::Clock;
use evp_shared::frame::FrameId;
use evp_shared::store::EVENTS;
use evp_shared::stream::{Committed, EntryAck, Life, StreamError};
use tracing::{error, warn};

use crate::bulk::classify::{Classified, DeadEvent, classify, is_clean, to_look_up};
use crate::bulk::commit::{Batch, BulkFailure, Committer};
use crate::bulk::open::{OpenEntry, Opened, PoisonEntry, open_all};
use crate::bulk::sketch::Sketches;
use crate::entry::Delivery;
use crate::metrics::{Metrics, Stage};
use crate::store::dead_letter::DeadLetter;
use crate::store::insert::{Inserter, StoreFailure};
use crate::store::lookup::event_facts;
use crate::store::receipt::{Receipt, Receipts, known};
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
    pub sketches: Option<Arc<Sketches>>,
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
        let Opened {
            frames,
            poison,
            gone,
            foreign,
        } = open_all(deliveries, self.fingerprint);
        let mut batch = Batch::default();
        let (settled_before, fresh) = self.find_receipts(frames, &mut batch).await?;
        let mut letters = poison_letters(&poison, &mut batch);

        let started = self.clock.now();
        let outcomes = self.store(&fresh).await?;
        let stored = self.clock.now();
        self.metrics.stage(Stage::Insert, stored - started);

        let mut receipts = Vec::with_capacity(fresh.len());
        let mut news = Vec::with_capacity(fresh.len());
        let mut unknown = 0;
        for (entry, outcome) in fresh.iter().zip(outcomes) {
            match outcome {
                Outcome::Unknown => unknown += 1,
                Outcome::Done {
                    receipt,
                    dead,
                    inserted,
                } => {
                    news.push((entry, inserted));
                    letters.extend(dead_letters(entry, &dead));
                    batch.acknowledge(entry.partition, entry.life, entry.ack);
                    receipts.push(receipt);
                }
            }
        }
        self.room.take(&self.inserter, &letters, stored).await?;
        let is_confirmed =
            !letters.is_empty() || !receipts.is_empty() || !settled_before.settles().is_empty();
        self.inserter.keep_dead_letters(&letters).await?;
        self.metrics
            .dead_letters(letters.iter().map(DeadLetter::reason));
        let mut receipts = self
            .inserter
            .write_receipts(receipts, self.clock.now_ms())
            .await?;
        self.metrics
            .stage(Stage::Receipt, self.clock.now() - stored);
        receipts.extend(settled_before);
        self.acknowledge_gone(&gone, &mut batch);
        // Before the commit: if that fails, the events come again with a receipt and are not looked at.
        self.sketch(&news);
        self.commit(&batch, &receipts).await?;
        Ok(Processed {
            unknown,
            foreign,
            is_confirmed,
        })
    }

    /// Notes the events that this bulk inserted.
    fn sketch(&self, news: &[(&OpenEntry, Inserted)]) {
        let Some(sketches) = &self.sketches else {
            return;
        };
        let now = self.clock.now();
        for (entry, inserted) in news {
            let documents = entry.frame.iter().enumerate();
            let new = documents.filter(|(index, _)| inserted.has(*index));
            let received_at_ms = entry.frame.header.received_at_ms;
            let new = new.map(|(_, document)| document);
            sketches.note(received_at_ms, new, now);
        }
    }

    /// Commits, and says hello before the entries, which are then pending, are read again.
    ///
    /// In a new life the receipts are settled at once: the entries may be gone with the old one, and
    /// then nobody but reconcile, minutes later, would count what is stored.
    async fn commit(&self, batch: &Batch, receipts: &Receipts) -> Result<(), StreamError> {
        let since = self.clock.now();
        let committed = match self.committer.commit(batch, receipts).await {
            Err(error) if error.wants_hello() => {
                self.committer.lives.greet_all().await?;
                report_failures(&self.committer.commit(&Batch::default(), receipts).await?);
                return Err(error);
            }
            committed => committed?,
        };
        self.metrics.stage(Stage::Commit, self.clock.now() - since);
        report_failures(&committed);
        Ok(())
    }

    /// Sorts out the redelivered frames whose receipt exists: their documents were safe before it was
    /// written, so they go straight to commit.
    async fn find_receipts(
        &self,
        frames: Vec<OpenEntry>,
        batch: &mut Batch,
    ) -> Result<(Receipts, Vec<OpenEntry>), StoreFailure> {
        let redelivered: Vec<FrameId> = frames
            .iter()
            .filter(|entry| entry.redelivered)
            .map(|entry| entry.frame.header.id)
            .collect();
        let found = self.inserter.find_receipts(&redelivered).await?;
        let mut fresh = Vec::with_capacity(frames.len());
        let mut settles = Vec::with_capacity(found.len());
        for entry in frames {
            let receipt = found.get(&entry.frame.header.id);
            match receipt.filter(|_| entry.redelivered) {
                Some(receipt) => {
                    batch.acknowledge(entry.partition, entry.life, entry.ack);
                    settles.push(receipt.clone());
                }
                None => fresh.push(entry),
            }
        }
        Ok((known(settles), fresh))
    }

    /// Inserts every document of `entries` with one command, and decides what became of each frame.
    async fn store(&self, entries: &[OpenEntry]) -> Result<Vec<Outcome>, StoreFailure> {
        let documents: Vec<&[u8]> = entries
            .iter()
            .flat_map(|entry| entry.frame.iter())
            .collect();
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a bulk is far smaller than 2^52"
        )]
        self.metrics.bulk_events.record(documents.len() as f64);
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
            let (own, after) = rest
                .split_at_checked(entry.frame.events as usize)
                .ok_or(StoreFailure::Protocol)?;
            rest = after;
            outcomes.push(self.decide(entry, own).await?);
        }
        Ok(outcomes)
    }

    async fn decide(
        &self,
        entry: &OpenEntry,
        written: &[Written],
    ) -> Result<Outcome, StoreFailure> {
        let frame = entry.frame.header.id;
        if is_clean(written) {
            let counts = entry.frame.header.counts.clone();
            let receipt = Receipt {
                frame,
                counts,
                duplicates: 0,
                dead_letters: 0,
            };
            return Ok(Outcome::Done {
                receipt,
                dead: Vec::new(),
                inserted: Inserted::All,
            });
        }
        let facts: Option<Vec<EventFacts>> = entry.frame.iter().map(event_facts).collect();
        // Opening the frame checked where its documents begin.
        let facts = facts.ok_or(StoreFailure::Protocol)?;
        let stored = self.inserter.look_up(&to_look_up(&facts, written)).await?;
        Ok(match classify(&frame.bytes(), &facts, written, &stored) {
            Classified::Unknown => Outcome::Unknown,
            Classified::Done {
                counts,
                duplicates,
                dead,
            } => {
                let dead_letters = u32::try_from(dead.len()).unwrap_or(u32::MAX);
                let receipt = Receipt {
                    frame,
                    counts,
                    duplicates,
                    dead_letters,
                };
                let dead = dead
                    .into_iter()
                    .filter_map(|event| Some((facts.get(event.index)?.clone(), event)))
                    .map(|(facts, event)| (event, facts))
                    .collect();
                let is_inserted = |one: &Written| *one == Written::Inserted;
                Outcome::Done {
                    receipt,
                    dead,
                    inserted: Inserted::These(written.iter().map(is_inserted).collect()),
                }
            }
        })
    }

    fn acknowledge_gone(&self, gone: &[(u16, Life, EntryAck)], batch: &mut Batch) {
        for (partition, life, ack) in gone {
            batch.acknowledge(*partition, *life, *ack);
        }
        if !gone.is_empty() {
            self.metrics.entries_lost.increment(gone.len() as u64);
            error!(entries = gone.len(), "pending entries were deleted");
        }
    }
}

/// The dead letters of entries that do not decode, which are then acknowledged without a receipt.
fn poison_letters(poison: &[PoisonEntry], batch: &mut Batch) -> Vec<DeadLetter> {
    poison
        .iter()
        .map(
            |PoisonEntry {
                 entry,
                 raw,
                 life,
                 ack,
                 error,
             }| {
                let detail = error_chain(error);
                warn!(partition = entry.partition, entry = %entry.id, detail, "poison entry");
                batch.acknowledge(entry.partition, *life, *ack);
                DeadLetter::of_entry(entry, raw, *life, &detail)
            },
        )
        .collect()
}

fn report_failures(committed: &BTreeMap<u16, Committed>) {
    for (partition, sum) in committed {
        for failure in &sum.failures {
            error!(partition, failure, "counter not written: run verify");
        }
    }
}

enum Outcome {
    Done {
        receipt: Receipt,
        dead: Vec<(DeadEvent, EventFacts)>,
        inserted: Inserted,
    },
    Unknown,
}

/// Which documents of a frame this bulk inserted.
enum Inserted {
    All,
    These(Vec<bool>),
}

impl Inserted {
    fn has(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.get(index).copied().unwrap_or(false),
        }
    }
}

fn dead_letters(entry: &OpenEntry, dead: &[(DeadEvent, EventFacts)]) -> Vec<DeadLetter> {
    let frame = entry.frame.header.id.bytes();
    dead.iter()
        .filter_map(|(event, facts)| {
            let document = entry.frame.iter().nth(event.index)?;
            let why = (event.reason, event.detail.as_str());
            Some(DeadLetter::of_event(
                frame,
                entry.partition,
                (facts, document),
                why,
            ))
        })
        .collect()
}

/// An error with its causes, for a dead letter's detail.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
