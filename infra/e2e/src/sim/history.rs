//! Scripted histories: a simulation in which nothing happens by itself, and a script that makes
//! it happen.

use std::cell::{Ref, RefMut};
use std::rc::Rc;

use super::defect::Defect;
use super::ingest::{Outcome, dated};
use super::plan::Plan;
use super::world::{Fate, Kind, Shared, Wait, World};
use super::{Sim, Task};

/// Steps within which a script's condition has to hold.
const STEPS_MAX: usize = 40_000;

impl Sim {
    /// A world of `plan` in which nothing goes wrong by itself. Parties are numbered: ingests
    /// first, then processors.
    pub fn scripted(plan: Plan, defect: Option<Defect>) -> Self {
        Self::new(0, plan, defect, true)
    }

    /// The world as it is.
    pub fn world(&self) -> Ref<'_, World> {
        self.world.borrow()
    }

    /// The world, to change it.
    pub fn world_mut(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    /// The world, beyond the end of the simulation.
    pub fn shared(&self) -> Shared {
        self.world.clone()
    }

    /// The next request of `kind` meets `fate`.
    pub fn rule(&self, kind: Kind, fate: Fate) {
        self.world.borrow_mut().rules.push((kind, fate));
    }

    /// What was held arrives.
    pub fn release(&self) {
        for packet in &mut self.world.borrow_mut().packets {
            packet.is_held = false;
        }
    }

    /// Whether something is held.
    pub fn is_held(&self) -> bool {
        self.world.borrow().is_held()
    }

    /// A client sends ingest `party` one request: frames of undated events, by number and type.
    pub fn send(&mut self, party: usize, frames: &[&[(u64, &str)]]) {
        self.send_dated(party, 0, frames);
    }

    /// As well, of events of `at_ms`.
    pub fn send_dated(&mut self, party: usize, at_ms: u64, frames: &[&[(u64, &str)]]) {
        let draft = |frame: &&[(u64, &str)]| {
            frame
                .iter()
                .map(|(number, kind)| dated(*number, kind, at_ms))
                .collect()
        };
        let drafts: Vec<Vec<_>> = frames.iter().map(draft).collect();
        let Some(ingest) = self.parties[party].ingest.clone() else {
            return;
        };
        let task: Task = Box::pin(async move {
            let outcome: Outcome = Rc::clone(&ingest).request(drafts).await;
            // The world has noted it.
            let _: Outcome = outcome;
        });
        self.parties[party].tasks.push((task, Wait::Until(0)));
    }

    /// Goes on until `condition` holds.
    ///
    /// # Panics
    /// It never does; the message names `what` and ends with the trace.
    #[expect(
        clippy::panic,
        reason = "a script that does not go on is a failed test"
    )]
    pub fn until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        for _ in 0..STEPS_MAX {
            if condition(&self.world.borrow()) {
                return;
            }
            self.step();
        }
        let trace = self.world.borrow_mut().take_trace();
        panic!("{}\nnever: {what}", trace.join("\n"));
    }

    /// Goes on for `ms`.
    pub fn wait(&mut self, ms: u64) {
        let until_ms = self.world.borrow().now_ms + ms;
        self.run_until(until_ms);
    }
}

impl World {
    /// Whether something is held.
    pub fn is_held(&self) -> bool {
        self.packets.iter().any(|packet| packet.is_held)
    }

    /// Whether a server works on something.
    pub fn is_building(&self) -> bool {
        self.packets.iter().any(|packet| packet.is_inside)
    }

    /// Events that receipts name as expired.
    pub fn expired(&self) -> u32 {
        self.mongo
            .receipts()
            .map(|(receipt, _)| receipt.settle.expired)
            .sum()
    }

    /// Whether 202 was answered for event `number`.
    pub fn is_accepted(&self, number: u64) -> bool {
        let told = self.ledger.told.get(&number);
        told.is_some_and(|told| !told.accepted_by.is_empty())
    }

    /// Whether every request with event `number` ended in "not accepted".
    pub fn is_refused(&self, number: u64) -> bool {
        self.ledger
            .told
            .get(&number)
            .is_some_and(|told| told.possible == 0)
    }

    /// Events counted.
    pub fn counted(&self) -> i64 {
        let all = self
            .redis
            .partitions
            .iter()
            .flat_map(|partition| partition.counts.values());
        all.sum()
    }

    /// Entries acknowledged: events of them.
    pub fn acknowledged(&self) -> i64 {
        self.redis
            .partitions
            .iter()
            .map(|partition| partition.acknowledged)
            .sum()
    }

    /// Documents stored in spans, receipts, and dead letters.
    pub fn stored(&self) -> [usize; 3] {
        let receipts = self.mongo.receipts().count();
        let others = self.mongo.data().documents.len();
        [self.mongo.events().count(), receipts, others - receipts]
    }

    /// Entries on the streams.
    pub fn entries(&self) -> usize {
        let streams = self
            .redis
            .partitions
            .iter()
            .flat_map(|partition| &partition.stream);
        streams.map(|stream| stream.entries.len()).sum()
    }

    /// Events reported as possibly lost.
    pub fn possibly_lost(&self) -> u64 {
        self.ledger.possibly_lost.values().sum()
    }
}
