//! A deterministic simulation of EVP's protocol: parties that crash between any two steps, a
//! network that loses, delays and repeats, a Redis that forgets and a MongoDB that rolls back.
//!
//! All chance comes from one seed, so that every run can be had again. What is modelled, what is
//! not and how to replay a seed is in docs/SIMULATION.md.
//!
//! The parties are the futures in [`ingest`] and [`processor`]; each waits for one answer or one
//! point in time, and the scheduler here decides who goes on. A crash drops a party's futures;
//! what they sent stays on the network.
//!
//! That the simulation can fail is shown by [`defect`]: each deliberate defect is found.

pub mod check;
pub mod defect;
pub mod faults;
pub mod history;
pub mod ingest;
pub mod kind;
pub mod mongo;
pub mod plan;
pub mod processor;
pub mod redis;
pub mod rng;
pub mod span;
pub mod world;

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use self::defect::Defect;
use self::ingest::Ingest;
use self::plan::Plan;
use self::processor::Processor;
use self::world::{Body, Shared, Wait, World};

/// Ms after the end of all faults within which everything is committed and counted: claim idle
/// time, and what was cut off times out and is begun again. Before closed minutes are compared.
const COMMITTED_MS: u64 = 60_000;
/// Ms after which nothing is kept for live readers any more.
const DRAINED_MS: u64 = 120_000;
const MINUTE_MS: u64 = 60_000;

/// A seed whose history broke the promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What is wrong.
    pub problem: String,
    /// What happened, line by line, when a trace was asked for.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {}: {}", self.seed, self.problem)
    }
}

/// Runs the history of `seed`, with `defect` switched on if there is one.
///
/// # Errors
/// The history broke the promise; the failure carries its trace.
pub fn run(seed: u64, defect: Option<Defect>) -> Result<(), Failure> {
    let once = |is_traced| Sim::new(seed, Plan::of(seed), defect, is_traced).finish();
    // The trace is costly, so it is had from a second run.
    once(false).or_else(|_| once(true))
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Party {
    kind: PartyKind,
    tasks: Vec<(Task, Wait)>,
    paused_until: u64,
    /// Scripted histories call on it.
    ingest: Option<Rc<Ingest>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartyKind {
    Ingest { incarnation: usize },
    Processor { consumer: u32 },
}

/// One simulation.
pub struct Sim {
    seed: u64,
    world: Shared,
    parties: Vec<Party>,
    /// The scheduler takes things in order, and nothing goes wrong by itself.
    is_quiet: bool,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Sim {
    /// Sets up the world of `plan`.
    pub fn new(seed: u64, plan: Plan, defect: Option<Defect>, is_traced: bool) -> Self {
        let world = Rc::new(RefCell::new(World::new(seed, plan, defect, is_traced)));
        world.borrow_mut().note(|| format!("{plan:?}"));
        let mut sim = Self {
            seed,
            world,
            parties: Vec::new(),
            is_quiet: plan.steps == 0,
        };
        for incarnation in 0..plan.ingests {
            let party = sim.ingest(incarnation);
            sim.parties.push(party);
        }
        for consumer in (0..).take(plan.processors) {
            let party = sim.processor(consumer);
            sim.parties.push(party);
        }
        sim
    }

    /// Lets things go wrong, then heals them and checks what is left.
    ///
    /// # Errors
    /// What is wrong.
    pub fn finish(mut self) -> Result<(), Failure> {
        let plan = self.world.borrow().plan;
        self.suffer(plan.steps);
        if plan.steps_after_night > 0 {
            self.night();
            self.suffer(plan.steps_after_night);
        }
        self.settle_down()
    }

    fn suffer(&mut self, steps: usize) {
        for _ in 0..steps {
            self.fault();
            self.step();
        }
    }

    /// Ends all faults, drains, and checks.
    ///
    /// # Errors
    /// What is wrong.
    pub fn settle_down(mut self) -> Result<(), Failure> {
        self.heal();
        let result = self.drain();
        result.map_err(|problem| Failure {
            seed: self.seed,
            problem,
            trace: self.world.borrow_mut().take_trace(),
        })
    }

    fn drain(&mut self) -> Result<(), String> {
        let healed_ms = self.world.borrow().now_ms;
        while !check::is_committed(&self.world.borrow()) {
            self.step();
            if self.world.borrow().now_ms > healed_ms + COMMITTED_MS {
                break;
            }
        }
        check::at_once(&self.world.borrow())?;
        self.run_until(healed_ms + COMMITTED_MS);
        check::soon(&self.world.borrow())?;
        let gone_ms = self.world.borrow().mongo.data().meta.gone_ms;
        self.run_until(healed_ms + DRAINED_MS);
        check::is_drained(&self.world.borrow())?;
        check::is_kept(&self.world.borrow(), gone_ms, healed_ms)?;
        self.wait_for_later_passes();
        check::at_last(&self.world.borrow())
    }

    fn run_until(&mut self, at_ms: u64) {
        while self.world.borrow().now_ms < at_ms {
            self.step();
        }
    }

    /// An hour later closed minutes are compared once more.
    fn wait_for_later_passes(&mut self) {
        if check::is_all_counted(&self.world.borrow()) {
            return;
        }
        let (from, to) = {
            let world = self.world.borrow();
            (
                world::START_MS + 55 * MINUTE_MS,
                world.now_ms + 66 * MINUTE_MS,
            )
        };
        {
            let mut world = self.world.borrow_mut();
            world.is_over = true;
            world.now_ms = world.now_ms.max(from);
        }
        self.run_until(to);
    }

    /// One step: somebody goes on, or something arrives, or time passes.
    fn step(&mut self) {
        let chosen = self.choose();
        match chosen {
            Some(Chosen::Packet(at)) => self.world.borrow_mut().deliver(at),
            Some(Chosen::Task(party, task)) => self.poll(party, task),
            None => self.pass_time(),
        }
        let mut world = self.world.borrow_mut();
        let most_ms = if self.is_quiet { 1 } else { 25 };
        let passed_ms = world.rng.below(most_ms + 1);
        world.now_ms += passed_ms;
    }

    fn choose(&self) -> Option<Chosen> {
        let mut world = self.world.borrow_mut();
        let mut ready = Vec::with_capacity(32);
        for (at, packet) in world.packets.iter().enumerate() {
            if !packet.is_held && world.now_ms >= packet.due_ms {
                ready.push(Chosen::Packet(at));
            }
        }
        for (number, party) in self.parties.iter().enumerate() {
            if world.now_ms < party.paused_until {
                continue;
            }
            for (task, (_, wait)) in party.tasks.iter().enumerate() {
                let is_ready = match wait {
                    Wait::Until(at) => world.now_ms >= *at,
                    Wait::Call(id, deadline) => {
                        world.now_ms >= *deadline || world.answers.contains_key(id)
                    }
                };
                if is_ready {
                    ready.push(Chosen::Task(number, task));
                }
            }
        }
        if ready.is_empty() {
            return None;
        }
        let at = if self.is_quiet {
            0
        } else {
            world.rng.index(ready.len())
        };
        Some(ready.swap_remove(at))
    }

    fn poll(&mut self, party: usize, task: usize) {
        let Some(party) = self.parties.get_mut(party) else {
            return;
        };
        let (future, wait) = &mut party.tasks[task];
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Pending => *wait = self.world.borrow().wait,
            Poll::Ready(()) => drop(party.tasks.swap_remove(task)),
        }
    }

    /// Nothing can be done now: on to the next point in time.
    fn pass_time(&mut self) {
        let mut world = self.world.borrow_mut();
        let mut next = u64::MAX;
        for party in &self.parties {
            for (_, wait) in &party.tasks {
                let (Wait::Until(at) | Wait::Call(_, at)) = wait;
                next = next.min((*at).max(party.paused_until));
            }
        }
        for packet in world.packets.iter().filter(|packet| !packet.is_held) {
            next = next.min(packet.due_ms);
        }
        world.now_ms = if next == u64::MAX {
            world.now_ms + 1_000
        } else {
            next
        };
    }

    fn ingest(&self, incarnation: usize) -> Party {
        let skew_ms = self.skew();
        let ingest = Ingest::new(&self.world, incarnation, skew_ms);
        let mut tasks: Vec<Task> = vec![Box::pin(Rc::clone(&ingest).keep())];
        if !self.is_quiet {
            tasks.push(Box::pin(Rc::clone(&ingest).serve()));
            tasks.push(Box::pin(Rc::clone(&ingest).serve()));
        }
        Party {
            kind: PartyKind::Ingest { incarnation },
            tasks: tasks
                .into_iter()
                .map(|task| (task, Wait::Until(0)))
                .collect(),
            paused_until: 0,
            ingest: Some(ingest),
        }
    }

    fn processor(&self, consumer: u32) -> Party {
        let processor = Processor::new(&self.world, consumer, self.skew());
        let of = || Rc::clone(&processor);
        let tasks: Vec<Task> = vec![
            Box::pin(of().read()),
            Box::pin(of().work()),
            Box::pin(of().work()),
            Box::pin(of().claim()),
            Box::pin(of().tick()),
            Box::pin(of().reconcile()),
            Box::pin(of().keep_house()),
        ];
        Party {
            kind: PartyKind::Processor { consumer },
            tasks: tasks
                .into_iter()
                .map(|task| (task, Wait::Until(0)))
                .collect(),
            paused_until: 0,
            ingest: None,
        }
    }

    /// How far a clock is off.
    fn skew(&self) -> i64 {
        let mut world = self.world.borrow_mut();
        let most = world.plan.skew_ms;
        let drawn = i64::try_from(world.rng.below(2 * most + 1)).unwrap_or(0);
        drawn - i64::try_from(most).unwrap_or(0)
    }

    /// Drops what is on the network to or from nobody any more, and what was lost.
    fn forget_packet(&mut self, at: usize) {
        let mut world = self.world.borrow_mut();
        let packet = world.packets.remove(at);
        world.note(|| match packet.body {
            Body::Request(_) => format!("lost: request {}", packet.call),
            Body::Reply(_) => format!("lost: answer to {}", packet.call),
        });
    }
}

enum Chosen {
    Packet(usize),
    Task(usize, usize),
}
