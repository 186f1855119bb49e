//! The model of MongoDB: a log of writes, and the point up to which it is safe.
//!
//! In a replica set a majority has it up to there, and a fail-over can roll back what lies beyond. A
//! server of its own has synced it up to there, shows what lies beyond to every read, and forgets it
//! when it is killed.

mod data;
mod op;
mod spans;

pub use self::data::{Collection, Data};
pub use self::op::{
    As, Document, Index, Key, Listed, Mark, Meta, MongoAnswer, MongoOp, ReadConcern, Receipt, Row,
    SpanOp, Standing,
};

use std::collections::{BTreeMap, BTreeSet};

use evp_processor::written::{Id, StoredFacts, Written};
use evp_shared::counters::Step;

use self::data::Entry;
use self::spans::Build;
use super::defect::Defect;
use super::span::Span;

/// MongoDB's code for a document its validator refuses.
const VALIDATION: i32 = 121;

/// A replica set, or a server of its own.
#[derive(Debug, Clone, Default)]
pub struct Mongo {
    log: Vec<Entry>,
    /// What the primary holds: the whole log.
    data: Data,
    /// What a member holds that has so many entries; reads of a majority are answered from it.
    behind: (usize, Data),
    /// What a majority has, or what is synced.
    majority: usize,
    /// Of a server of its own, the number of its process: each start gives it the next one.
    process: Option<u64>,
    /// True ms at which a majority had each entry.
    majority_at: Vec<u64>,
    /// True ms.
    pub now_ms: u64,
    /// Rolled back, and still shown by the deposed primary to local reads.
    ghosts: BTreeMap<Key, Document>,
    ghost_events: BTreeMap<Id, StoredFacts>,
    ghost_uuids: BTreeMap<Span, u64>,
    builds: Vec<Build>,
    uuids: u64,
    defect: Option<Defect>,
    /// Ms for which an index of a collection with documents is built.
    pub build_ms: u64,
    /// The highest marks a majority ever had.
    highest: (u64, u64),
    /// A mark fell.
    pub has_fallen: bool,
    /// The secondaries cannot be reached, or nothing is synced.
    pub is_alone: bool,
    /// Steps down in the middle of the next insert.
    pub is_stepping_down: bool,
    /// The next majority read is answered by a deposed primary that lacks the newest documents.
    pub is_stale: bool,
    /// Such a primary was asked for receipts: a reconcile has missed some.
    pub has_missed_receipts: bool,
    /// Refuses events of the type `bad`.
    pub has_validator: bool,
}

impl Mongo {
    /// A server with the span of undated events.
    pub fn new(is_standalone: bool, defect: Option<Defect>) -> Self {
        let mut fresh = Self {
            defect,
            process: is_standalone.then_some(0),
            ..Self::default()
        };
        fresh.create(Span::Undated);
        let row = Row {
            uuid: fresh.uuids,
            is_sealed: true,
            indexes: BTreeSet::new(),
        };
        fresh.push(Entry::Row(Span::Undated, row));
        fresh.has_majority(fresh.log.len());
        fresh
    }

    /// Runs `op` at true ms `now_ms`.
    pub fn run(&mut self, now_ms: u64, op: &MongoOp) -> MongoAnswer {
        self.now_ms = now_ms;
        self.finish_builds();
        match op {
            MongoOp::Insert(documents) => self.each(documents.len(), |mongo, at| {
                let (key, document) = &documents[at];
                mongo.put(key, document)
            }),
            MongoOp::Store(span, uuid, documents) => self.store(*span, *uuid, documents),
            MongoOp::Find(keys, concern) => self.find(keys, *concern),
            MongoOp::LookUp(span, ids, concern) => self.look_up(*span, ids, *concern),
            MongoOp::Server => MongoAnswer::Server(self.process),
            MongoOp::Sync => self.majority_answer(MongoAnswer::Done),
            MongoOp::Receipts(partition, minutes) => {
                self.has_missed_receipts |= self.is_stale;
                let seen = self.seen();
                let wanted = self.log[..seen].iter().filter_map(|entry| match entry {
                    Entry::Put(_, Document::Receipt(receipt)) => Some(&receipt.settle),
                    _ => None,
                });
                let wanted = wanted.filter(|settle| {
                    let minute = Step::Minute.bucket(settle.frame.second().into());
                    settle.frame.producer().partition() == *partition && minutes.contains(&minute)
                });
                MongoAnswer::Receipts(wanted.cloned().collect())
            }
            MongoOp::Span(op) => self.span(op),
        }
    }

    /// A fail-over, or a kill of a server of its own: what was safe is there, and `more` of what came
    /// after.
    pub fn step_down(&mut self, more: usize) {
        if let Some(process) = &mut self.process {
            *process += 1;
            self.builds.clear();
        }
        let kept = (self.majority + more).min(self.log.len());
        self.back_to(kept);
        self.has_majority(kept);
        self.is_alone = false;
        self.is_stepping_down = false;
    }

    /// Everything comes from a copy that has the first `kept` writes. What later ones said is not
    /// remembered by anybody, marks included.
    pub fn restore(&mut self, kept: usize) {
        self.back_to(kept);
        self.highest = (0, 0);
        self.majority_at.truncate(kept);
        self.has_majority(kept);
        self.heal();
    }

    fn back_to(&mut self, kept: usize) {
        if kept == self.log.len() {
            return;
        }
        self.data = self.data_at(kept).clone();
        let data = &self.data;
        for entry in self.log.drain(kept..) {
            match entry {
                // There is no deposed primary that could show it.
                _ if self.process.is_some() => {}
                Entry::Put(key, document) => {
                    self.ghosts.insert(key, document);
                }
                Entry::Store(_, facts) => {
                    self.ghost_events.insert(facts.event.id, facts);
                }
                Entry::Create(span, uuid) => {
                    self.ghost_uuids.insert(span, uuid);
                }
                _ => {}
            }
        }
        self.builds.retain(|build| build.is_in(data));
    }

    /// The secondaries are back.
    pub fn heal(&mut self) {
        self.has_majority(self.log.len());
        self.ghosts.clear();
        self.ghost_events.clear();
        self.ghost_uuids.clear();
        (self.is_alone, self.is_stepping_down, self.is_stale) = (false, false, false);
    }

    /// Writes only the primary has, or that are not synced.
    pub fn at_risk(&self) -> usize {
        self.log.len() - self.majority
    }

    /// Writes so far.
    pub fn written(&self) -> usize {
        self.log.len()
    }

    /// What the primary holds.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Every event stored, with its span.
    pub fn events(&self) -> impl Iterator<Item = (Span, &StoredFacts)> {
        let collections = self.data.collections.iter();
        collections.flat_map(|(span, at)| at.documents.values().map(|facts| (*span, facts)))
    }

    /// The receipts, with the true ms since when majority reads show them.
    pub fn receipts(&self) -> impl Iterator<Item = (&Receipt, u64)> {
        let shown = self.log.iter().zip(&self.majority_at);
        shown.filter_map(|(entry, at_ms)| match entry {
            Entry::Put(_, Document::Receipt(receipt)) => Some((receipt, *at_ms)),
            _ => None,
        })
    }

    fn push(&mut self, entry: Entry) {
        self.data.apply(&entry);
        self.log.push(entry);
    }

    fn has_majority(&mut self, count: usize) {
        self.majority = count;
        self.majority_at.resize(count, self.now_ms);
        let marks = (self.data.meta.floor_ms, self.data.meta.gone_ms);
        self.has_fallen |= marks.0 < self.highest.0 || marks.1 < self.highest.1;
        self.highest = (self.highest.0.max(marks.0), self.highest.1.max(marks.1));
    }

    /// `answer`, or a write concern error.
    fn majority_answer(&mut self, answer: MongoAnswer) -> MongoAnswer {
        if self.is_alone {
            return MongoAnswer::WriteConcernError(Vec::new());
        }
        self.has_majority(self.log.len());
        answer
    }

    fn seen(&mut self) -> usize {
        if self.process.is_some() {
            self.log.len()
        } else if std::mem::take(&mut self.is_stale) {
            self.majority.saturating_sub(6)
        } else {
            self.majority
        }
    }

    /// What a member with the first `seen` entries holds.
    fn data_at(&mut self, seen: usize) -> &Data {
        if seen == self.log.len() {
            return &self.data;
        }
        let (at, data) = &mut self.behind;
        if *at > seen {
            (*at, *data) = (0, Data::default());
        }
        for entry in &self.log[*at..seen] {
            data.apply(entry);
        }
        *at = seen;
        data
    }

    fn find(&mut self, keys: &[Key], concern: ReadConcern) -> MongoAnswer {
        let seen = self.seen();
        let mut found = BTreeMap::new();
        for key in keys {
            let document = match concern {
                ReadConcern::Majority => self.data_at(seen).documents.get(key),
                ReadConcern::Local => {
                    let own = self.data.documents.get(key);
                    own.or_else(|| self.ghosts.get(key))
                }
            };
            if let Some(document) = document {
                found.insert(key.clone(), document.clone());
            }
        }
        MongoAnswer::Found(found)
    }

    /// A missing collection is an empty one.
    fn look_up(&mut self, span: Span, ids: &[Id], concern: ReadConcern) -> MongoAnswer {
        let seen = self.seen();
        let mut found = BTreeMap::new();
        for id in ids {
            let facts = match concern {
                ReadConcern::Majority => self.data_at(seen).event(span, id),
                ReadConcern::Local => {
                    let own = self.data.event(span, id);
                    own.or_else(|| self.ghost_events.get(id))
                }
            };
            if let Some(facts) = facts {
                found.insert(*id, facts.clone());
            }
        }
        MongoAnswer::LookedUp(found)
    }

    fn store(&mut self, span: Span, uuid: Option<u64>, documents: &[StoredFacts]) -> MongoAnswer {
        match uuid {
            Some(uuid) if !self.data.is(span, uuid) => return MongoAnswer::Mismatch,
            None if !self.data.collections.contains_key(&span) => self.create(span),
            _ => {}
        }
        self.each(documents.len(), |mongo, at| {
            mongo.store_one(span, &documents[at])
        })
    }

    /// An unordered insert of `count` documents.
    fn each(&mut self, count: usize, one: impl Fn(&mut Self, usize) -> Written) -> MongoAnswer {
        let mut written = Vec::with_capacity(count);
        for at in 0..count {
            if self.is_stepping_down && at * 2 >= count {
                self.step_down(0);
                return MongoAnswer::Systemic;
            }
            written.push(one(self, at));
        }
        if self.is_alone {
            return MongoAnswer::WriteConcernError(written);
        }
        self.has_majority(self.log.len());
        MongoAnswer::Inserted(written)
    }

    fn store_one(&mut self, span: Span, facts: &StoredFacts) -> Written {
        // The validator is asked before the index.
        if self.has_validator && facts.event.event_type == "bad" {
            return Written::Refused {
                code: VALIDATION,
                message: "Document failed validation".to_owned(),
            };
        }
        if self.data.event(span, &facts.event.id).is_some() {
            return Written::DuplicateKey;
        }
        self.push(Entry::Store(span, facts.clone()));
        Written::Inserted
    }

    fn put(&mut self, key: &Key, document: &Document) -> Written {
        if self.data.documents.contains_key(key) {
            return Written::DuplicateKey;
        }
        let mut document = document.clone();
        if let Document::Receipt(receipt) = &mut document {
            receipt.settle.receipt_at_ms = self.now_ms / 1_000 * 1_000;
        }
        self.push(Entry::Put(key.clone(), document));
        Written::Inserted
    }
}
