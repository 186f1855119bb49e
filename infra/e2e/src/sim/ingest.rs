//! The model of ingest: clients' requests become frames, which are appended until there is an
//! answer. It mirrors `evp_ingest`'s appender, partition, held frames and keeper.

mod clients;
mod floor;
mod held;

pub use self::clients::{dated, event, number_in, number_of};

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use evp_processor::written::EventFacts;
use evp_shared::frame::{FrameId, ProducerId};
use evp_shared::stream::{EntryId, Hello, ProducerState};

use self::floor::Floor;
use self::held::Held;
use super::defect::Defect;
use super::plan::Promise;
use super::redis::{Frame, RedisAnswer, RedisOp};
use super::world::{Answer, Op, Shared, World, call, sleep};

/// Ms without an answer after which an append counts as unknown.
const PATIENCE_MS: u64 = 5_000;
/// Ms within which a request is answered.
const DEADLINE_MS: u64 = 10_000;
/// Ms for which acknowledged frames are held, where they are.
const WINDOW_MS: u64 = 5_000;
/// Frames appended in one call of a replay.
const REPLAYED_AT_ONCE: usize = 16;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 202.
    Appended,
    /// 503: nothing of it was stored.
    NotAccepted,
    /// 503: it may be stored or not.
    NotConfirmed,
}

#[derive(Debug, Clone, Copy)]
struct Producer {
    id: ProducerId,
    token: u64,
    next_number: u32,
}

/// One partition as this instance sees it.
#[derive(Debug)]
struct At {
    life: u64,
    heard: u64,
    wants_hello: bool,
    is_greeting: bool,
    producer: Option<Producer>,
    held: Held,
    /// When the newest question was sent that had an answer.
    contact_ms: u64,
}

/// One incarnation of an ingest instance.
#[derive(Debug)]
pub struct Ingest {
    world: Shared,
    incarnation: usize,
    skew_ms: i64,
    at: RefCell<Vec<At>>,
    next: Cell<usize>,
    floor: Cell<Floor>,
}

impl Ingest {
    /// A fresh instance.
    pub fn new(world: &Shared, incarnation: usize, skew_ms: i64) -> Rc<Self> {
        let (partitions, window_ms) = {
            let world = world.borrow();
            let holds = world.plan.promise == Promise::Window;
            (world.plan.partitions, if holds { WINDOW_MS } else { 0 })
        };
        let at = |_| At {
            life: 0,
            heard: 0,
            wants_hello: true,
            is_greeting: false,
            producer: None,
            held: Held::new(window_ms),
            contact_ms: 0,
        };
        Rc::new(Self {
            world: world.clone(),
            incarnation,
            skew_ms,
            at: RefCell::new((0..partitions).map(at).collect()),
            next: Cell::new(incarnation),
            floor: Cell::default(),
        })
    }

    /// The keeper: greets what is away or idle, lets held frames go.
    pub async fn keep(self: Rc<Self>) {
        loop {
            for partition in 0..self.partitions() {
                let now_ms = self.world.borrow().now_ms;
                let is_due = {
                    let ages = self.world.borrow().has(Defect::HeldAgesWhileAway);
                    let mut all = self.at.borrow_mut();
                    let at = &mut all[usize::from(partition)];
                    if at.life == at.heard {
                        at.held.let_go(if ages { now_ms } else { at.contact_ms });
                    }
                    at.wants_hello || now_ms - at.contact_ms.min(now_ms) >= 3_000
                };
                if is_due {
                    self.greet(partition, true).await;
                }
            }
            self.read_floor().await;
            sleep(&self.world, self.pace(1_000)).await;
        }
    }

    fn pace(&self, busy_ms: u64) -> u64 {
        let world = self.world.borrow();
        if world.is_healed {
            10_000
        } else if world.is_calm {
            3_000
        } else {
            busy_ms
        }
    }

    fn partitions(&self) -> u16 {
        self.world.borrow().plan.partitions
    }

    fn with<T>(&self, partition: u16, f: impl FnOnce(&mut At) -> T) -> T {
        f(&mut self.at.borrow_mut()[usize::from(partition)])
    }

    async fn redis(&self, op: RedisOp) -> Answer {
        call(&self.world, Op::Redis(op), PATIENCE_MS).await
    }

    /// The life to append in; says hello first where that is due, or in any case.
    async fn greet(&self, partition: u16, anyway: bool) -> Option<u64> {
        let known = |at: &mut At| (!at.wants_hello && at.producer.is_some()).then_some(at.life);
        if let Some(life) = self.with(partition, known).filter(|_| !anyway) {
            return Some(life);
        }
        while self.with(partition, |at| at.is_greeting) {
            sleep(&self.world, 10).await;
        }
        if let Some(life) = self.with(partition, known).filter(|_| !anyway) {
            return Some(life);
        }
        self.with(partition, |at| at.is_greeting = true);
        let greeted = self.say_hello(partition).await;
        self.with(partition, |at| {
            at.is_greeting = false;
            at.wants_hello = greeted.is_none();
        });
        greeted
    }

    async fn say_hello(&self, partition: u16) -> Option<u64> {
        loop {
            let heard = self.with(partition, |at| at.heard);
            let fresh = || {
                let number = self.world.borrow_mut().number();
                let random = u32::try_from(number & 0xff_ffff).unwrap_or(0);
                Producer {
                    id: ProducerId::new(partition, random),
                    token: number,
                    next_number: 0,
                }
            };
            let producer = self.with(partition, |at| at.producer).unwrap_or_else(fresh);
            let sent_ms = self.world.borrow().now_ms;
            let op = RedisOp::Hello {
                partition,
                known: heard,
                producer: Some((producer.id, producer.token)),
            };
            let Answer::Redis(RedisAnswer::Hello(hello)) = self.redis(op).await else {
                return None;
            };
            if hello.producer == ProducerState::Taken {
                self.with(partition, |at| at.producer = None);
                continue;
            }
            if !self.read_floor().await {
                return None;
            }
            let is_new = self.with(partition, |at| {
                at.heard = at.heard.max(hello.life.0);
                at.life != hello.life.0
            });
            if is_new && !self.enter_life(partition, &hello).await {
                return None;
            }
            self.with(partition, |at| {
                at.contact_ms = at.contact_ms.max(sent_ms);
                at.producer.get_or_insert(producer);
            });
            return Some(hello.life.0);
        }
    }

    /// Appends what is held again, and only then knows the life.
    async fn enter_life(&self, partition: u16, hello: &Hello) -> bool {
        let (known, frames) = self.with(partition, |at| (at.life, at.held.frames()));
        let defect = self.world.borrow().defect;
        let mut entries: Vec<EntryId> = Vec::with_capacity(frames.len());
        if defect != Some(Defect::NoReplay) {
            for some in frames.chunks(REPLAYED_AT_ONCE) {
                let op = RedisOp::Append {
                    partition,
                    life: hello.life.0,
                    frames: some.to_vec(),
                };
                let Answer::Redis(RedisAnswer::Appended(appended)) = self.redis(op).await else {
                    return false;
                };
                entries.extend(appended);
            }
        }
        let cut = cut_since(hello, known, defect);
        let keeps_age = defect == Some(Defect::ReplayedKeepsItsAge);
        let now_ms = (!keeps_age).then(|| self.world.borrow().now_ms);
        let lost = self.with(partition, |at| {
            at.life = hello.life.0;
            cut.map_or(0, |cut| at.held.enter_life(cut, &entries, now_ms))
        });
        let mut world = self.world.borrow_mut();
        *world
            .ledger
            .possibly_lost
            .entry(self.incarnation)
            .or_default() += lost;
        true
    }

    /// Appends the frames of one request, all of one partition, until its deadline. Says as well
    /// which events were too old.
    pub async fn append(&self, drafts: Vec<Vec<EventFacts>>) -> (Outcome, Vec<u64>) {
        let started_ms = self.world.borrow().now_ms;
        let turn = self.next.replace(self.next.get() + 1);
        let mut partition =
            u16::try_from(turn % usize::from(self.partitions())).unwrap_or_default();
        let mut sealed: Option<(Vec<Rc<Frame>>, Vec<u64>)> = None;
        let mut is_unknown = false;
        loop {
            if self.world.borrow().now_ms >= started_ms + DEADLINE_MS {
                break;
            }
            let Some(life) = self.greet(partition, false).await else {
                sleep(&self.world, 300).await;
                continue;
            };
            let (frames, too_old) = sealed.get_or_insert_with(|| {
                let (drafts, too_old) = self.above_floor(&drafts);
                (self.seal(partition, &drafts), too_old)
            });
            if frames.is_empty() {
                return (Outcome::NotAccepted, Vec::new());
            }
            let was_unknown = std::mem::replace(&mut is_unknown, true);
            let (answer, sent_ms) = self.append_once(partition, life, frames).await;
            match answer {
                Answer::Redis(RedisAnswer::Appended(ids)) => {
                    if self.acknowledge(partition, life, (frames, &ids, sent_ms)) {
                        return (Outcome::Appended, std::mem::take(too_old));
                    }
                    continue;
                }
                Answer::Redis(RedisAnswer::Full) => {}
                Answer::Unknown => {
                    self.with(partition, |at| at.wants_hello = true);
                    if self.world.borrow().has(Defect::MovedFrame) {
                        partition = (partition + 1) % self.partitions();
                    }
                    continue;
                }
                _ => self.with(partition, |at| at.wants_hello = true),
            }
            is_unknown = was_unknown;
            sleep(&self.world, 300).await;
        }
        let too_old = sealed.map_or_else(Vec::new, |(_, too_old)| too_old);
        if is_unknown {
            (Outcome::NotConfirmed, too_old)
        } else {
            (Outcome::NotAccepted, Vec::new())
        }
    }

    /// One call; with [`Defect::RequestInParts`] one per frame, and the last one's answer.
    async fn append_once(&self, partition: u16, life: u64, frames: &[Rc<Frame>]) -> (Answer, u64) {
        let sent_ms = self.world.borrow().now_ms;
        let append = |frames: &[Rc<Frame>]| RedisOp::Append {
            partition,
            life,
            frames: frames.to_vec(),
        };
        if !self.world.borrow().has(Defect::RequestInParts) {
            return (self.redis(append(frames)).await, sent_ms);
        }
        let mut ids = Vec::with_capacity(frames.len());
        for frame in frames {
            match self.redis(append(std::slice::from_ref(frame))).await {
                Answer::Redis(RedisAnswer::Appended(id)) => ids.extend(id),
                other => return (other, sent_ms),
            }
        }
        (Answer::Redis(RedisAnswer::Appended(ids)), sent_ms)
    }

    fn seal(&self, partition: u16, drafts: &[Vec<EventFacts>]) -> Vec<Rc<Frame>> {
        let now_ms = self
            .world
            .borrow()
            .now_ms
            .saturating_add_signed(self.skew_ms);
        let second = u32::try_from(now_ms / 1_000).unwrap_or(u32::MAX);
        let seal = |events: &Vec<EventFacts>| {
            let (id, number) = self.with(partition, |at| {
                let producer = at.producer.as_mut();
                let number = producer.as_ref().map_or(0, |producer| producer.next_number);
                let id = producer.map_or_else(
                    || ProducerId::new(partition, 0),
                    |producer| {
                        producer.next_number += 1;
                        producer.id
                    },
                );
                (id, number)
            });
            Rc::new(Frame {
                id: FrameId::new(second, id, number),
                events: events.clone(),
                floor_at_ms: self.floor.get().at_ms,
            })
        };
        drafts.iter().map(seal).collect()
    }

    /// Notes acknowledged frames; `false` when a new life has begun since they were sent.
    fn acknowledge(
        &self,
        partition: u16,
        life: u64,
        (frames, ids, sent_ms): (&[Rc<Frame>], &[EntryId], u64),
    ) -> bool {
        let mut world = self.world.borrow_mut();
        let World {
            now_ms,
            ref mut ledger,
            defect,
            ..
        } = *world;
        let any_life = defect == Some(Defect::OldLifeAnswerCounts);
        self.with(partition, |at| {
            if !any_life && (at.life, at.heard) != (life, life) {
                return false;
            }
            for (frame, id) in frames.iter().zip(ids) {
                at.held.add(frame, *id, now_ms);
                for event in &frame.events {
                    let told = ledger.told.entry(clients::number_of(event)).or_default();
                    told.accepted_by.insert(self.incarnation);
                }
            }
            at.contact_ms = at.contact_ms.max(sent_ms);
            true
        })
    }
}

/// The lowest cut of the lives a caller who knows `known` has not heard of.
pub(super) fn cut_since(hello: &Hello, known: u64, defect: Option<Defect>) -> Option<EntryId> {
    use evp_shared::stream::Life;
    let cut = hello.cut_since(Life(known));
    if defect == Some(Defect::CutOfNewestLife) {
        return cut.and_then(|_| hello.lives.last()).map(|(_, cut)| *cut);
    }
    cut
}
