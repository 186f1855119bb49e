//! The model of MongoDB: a primary's log of inserts and the point up to which a majority has it,
//! so that a fail-over can roll back what lies beyond.

use std::collections::BTreeMap;

use evp_processor::written::{Id, StoredFacts, Written};
use evp_shared::counters::Step;
use evp_shared::frame::FrameId;
use evp_shared::stream::Settle;

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// In `events`.
    Event(Id),
    /// In `receipts`.
    Receipt(FrameId),
    /// In `dead_letters`.
    Dead(Id, FrameId),
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Of `events`.
    Event(StoredFacts),
    /// Of `receipts`, with the server's time of writing.
    Receipt(Settle),
    /// Of `dead_letters`, with the event's type.
    Dead(String),
}

/// What a read may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadConcern {
    /// What a majority has.
    Majority,
    /// What the server asked happens to have.
    Local,
}

/// What can be asked of MongoDB.
#[derive(Debug, Clone)]
pub enum MongoOp {
    /// One unordered insert with write concern majority.
    Insert(Vec<(Key, Document)>),
    /// Documents by `_id`.
    Find(Vec<Key>, ReadConcern),
    /// The receipts of a partition whose frames were received in these minutes.
    Receipts(u16, std::ops::Range<u64>),
}

/// What MongoDB answers.
#[derive(Debug, Clone)]
pub enum MongoAnswer {
    /// What became of each document.
    Inserted(Vec<Written>),
    /// As well, but a write concern error stands beside it.
    WriteConcernError(Vec<Written>),
    /// A code outside the closed list, in `writeErrors` or for the command: 189 and its like.
    Systemic,
    /// What was found.
    Found(BTreeMap<Key, Document>),
    /// Receipts.
    Receipts(Vec<Settle>),
}

/// MongoDB's code for a document its validator refuses.
const VALIDATION: i32 = 121;

/// A replica set.
#[derive(Debug, Clone, Default)]
pub struct Mongo {
    log: Vec<(Key, Document)>,
    at: BTreeMap<Key, usize>,
    majority: usize,
    /// True ms at which a majority had each document.
    majority_at: Vec<u64>,
    /// True ms.
    pub now_ms: u64,
    /// Rolled back, and still shown by the deposed primary to local reads.
    ghosts: BTreeMap<Key, Document>,
    /// The secondaries cannot be reached.
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
    /// Runs `op` at true ms `now_ms`.
    pub fn run(&mut self, now_ms: u64, op: &MongoOp) -> MongoAnswer {
        self.now_ms = now_ms;
        match op {
            MongoOp::Insert(documents) => self.insert(now_ms, documents),
            MongoOp::Find(keys, concern) => {
                let seen = self.seen();
                let found = keys.iter().filter_map(|key| {
                    let found = self.visible(key, *concern, seen)?;
                    Some((key.clone(), found.clone()))
                });
                MongoAnswer::Found(found.collect())
            }
            MongoOp::Receipts(partition, minutes) => {
                self.has_missed_receipts |= self.is_stale;
                let seen = self.seen();
                let found = self.log[..seen].iter().filter_map(|(_, one)| match one {
                    Document::Receipt(settle) => Some(settle),
                    Document::Event(_) | Document::Dead(_) => None,
                });
                let wanted = found.filter(|settle| {
                    let minute = Step::Minute.bucket(settle.frame.second().into());
                    settle.frame.producer().partition() == *partition && minutes.contains(&minute)
                });
                MongoAnswer::Receipts(wanted.cloned().collect())
            }
        }
    }

    /// A fail-over: the new primary has what a majority had, and `more` of what came after.
    pub fn step_down(&mut self, more: usize) {
        let kept = (self.majority + more).min(self.log.len());
        for (key, document) in self.log.drain(kept..) {
            self.at.remove(&key);
            self.ghosts.insert(key, document);
        }
        self.has_majority(kept);
        self.is_alone = false;
        self.is_stepping_down = false;
    }

    /// The secondaries are back.
    pub fn heal(&mut self) {
        self.has_majority(self.log.len());
        self.ghosts.clear();
        (self.is_alone, self.is_stepping_down, self.is_stale) = (false, false, false);
    }

    /// Documents only the primary has.
    pub fn at_risk(&self) -> usize {
        self.log.len() - self.majority
    }

    /// Everything stored, in the order of writing.
    pub fn documents(&self) -> impl Iterator<Item = &(Key, Document)> {
        self.log.iter()
    }

    /// The receipts, with the true ms since when majority reads show them.
    pub fn receipts(&self) -> impl Iterator<Item = (&Settle, u64)> {
        let shown = self.log.iter().zip(&self.majority_at);
        shown.filter_map(|((_, document), at_ms)| match document {
            Document::Receipt(settle) => Some((settle, *at_ms)),
            Document::Event(_) | Document::Dead(_) => None,
        })
    }

    /// Whether there is a document at `key`.
    pub fn holds(&self, key: &Key) -> bool {
        self.at.contains_key(key)
    }

    fn has_majority(&mut self, count: usize) {
        self.majority = count;
        self.majority_at.resize(count, self.now_ms);
    }

    fn seen(&mut self) -> usize {
        if std::mem::take(&mut self.is_stale) {
            self.majority.saturating_sub(6)
        } else {
            self.majority
        }
    }

    fn visible(&self, key: &Key, concern: ReadConcern, seen: usize) -> Option<&Document> {
        let at = self.at.get(key);
        match concern {
            ReadConcern::Majority => at.filter(|at| **at < seen).map(|at| &self.log[*at].1),
            ReadConcern::Local => match at {
                Some(at) => Some(&self.log[*at].1),
                None => self.ghosts.get(key),
            },
        }
    }

    fn insert(&mut self, now_ms: u64, documents: &[(Key, Document)]) -> MongoAnswer {
        let mut written = Vec::with_capacity(documents.len());
        for (index, (key, document)) in documents.iter().enumerate() {
            if self.is_stepping_down && index * 2 >= documents.len() {
                self.step_down(0);
                return MongoAnswer::Systemic;
            }
            written.push(self.insert_one(now_ms, key, document));
        }
        if self.is_alone {
            return MongoAnswer::WriteConcernError(written);
        }
        self.has_majority(self.log.len());
        MongoAnswer::Inserted(written)
    }

    fn insert_one(&mut self, now_ms: u64, key: &Key, document: &Document) -> Written {
        // The validator is asked before the index.
        let mut document = document.clone();
        match &mut document {
            Document::Event(facts) if self.has_validator && facts.event.event_type == "bad" => {
                return Written::Refused {
                    code: VALIDATION,
                    message: "Document failed validation".to_owned(),
                };
            }
            Document::Receipt(settle) => settle.receipt_at_ms = now_ms / 1_000 * 1_000,
            Document::Event(_) | Document::Dead(_) => {}
        }
        if self.at.contains_key(key) {
            return Written::DuplicateKey;
        }
        self.at.insert(key.clone(), self.log.len());
        self.log.push((key.clone(), document));
        Written::Inserted
    }
}
