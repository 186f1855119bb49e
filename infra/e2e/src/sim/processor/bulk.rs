//! One bulk on its way: insert, classify, dead letters, receipts, commit.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use evp_processor::written::Written;
use evp_shared::frame::FrameId;
use evp_shared::stream::{EntryAck, Settle};

use super::{Delivery, Processor, Stopped};
use crate::sim::defect::Defect;
use crate::sim::mongo::{Document, Key, MongoAnswer, MongoOp, ReadConcern, Receipt};
use crate::sim::redis::CommitOp;
use crate::sim::world::sleep;

/// Entries of one bulk.
const BULK: usize = 3;

/// Why a bulk was not committed: its entries stay pending.
#[derive(Debug)]
pub(super) enum Failure {
    /// MongoDB's.
    Store,
    /// The stream's.
    Stream,
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stream
    }
}

/// What became of a frame: its receipt and its dead letters.
pub(super) type Outcome = Option<(Receipt, Vec<(Key, Document)>)>;

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
            let Some((receipt, dead)) = outcome else {
                unknown += 1;
                continue;
            };
            acknowledge(&mut acks, one, frame.events.len());
            letters.extend(dead);
            receipts.push((one.entry.partition, receipt));
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
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let since = self.server().await?;
        let found = self.find_receipts(ids).await?;
        if !found.is_empty() {
            self.make_sure(since).await?;
        }
        Ok(found)
    }

    async fn find_receipts(&self, ids: Vec<FrameId>) -> Result<HashMap<FrameId, Settle>, Failure> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = ids.into_iter().map(Key::Receipt).collect();
        let found = self.find(keys).await?;
        let receipt = |document| match document {
            Document::Receipt(receipt) => Some((receipt.settle.frame, receipt.settle)),
            Document::Dead(_) => None,
        };
        Ok(found.into_values().filter_map(receipt).collect())
    }

    async fn write_receipts(
        &self,
        receipts: Vec<(u16, Receipt)>,
    ) -> Result<Vec<(u16, Settle)>, Failure> {
        let document = |(_, receipt): &(u16, Receipt)| {
            let key = Key::Receipt(receipt.settle.frame);
            (key, Document::Receipt(receipt.clone()))
        };
        let written = self.insert(receipts.iter().map(document).collect()).await?;
        let now_ms = self.clock_ms();
        let mut settles = Vec::with_capacity(receipts.len());
        let mut earlier = Vec::new();
        for ((partition, receipt), written) in receipts.into_iter().zip(written) {
            let mut settle = receipt.settle;
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

    async fn insert(&self, documents: Vec<(Key, Document)>) -> Result<Vec<Written>, Failure> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let count = documents.len();
        let answer = self.mongo(MongoOp::Insert(documents)).await;
        self.written(answer, count)
    }

    /// What an insert of `count` documents said of each. Only an answer without a write concern
    /// error is one.
    pub(super) fn written(
        &self,
        answer: Option<MongoAnswer>,
        count: usize,
    ) -> Result<Vec<Written>, Failure> {
        match answer {
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

    async fn find(&self, keys: Vec<Key>) -> Result<BTreeMap<Key, Document>, Failure> {
        match self.mongo(MongoOp::Find(keys, ReadConcern::Majority)).await {
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
