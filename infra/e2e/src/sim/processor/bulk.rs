//! One bulk on its way: insert, classify, dead letters, receipts, commit.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use evp_processor::bulk::classify::{Classified, classify, is_clean, to_look_up};
use evp_processor::written::{EventFacts, Id, StoredFacts, Written};
use evp_shared::counters::CountRow;
use evp_shared::frame::FrameId;
use evp_shared::stream::{EntryAck, Settle};

use super::{Delivery, Processor, Stopped};
use crate::sim::defect::Defect;
use crate::sim::mongo::{Document, Key, MongoAnswer, MongoOp, ReadConcern};
use crate::sim::redis::{CommitOp, Frame};
use crate::sim::world::sleep;

/// Entries of one bulk.
const BULK: usize = 3;

/// Why a bulk was not committed: its entries stay pending.
enum Failure {
    Store,
    Stream,
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stream
    }
}

/// What became of a frame: its outcome and its dead letters.
type Outcome = Option<(Settle, Vec<(Key, Document)>)>;

/// Entries to acknowledge, by partition and the life they were read in.
type Acks = BTreeMap<(u16, u64), Vec<EntryAck>>;

impl Processor {
    /// A worker.
    pub async fn work(self: Rc<Self>) {
        loop {
            let bulk: Vec<Delivery> = {
                let mut queue = self.queue.borrow_mut();
                let some = queue.len().min(BULK);
                queue.drain(..some).collect()
            };
            if bulk.is_empty() {
                sleep(&self.world, self.pace(100)).await;
                continue;
            }
            let result = self.process(&bulk).await;
            for one in &bulk {
                let id = (one.entry.partition, one.entry.id);
                self.in_flight.borrow_mut().remove(&id);
            }
            if !matches!(result, Ok(0)) {
                self.left_overs.set(true);
                sleep(&self.world, 200).await;
            }
        }
    }

    /// Brings a bulk into MongoDB and the counters; says how many frames stay unknown.
    async fn process(&self, bulk: &[Delivery]) -> Result<usize, Failure> {
        let mut acks = Acks::new();
        let mut settles = Vec::new();
        let mut fresh = Vec::new();
        let known = self.known_receipts(bulk).await?;
        for one in bulk {
            let Some(frame) = &one.entry.frame else {
                acknowledge(&mut acks, one, 0);
                continue;
            };
            match known.get(&frame.id).filter(|_| one.is_redelivered) {
                Some(settle) => {
                    acknowledge(&mut acks, one, frame.events.len());
                    settles.push((one.entry.partition, settle.clone()));
                }
                None => fresh.push((one, frame.clone())),
            }
        }
        let mut unknown = 0;
        let mut letters = Vec::new();
        let mut receipts = Vec::new();
        let outcomes = self.store(&fresh).await?;
        for ((one, frame), outcome) in fresh.iter().zip(outcomes) {
            let Some((settle, dead)) = outcome else {
                unknown += 1;
                continue;
            };
            acknowledge(&mut acks, one, frame.events.len());
            letters.extend(dead);
            receipts.push((one.entry.partition, settle));
        }
        self.insert(letters).await?;
        settles.extend(self.write_receipts(receipts).await?);
        match self.commit_all(acks, settles).await {
            Err(Stopped::WantsHello) => {
                self.greet_all().await?;
                Err(Stopped::WantsHello.into())
            }
            other => other.map(|()| unknown).map_err(Failure::from),
        }
    }

    async fn known_receipts(&self, bulk: &[Delivery]) -> Result<HashMap<FrameId, Settle>, Failure> {
        let frames = bulk.iter().filter(|one| one.is_redelivered);
        let ids: Vec<FrameId> = frames
            .filter_map(|one| Some(one.entry.frame.as_ref()?.id))
            .collect();
        self.find_receipts(ids).await
    }

    async fn find_receipts(&self, ids: Vec<FrameId>) -> Result<HashMap<FrameId, Settle>, Failure> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = ids.into_iter().map(Key::Receipt).collect();
        let found = self.find(keys, ReadConcern::Majority).await?;
        let receipt = |document| match document {
            Document::Receipt(settle) => Some((settle.frame, settle)),
            Document::Event(_) | Document::Dead(_) => None,
        };
        Ok(found.into_values().filter_map(receipt).collect())
    }

    async fn store(&self, fresh: &[(&Delivery, Rc<Frame>)]) -> Result<Vec<Outcome>, Failure> {
        let documents = fresh.iter().flat_map(|(_, frame)| {
            let stored = |event: &EventFacts| (Key::Event(event.id), stored_as(event, frame));
            frame.events.iter().map(stored).collect::<Vec<_>>()
        });
        let documents: Vec<_> = documents.collect();
        let written = match self.insert(documents.clone()).await {
            Err(Failure::Store) if self.has(Defect::FindAsProof) => {
                self.found_as_stored(documents).await?
            }
            other => other?,
        };
        let mut rest = written.as_slice();
        let mut outcomes = Vec::with_capacity(fresh.len());
        for (_, frame) in fresh {
            let (own, after) = rest.split_at(frame.events.len());
            rest = after;
            outcomes.push(self.decide(frame, own).await?);
        }
        Ok(outcomes)
    }

    /// [`Defect::FindAsProof`]: every document is there, so all is well.
    async fn found_as_stored(
        &self,
        documents: Vec<(Key, Document)>,
    ) -> Result<Vec<Written>, Failure> {
        let keys: Vec<Key> = documents.into_iter().map(|(key, _)| key).collect();
        let count = keys.len();
        let found = self.find(keys.clone(), ReadConcern::Local).await?;
        if keys.iter().all(|key| found.contains_key(key)) {
            Ok(vec![Written::DuplicateKey; count])
        } else {
            Err(Failure::Store)
        }
    }

    async fn decide(&self, frame: &Frame, written: &[Written]) -> Result<Outcome, Failure> {
        let concern = if self.has(Defect::FindAsProof) {
            ReadConcern::Local
        } else {
            ReadConcern::Majority
        };
        let mut stored = HashMap::new();
        if !is_clean(written) {
            let ids = to_look_up(&frame.events, written);
            let keys = ids.into_iter().map(Key::Event).collect();
            for (key, document) in self.find(keys, concern).await? {
                if let (Key::Event(id), Document::Event(facts)) = (key, document) {
                    stored.insert(id, facts);
                }
            }
        }
        let classified = self.classify(frame, written, &mut stored);
        let Classified::Done {
            counts,
            duplicates,
            dead,
            ..
        } = classified
        else {
            return Ok(None);
        };
        let letters = dead.iter().filter_map(|dead| {
            let event = frame.events.get(dead.index)?;
            let document = Document::Dead(event.event_type.clone());
            Some((Key::Dead(event.id, frame.id), document))
        });
        let letters: Vec<_> = letters.collect();
        let settle = Settle {
            frame: frame.id,
            receipt_at_ms: 0,
            counts,
            duplicates,
            dead_letters: u32::try_from(letters.len()).unwrap_or(u32::MAX),
            expired: 0,
        };
        Ok(Some((settle, letters)))
    }

    fn classify(
        &self,
        frame: &Frame,
        written: &[Written],
        stored: &mut HashMap<Id, StoredFacts>,
    ) -> Classified {
        let id = frame.id.bytes();
        if self.has(Defect::DuplicatesWithoutF) {
            stored.values_mut().for_each(|facts| facts.frame = [0; 12]);
        }
        if !self.has(Defect::NonDistinctIds) {
            return classify(&id, &frame.events, written, stored);
        }
        let mut sum = (Vec::<CountRow>::new(), 0, Vec::new());
        for (index, event) in frame.events.iter().enumerate() {
            let one = std::slice::from_ref(event);
            match classify(&id, one, &written[index..=index], stored) {
                Classified::Unknown => return Classified::Unknown,
                Classified::Done {
                    counts,
                    duplicates,
                    mut dead,
                    ..
                } => {
                    dead.iter_mut().for_each(|dead| dead.index = index);
                    sum.0.extend(counts);
                    sum.1 += duplicates;
                    sum.2.extend(dead);
                }
            }
        }
        let (counts, duplicates, dead) = sum;
        Classified::Done {
            counts,
            duplicates,
            expired: 0,
            dead,
            counted: Vec::new(),
        }
    }

    async fn write_receipts(
        &self,
        receipts: Vec<(u16, Settle)>,
    ) -> Result<Vec<(u16, Settle)>, Failure> {
        let document = |(_, settle): &(u16, Settle)| {
            (
                Key::Receipt(settle.frame),
                Document::Receipt(settle.clone()),
            )
        };
        let written = self.insert(receipts.iter().map(document).collect()).await?;
        let now_ms = self.clock_ms();
        let mut settles = Vec::with_capacity(receipts.len());
        let mut earlier = Vec::new();
        for ((partition, mut settle), written) in receipts.into_iter().zip(written) {
            settle.receipt_at_ms = now_ms;
            if written == Written::Inserted || self.has(Defect::NoReceiptReadBack) {
                settles.push((partition, settle));
            } else {
                earlier.push((partition, settle.frame));
            }
        }
        let found = self
            .find_receipts(earlier.iter().map(|one| one.1).collect())
            .await?;
        for (partition, frame) in earlier {
            let settle = found.get(&frame).ok_or(Failure::Store)?;
            settles.push((partition, settle.clone()));
        }
        Ok(settles)
    }

    /// One unordered insert. Only an answer without a write concern error is one.
    async fn insert(&self, documents: Vec<(Key, Document)>) -> Result<Vec<Written>, Failure> {
        let count = documents.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        match self.mongo(MongoOp::Insert(documents)).await {
            Some(MongoAnswer::Inserted(written)) => Ok(written),
            Some(MongoAnswer::WriteConcernError(written))
                if self.has(Defect::AckOnWriteConcernError) =>
            {
                Ok(written)
            }
            Some(MongoAnswer::Systemic) if self.has(Defect::SystemicIsPermanent) => {
                let code = 189;
                let message = "stepped down".to_owned();
                Ok(vec![Written::Refused { code, message }; count])
            }
            _ => Err(Failure::Store),
        }
    }

    async fn find(
        &self,
        keys: Vec<Key>,
        concern: ReadConcern,
    ) -> Result<BTreeMap<Key, Document>, Failure> {
        match self.mongo(MongoOp::Find(keys, concern)).await {
            Some(MongoAnswer::Found(found)) => Ok(found),
            _ => Err(Failure::Store),
        }
    }

    /// Settles the frames and acknowledges the entries, one call per partition and life.
    async fn commit_all(&self, acks: Acks, settles: Vec<(u16, Settle)>) -> Result<(), Stopped> {
        let mut by_partition: BTreeMap<u16, Vec<Settle>> = BTreeMap::new();
        for (read_from, settle) in settles {
            let own = settle.frame.producer().partition();
            let partition = if self.has(Defect::MovedFrame) {
                read_from
            } else {
                own
            };
            by_partition.entry(partition).or_default().push(settle);
        }
        for ((partition, life), acks) in acks {
            let settles = by_partition.remove(&partition).unwrap_or_default();
            self.commit_one(partition, life, (acks, settles)).await?;
        }
        for (partition, settles) in by_partition {
            let life = self.lives.borrow()[usize::from(partition)];
            self.commit_one(partition, life, (Vec::new(), settles))
                .await?;
        }
        Ok(())
    }

    async fn commit_one(
        &self,
        partition: u16,
        life: u64,
        (acks, settles): (Vec<EntryAck>, Vec<Settle>),
    ) -> Result<(), Stopped> {
        let op = CommitOp {
            partition,
            life,
            acks,
            settles,
            ..self.kept()
        };
        let mut calls = vec![op.clone()];
        if self.has(Defect::AckBeforeSettle) {
            let settles = std::mem::take(&mut calls[0].settles);
            calls.push(CommitOp {
                acks: Vec::new(),
                settles,
                ..op
            });
        } else if self.has(Defect::BitInAnotherStep) {
            calls.push(CommitOp {
                acks: Vec::new(),
                bits_only: true,
                ..op
            });
        }
        for call in calls {
            self.commit(call).await?;
        }
        Ok(())
    }
}

fn acknowledge(acks: &mut Acks, one: &Delivery, events: usize) {
    let ack = EntryAck {
        id: one.entry.id,
        events: u32::try_from(events).unwrap_or(u32::MAX),
        bytes: 0,
        stored_bytes: 0,
    };
    acks.entry((one.entry.partition, one.life))
        .or_default()
        .push(ack);
}

fn stored_as(event: &EventFacts, frame: &Frame) -> Document {
    Document::Event(StoredFacts {
        frame: frame.id.bytes(),
        event: event.clone(),
    })
}
