//! The world the parties live in: the servers, the network between, the time, and what the
//! clients were told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::defect::Defect;
use evp_processor::written::{EventFacts, Id};

use super::ingest::number_of;
use super::mongo::{Mongo, MongoAnswer, MongoOp};
use super::plan::{Plan, Promise};
use super::redis::{Redis, RedisAnswer, RedisOp};
use super::rng::Rng;

pub use super::kind::{Fate, Kind};

/// Unix ms at which every simulation begins: the start of a minute.
pub const START_MS: u64 = 1_700_000_040_000;

/// The world, as every party reaches it.
pub type Shared = Rc<RefCell<World>>;

/// A request.
#[derive(Debug, Clone)]
pub enum Op {
    /// To Redis.
    Redis(RedisOp),
    /// To MongoDB.
    Mongo(MongoOp),
}

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Redis answered.
    Redis(RedisAnswer),
    /// MongoDB answered.
    Mongo(MongoAnswer),
    /// Nobody answered: it may have been done.
    Unknown,
    /// It was not sent.
    NotConnected,
}

/// What is on the network.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Request(Op),
    Reply(Answer),
}

/// One thing on the network.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) call: u64,
    pub(super) body: Body,
    /// It goes to the deposed primary, if there is one.
    pub(super) is_for_old: bool,
    pub(super) is_held: bool,
    /// A server works on it.
    pub(super) is_inside: bool,
    /// It arrives no earlier.
    pub(super) due_ms: u64,
    fate: Option<Fate>,
}

/// What a party waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    Until(u64),
    Call(u64, u64),
}

/// What clients were told of one event.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its canonical id.
    pub id: Id,
    /// The most ms that lay between a question for the floor and an append by the answer to it.
    pub stale_ms: u64,
    /// Incarnations of ingest that answered 202 for it.
    pub accepted_by: BTreeSet<usize>,
    /// Requests with it that did not end in "not accepted".
    pub possible: i64,
}

/// What happened, for the check at the end.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By number of the event.
    pub told: BTreeMap<u64, Told>,
    /// Incarnations of ingest that died.
    pub dead_ingests: BTreeSet<usize>,
    /// Events each incarnation of ingest reported as possibly lost.
    pub possibly_lost: BTreeMap<usize, u64>,
    /// Events on a stream that somebody deleted.
    pub deleted: BTreeSet<u64>,
    /// What a party did that none may do.
    pub broken: Option<String>,
    /// True ms at which Redis last came back without its newest part.
    pub forgotten_at: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    /// True Unix ms.
    pub now_ms: u64,
    /// Chance.
    pub rng: Rng,
    /// The primary.
    pub redis: Redis,
    /// A primary that was replaced and does not know yet.
    pub old_redis: Option<Redis>,
    /// Redis takes no connection until then.
    pub redis_up_at: u64,
    /// The replica set.
    pub mongo: Mongo,
    /// What this seed is about.
    pub plan: Plan,
    /// Clients go on sending.
    pub is_sending: bool,
    /// Faults are over.
    pub is_healed: bool,
    /// Nothing goes wrong for a while, and few send.
    pub is_calm: bool,
    /// Only minutes that are compared late are still waited for.
    pub is_over: bool,
    /// For the check.
    pub ledger: Ledger,
    /// The deliberate defect.
    pub defect: Option<Defect>,
    pub(super) packets: Vec<Packet>,
    pub(super) answers: BTreeMap<u64, Answer>,
    pub(super) wait: Wait,
    pub(super) rules: Vec<(Kind, Fate)>,
    next_number: u64,
    trace: Option<Vec<String>>,
}

impl Ledger {
    /// A client is about to send `event`.
    pub fn sends(&mut self, event: &EventFacts) -> &mut Told {
        let told = self.told.entry(number_of(event)).or_default();
        told.id = event.id;
        told
    }
}

impl World {
    /// A world of `plan`, all of whose chance comes from `seed`.
    pub fn new(seed: u64, plan: Plan, defect: Option<Defect>, is_traced: bool) -> Self {
        let mut redis = Redis::new(plan.partitions, defect);
        redis.entries_max = plan.entries_max;
        let mut mongo = Mongo::new(plan.is_standalone, defect);
        mongo.has_validator = plan.has_validator;
        mongo.build_ms = plan.waits.map_or(0, |waits| waits.build_ms);
        Self {
            now_ms: START_MS,
            rng: Rng::new(seed),
            redis,
            old_redis: None,
            redis_up_at: 0,
            mongo,
            plan,
            is_sending: true,
            is_healed: false,
            is_calm: false,
            is_over: false,
            ledger: Ledger::default(),
            defect,
            packets: Vec::new(),
            answers: BTreeMap::new(),
            wait: Wait::Until(0),
            rules: Vec::new(),
            next_number: 1,
            trace: is_traced.then(Vec::new),
        }
    }

    /// Whether `defect` is the one switched on.
    pub fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// Whether who waits for work looks seldom.
    pub fn is_idle(&self) -> bool {
        self.is_healed || self.is_calm
    }

    /// A span's length.
    pub fn unit_ms(&self) -> u64 {
        self.plan.waits.map_or(u64::MAX, |waits| waits.unit_ms)
    }

    /// Whether Redis may forget in this plan.
    pub fn may_forget(&self) -> bool {
        self.plan.promise != Promise::Fsync
    }

    /// A number nobody has yet.
    pub fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Notes what happened, when a trace was asked for.
    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = self.now_ms - START_MS;
            trace.push(format!("{at:>8} ms  {}", what()));
        }
    }

    /// What happened so far.
    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    pub(super) fn send(&mut self, call: u64, op: Op) {
        let rule = self
            .rules
            .iter()
            .position(|(kind, _)| op.kind() == Some(*kind));
        let fate = rule.map(|at| self.rules.remove(at).1);
        if fate == Some(Fate::LoseRequest) {
            self.note(|| format!("lost: {call} {}", brief(&op)));
            return;
        }
        let is_for_old = self.old_redis.is_some() && self.rng.permille(500);
        let due_ms = self.due_ms();
        self.packets.push(Packet {
            call,
            body: Body::Request(op),
            is_for_old,
            is_held: fate == Some(Fate::Hold),
            is_inside: false,
            due_ms,
            fate,
        });
    }

    /// Delivers the packet at `at`.
    pub(super) fn deliver(&mut self, at: usize) {
        let packet = self.packets.remove(at);
        match packet.body {
            Body::Reply(answer) => {
                self.answers.insert(packet.call, answer);
            }
            Body::Request(ref op) => {
                if packet.fate == Some(Fate::Repeat) {
                    self.execute(op, packet.is_for_old);
                }
                let answer = match packet.fate {
                    Some(Fate::ReadOnly) => Some(Answer::Redis(RedisAnswer::ReadOnly)),
                    _ => self.execute(op, packet.is_for_old),
                };
                self.note(|| match &answer {
                    Some(answer) => format!("{} {} -> {answer:?}", packet.call, brief(op)),
                    None => format!("{} {} -> no connection", packet.call, brief(op)),
                });
                if packet.fate == Some(Fate::LoseReply) {
                    return;
                }
                if let Some(Answer::Mongo(MongoAnswer::Building(due_ms))) = answer {
                    self.packets.push(Packet {
                        is_inside: true,
                        due_ms,
                        ..packet
                    });
                    return;
                }
                let due_ms = self.due_ms();
                let body = Body::Reply(answer.unwrap_or(Answer::NotConnected));
                self.packets.push(Packet {
                    call: packet.call,
                    body,
                    is_for_old: packet.is_for_old,
                    is_held: packet.fate == Some(Fate::HoldReply),
                    is_inside: false,
                    due_ms,
                    fate: None,
                });
            }
        }
    }

    /// When something sent now arrives: at once, or some seconds late.
    fn due_ms(&mut self) -> u64 {
        let late = self.plan.mix.delay;
        if !self.is_healed && !self.is_calm && late > 0 && self.rng.permille(late) {
            self.now_ms + self.rng.below(8_000)
        } else {
            self.now_ms
        }
    }

    fn execute(&mut self, op: &Op, is_for_old: bool) -> Option<Answer> {
        let now_ms = self.now_ms;
        match op {
            Op::Mongo(op) => Some(Answer::Mongo(self.mongo.run(now_ms, op))),
            Op::Redis(op) => {
                let old = self.old_redis.as_mut().filter(|_| is_for_old);
                if old.is_none() && now_ms < self.redis_up_at {
                    return None;
                }
                let server = old.unwrap_or(&mut self.redis);
                let answer = server.run(now_ms, op);
                self.note_age(op, &answer);
                Some(Answer::Redis(answer))
            }
        }
    }

    /// How old what ingest knew of the floor was when the append was done.
    fn note_age(&mut self, op: &RedisOp, answer: &RedisAnswer) {
        let (RedisOp::Append { frames, .. }, RedisAnswer::Appended(_)) = (op, answer) else {
            return;
        };
        for frame in frames {
            let age_ms = self.now_ms.saturating_sub(frame.floor_at_ms);
            for event in &frame.events {
                let told = self.ledger.told.entry(number_of(event)).or_default();
                told.stale_ms = told.stale_ms.max(age_ms);
            }
        }
    }
}

/// A request in a trace.
fn brief(op: &Op) -> String {
    format!("{op:?}")
}

/// Sends `op` and waits for what comes of it, no longer than `patience_ms`.
pub(super) async fn call(world: &Shared, op: Op, patience_ms: u64) -> Answer {
    let (id, deadline) = {
        let mut world = world.borrow_mut();
        let id = world.number();
        let deadline = world.now_ms + patience_ms;
        world.send(id, op);
        (id, deadline)
    };
    poll_fn(|_| {
        let mut world = world.borrow_mut();
        if let Some(answer) = world.answers.remove(&id) {
            return Poll::Ready(answer);
        }
        if world.now_ms >= deadline {
            return Poll::Ready(Answer::Unknown);
        }
        world.wait = Wait::Call(id, deadline);
        Poll::Pending
    })
    .await
}

/// Waits `ms`.
pub(super) async fn sleep(world: &Shared, ms: u64) {
    let until = world.borrow().now_ms + ms;
    poll_fn(|_| {
        let mut world = world.borrow_mut();
        if world.now_ms >= until {
            return Poll::Ready(());
        }
        world.wait = Wait::Until(until);
        Poll::Pending
    })
    .await;
}
