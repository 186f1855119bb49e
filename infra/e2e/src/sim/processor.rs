//! The model of a processor: reader, claimer, workers, ticker and reconciler over shared state.
//! It mirrors `evp_processor`, whose `classify` it calls.

mod bulk;
mod decide;
mod housekeeper;
mod proof;
mod reconcile;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use evp_processor::written::Id;
use evp_shared::stream::EntryId;

use self::store::Known;
use super::defect::Defect;
use super::ingest::cut_since;
use super::mongo::{MongoAnswer, MongoOp};
use super::redis::{CommitOp, ReadEntry, RedisAnswer, RedisOp};
use super::world::{Answer, Op, Shared, call, sleep};

/// Ms without an answer after which a script counts as unknown.
const REDIS_PATIENCE_MS: u64 = 5_000;
/// Insert deadline.
const MONGO_PATIENCE_MS: u64 = 10_000;
/// Claim idle time.
pub const CLAIM_IDLE_MS: u64 = 15_000;
/// Ms for which acknowledged entries stay on the stream.
const KEPT_MS: u64 = 30_000;
/// Deliveries that wait for a worker, after which nothing more is read.
const QUEUE_MAX: usize = 12;

/// An answer from Redis that is none to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// Another life, or no group.
    WantsHello,
    /// Refused, or unknown.
    Failed,
}

#[derive(Debug)]
struct Delivery {
    entry: ReadEntry,
    life: u64,
    is_redelivered: bool,
}

/// One incarnation of a processor.
#[derive(Debug)]
pub struct Processor {
    world: Shared,
    consumer: u32,
    skew_ms: i64,
    lives: RefCell<Vec<u64>>,
    cuts: RefCell<BTreeMap<u16, EntryId>>,
    in_flight: RefCell<BTreeSet<(u16, EntryId)>>,
    left_overs: Cell<bool>,
    queue: RefCell<VecDeque<Delivery>>,
    known: Known,
    /// Events it has worked on.
    seen: RefCell<BTreeSet<Id>>,
}

impl Processor {
    /// A fresh one.
    pub fn new(world: &Shared, consumer: u32, skew_ms: i64) -> Rc<Self> {
        let partitions = world.borrow().plan.partitions;
        Rc::new(Self {
            world: world.clone(),
            consumer,
            skew_ms,
            lives: RefCell::new(vec![0; usize::from(partitions)]),
            cuts: RefCell::default(),
            in_flight: RefCell::default(),
            left_overs: Cell::new(true),
            queue: RefCell::default(),
            known: Known::default(),
            seen: RefCell::default(),
        })
    }

    /// The reader: own pending entries first, then new ones.
    pub async fn read(self: Rc<Self>) {
        loop {
            self.left_overs.set(true);
            if self.greet_all().await.is_ok() {
                while self.read_some().await.is_ok() {}
            }
            self.left_overs.set(true);
            sleep(&self.world, 500).await;
        }
    }

    async fn read_some(&self) -> Result<(), Stopped> {
        if self.queue.borrow().len() >= QUEUE_MAX {
            sleep(&self.world, 100).await;
            return Ok(());
        }
        let rereads = !self.has(Defect::NoRedelivery);
        if self.left_overs.replace(false) && rereads {
            self.read_pending().await?;
            sleep(&self.world, 250).await;
            return Ok(());
        }
        let lives = self.lives.borrow().clone();
        let op = RedisOp::ReadNew {
            consumer: self.consumer,
            count: 4,
        };
        let read = self.entries(op).await?;
        let idle = read.is_empty();
        self.deliver(read, &lives, false);
        let pause_ms = if idle { self.pace(300) } else { 20 };
        sleep(&self.world, pause_ms).await;
        Ok(())
    }

    async fn read_pending(&self) -> Result<(), Stopped> {
        for partition in 0..self.partitions() {
            let mut after = EntryId::ZERO;
            loop {
                let lives = self.lives.borrow().clone();
                let op = RedisOp::ReadPending {
                    partition,
                    consumer: self.consumer,
                    after,
                };
                let page = self.entries(op).await?;
                let Some(last) = page.last() else { break };
                after = last.id;
                self.deliver(page, &lives, true);
            }
        }
        Ok(())
    }

    /// The claimer.
    pub async fn claim(self: Rc<Self>) {
        loop {
            sleep(&self.world, 5_000).await;
            if self.has(Defect::NoRedelivery) {
                continue;
            }
            for partition in 0..self.partitions() {
                let lives = self.lives.borrow().clone();
                let op = RedisOp::Claim {
                    partition,
                    consumer: self.consumer,
                    idle_ms: CLAIM_IDLE_MS,
                };
                if let Ok(claimed) = self.entries(op).await {
                    self.deliver(claimed, &lives, true);
                }
            }
        }
    }

    /// The ticker.
    pub async fn tick(self: Rc<Self>) {
        loop {
            sleep(&self.world, self.pace(1_000)).await;
            for partition in 0..self.partitions() {
                let tick = CommitOp {
                    partition,
                    life: self.lives.borrow()[usize::from(partition)],
                    ..self.kept()
                };
                match self.commit(tick).await {
                    Ok(_) => {}
                    Err(Stopped::WantsHello) => {
                        if self.greet(partition).await.is_ok() {
                            self.left_overs.set(true);
                        }
                    }
                    Err(Stopped::Failed) => break,
                }
            }
        }
    }

    fn kept(&self) -> CommitOp {
        let world = self.world.borrow();
        CommitOp {
            kept_ms: KEPT_MS,
            kept_none: world.redis.is_memory_short(),
            ..CommitOp::default()
        }
    }

    fn pace(&self, busy_ms: u64) -> u64 {
        let world = self.world.borrow();
        if world.is_idle() && self.queue.borrow().is_empty() {
            busy_ms.max(2_000)
        } else {
            busy_ms
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.world.borrow().has(defect)
    }

    fn partitions(&self) -> u16 {
        self.world.borrow().plan.partitions
    }

    /// Unix ms by this processor's clock.
    fn clock_ms(&self) -> u64 {
        self.world
            .borrow()
            .now_ms
            .saturating_add_signed(self.skew_ms)
    }

    fn deliver(&self, entries: Vec<ReadEntry>, lives: &[u64], is_redelivered: bool) {
        for entry in entries {
            if !self
                .in_flight
                .borrow_mut()
                .insert((entry.partition, entry.id))
            {
                continue;
            }
            let life = lives[usize::from(entry.partition)];
            self.queue.borrow_mut().push_back(Delivery {
                entry,
                life,
                is_redelivered,
            });
        }
    }

    async fn greet_all(&self) -> Result<(), Stopped> {
        for partition in 0..self.partitions() {
            self.greet(partition).await?;
        }
        Ok(())
    }

    async fn greet(&self, partition: u16) -> Result<(), Stopped> {
        let known = self.lives.borrow()[usize::from(partition)];
        let op = RedisOp::Hello {
            partition,
            known,
            producer: None,
        };
        let RedisAnswer::Hello(hello) = self.redis(op).await? else {
            return Err(Stopped::Failed);
        };
        let defect = self.world.borrow().defect;
        if let Some(cut) = cut_since(&hello, known, defect) {
            self.owe(partition, cut);
        }
        let slot = &mut self.lives.borrow_mut()[usize::from(partition)];
        *slot = (*slot).max(hello.life.0);
        Ok(())
    }

    /// Notes that everything after `cut` is to be reconciled.
    fn owe(&self, partition: u16, cut: EntryId) {
        let mut cuts = self.cuts.borrow_mut();
        let lowest = cuts.entry(partition).or_insert(cut);
        *lowest = cut.min(*lowest);
    }

    async fn entries(&self, op: RedisOp) -> Result<Vec<ReadEntry>, Stopped> {
        match self.redis(op).await? {
            RedisAnswer::Entries(entries) => Ok(entries),
            _ => Err(Stopped::Failed),
        }
    }

    async fn commit(&self, op: CommitOp) -> Result<u64, Stopped> {
        match self.redis(RedisOp::Commit(op)).await? {
            RedisAnswer::Committed(done) => Ok(done.counted),
            _ => Err(Stopped::Failed),
        }
    }

    async fn redis(&self, op: RedisOp) -> Result<RedisAnswer, Stopped> {
        match call(&self.world, Op::Redis(op), REDIS_PATIENCE_MS).await {
            Answer::Redis(RedisAnswer::NewLife | RedisAnswer::NoGroup) => Err(Stopped::WantsHello),
            Answer::Redis(RedisAnswer::ReadOnly) => Err(Stopped::Failed),
            Answer::Redis(answer) => Ok(answer),
            Answer::Mongo(_) | Answer::Unknown | Answer::NotConnected => Err(Stopped::Failed),
        }
    }

    /// `None` when nobody answered.
    async fn mongo(&self, op: MongoOp) -> Option<MongoAnswer> {
        match call(&self.world, Op::Mongo(op), MONGO_PATIENCE_MS).await {
            Answer::Mongo(answer) => Some(answer),
            Answer::Redis(_) | Answer::Unknown | Answer::NotConnected => None,
        }
    }
}
