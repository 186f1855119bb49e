//! What goes wrong, by the mix of the plan.

use super::ingest::number_of;
use super::plan::Promise;
use super::redis::RedisOp;
use super::world::{Body, Op, Packet, World};
use super::{PartyKind, Sim};

/// Ms a Redis that does more than forget nothing may forget under [`Promise::Window`].
const FORGOTTEN_MS: u64 = 2_000;

impl Sim {
    /// Rolls the dice once for each kind of fault.
    pub(super) fn fault(&mut self) {
        let mix = self.world.borrow().plan.mix;
        let roll = |sim: &Self, permille| sim.world.borrow_mut().rng.permille(permille);
        if roll(self, mix.lose) {
            self.lose();
        }
        if roll(self, mix.repeat) {
            self.repeat();
        }
        if roll(self, mix.crash) {
            let party = self.draw(self.parties.len());
            self.crash(party);
        }
        if roll(self, mix.pause) {
            let party = self.draw(self.parties.len());
            let ms = 1 + self.draw(40_000) as u64;
            self.pause(party, ms);
        }
        if roll(self, mix.redis) {
            self.redis_comes_back();
        }
        if roll(self, mix.read_only) {
            let mut world = self.world.borrow_mut();
            world.redis.is_read_only ^= true;
            world.note(|| "redis changes whether it is a replica".to_owned());
        }
        if roll(self, mix.hand) {
            self.delete_by_hand();
        }
        if roll(self, mix.mongo) {
            self.mongo_fails();
        }
        if roll(self, mix.mongo_killed) {
            self.mongo_is_killed();
        }
        if roll(self, mix.leap) {
            let ms = self.draw(20_000) as u64;
            let mut world = self.world.borrow_mut();
            world.note(|| format!("everything stands still for {ms} ms"));
            world.now_ms += ms;
        }
        if roll(self, mix.validator) {
            let mut world = self.world.borrow_mut();
            world.mongo.has_validator ^= true;
            world.note(|| "the validator is switched".to_owned());
        }
        let mut world = self.world.borrow_mut();
        if world.old_redis.is_some() && world.rng.permille(20) {
            world.old_redis = None;
            world.note(|| "the old primary is gone".to_owned());
        }
    }

    /// A long time without a fault, through which some parties sleep and some requests are on
    /// their way: when they wake and arrive, what they are about has ended.
    pub(super) fn night(&mut self) {
        let plan = self.world.borrow().plan;
        let night_ms = plan.waits.map_or(0, |waits| waits.night_ms());
        self.calm();
        let until_ms = self.world.borrow().now_ms + night_ms;
        for party in 0..self.parties.len() {
            // One processor at least is awake.
            if party + 1 < self.parties.len() && self.draw(2) == 0 {
                self.pause(party, night_ms);
            }
        }
        {
            let mut world = self.world.borrow_mut();
            world.is_calm = true;
            let World { packets, rng, .. } = &mut *world;
            for packet in packets {
                if rng.permille(300) {
                    packet.due_ms = until_ms;
                }
            }
        }
        self.run_until(until_ms);
        let mut world = self.world.borrow_mut();
        world.is_calm = false;
        world.note(|| "the night is over".to_owned());
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        self.calm();
        let mut world = self.world.borrow_mut();
        (world.is_sending, world.is_healed) = (false, true);
        world.rules.clear();
        let now_ms = world.now_ms;
        for packet in &mut world.packets {
            (packet.is_held, packet.due_ms) = (false, packet.due_ms.min(now_ms));
        }
        world.note(|| "healed".to_owned());
        drop(world);
        self.parties
            .iter_mut()
            .for_each(|party| party.paused_until = 0);
    }

    /// The servers work.
    fn calm(&mut self) {
        let mut world = self.world.borrow_mut();
        world.redis.is_read_only = false;
        world.redis.entries_max = usize::MAX;
        world.redis_up_at = 0;
        world.old_redis = None;
        world.mongo.now_ms = world.now_ms;
        world.mongo.heal();
    }

    /// Kills a party; another takes its place at once. What it sent stays on the network.
    pub fn crash(&mut self, party: usize) {
        let kind = self.parties[party].kind;
        let fresh = match kind {
            PartyKind::Ingest { incarnation } => {
                let mut world = self.world.borrow_mut();
                world.ledger.dead_ingests.insert(incarnation);
                let next = usize::try_from(world.number()).unwrap_or(0) + 1_000;
                world.note(|| format!("ingest {incarnation} dies, {next} starts"));
                drop(world);
                self.ingest(next)
            }
            PartyKind::Processor { consumer } => {
                let mut world = self.world.borrow_mut();
                let number = u32::try_from(world.number()).unwrap_or(0) + 1_000;
                let next = if world.rng.permille(500) {
                    consumer
                } else {
                    number
                };
                world.note(|| format!("processor {consumer} dies, {next} starts"));
                drop(world);
                self.processor(next)
            }
        };
        self.parties[party] = fresh;
        let mut world = self.world.borrow_mut();
        let down_ms = world.rng.below(8_000);
        let until = world.now_ms + if self.is_quiet { 0 } else { down_ms };
        drop(world);
        self.parties[party].paused_until = until;
    }

    /// Stops a party for `ms`.
    pub fn pause(&mut self, party: usize, ms: u64) {
        let mut world = self.world.borrow_mut();
        let kind = self.parties[party].kind;
        world.note(|| format!("{kind:?} stands still for {ms} ms"));
        self.parties[party].paused_until = world.now_ms + ms;
    }

    fn draw(&self, end: usize) -> usize {
        self.world.borrow_mut().rng.index(end)
    }

    fn lose(&mut self) {
        let count = self.world.borrow().packets.len();
        if count > 0 {
            let at = self.draw(count);
            self.forget_packet(at);
        }
    }

    fn repeat(&mut self) {
        let mut world = self.world.borrow_mut();
        let is_request = |packet: &&Packet| matches!(packet.body, Body::Request(_));
        let requests: Vec<Packet> = world.packets.iter().filter(is_request).cloned().collect();
        if !requests.is_empty() {
            let at = world.rng.index(requests.len());
            world.note(|| format!("repeated: request {}", requests[at].call));
            // One copy may be refused and the other one done: nobody can be told which.
            if let Body::Request(Op::Redis(RedisOp::Append { frames, .. })) = &requests[at].body {
                for event in frames.iter().flat_map(|frame| &frame.events) {
                    let told = world.ledger.told.entry(number_of(event)).or_default();
                    told.possible += 1;
                }
            }
            world.packets.push(requests[at].clone());
        }
    }

    /// Redis restarts, or a replica takes its place, as forgetful as the plan says.
    fn redis_comes_back(&mut self) {
        let mut world = self.world.borrow_mut();
        let (now_ms, all) = (world.now_ms, world.redis.written());
        let least = match world.plan.promise {
            Promise::Fsync => all,
            Promise::Window => world.redis.written_before(now_ms - FORGOTTEN_MS),
            Promise::Nothing => all.saturating_sub(world.rng.index(120)),
        };
        let kept = least + world.rng.index(all - least + 1);
        let was_replaced = world.plan.promise == Promise::Nothing && world.rng.permille(400);
        drop(world);
        if was_replaced {
            let mut world = self.world.borrow_mut();
            world.old_redis = Some(world.redis.clone());
        }
        self.redis_forgets(kept);
        if !was_replaced {
            let mut world = self.world.borrow_mut();
            let down_ms = if world.rng.permille(700) {
                world.rng.below(3_000)
            } else {
                world.rng.below(30_000)
            };
            world.redis_up_at = now_ms + down_ms;
        }
    }

    /// Redis comes back with its first `kept` writes.
    pub fn redis_forgets(&mut self, kept: usize) {
        let clock_ms = self.skew();
        let mut world = self.world.borrow_mut();
        let all = world.redis.written();
        if kept < all {
            world.ledger.forgotten_at = Some(world.now_ms);
        }
        let replication = world.number();
        world.note(|| format!("redis comes back with {kept} of {all} writes"));
        world.redis.come_back(kept, replication, clock_ms);
    }

    fn delete_by_hand(&mut self) {
        let mut world = self.world.borrow_mut();
        let partitions = u64::from(world.plan.partitions);
        let partition = u16::try_from(world.rng.below(partitions)).unwrap_or(0);
        let op = match world.rng.below(3) {
            0 => RedisOp::Flush,
            1 => RedisOp::DeleteStream { partition },
            _ => RedisOp::DestroyGroup { partition },
        };
        drop(world);
        self.by_hand(&op);
    }

    /// Somebody deletes keys.
    pub fn by_hand(&mut self, op: &RedisOp) {
        let mut world = self.world.borrow_mut();
        world.note(|| format!("by hand: {op:?}"));
        let now_ms = world.now_ms;
        match op {
            RedisOp::DeleteStream { partition } => {
                let at = &world.redis.partitions[usize::from(*partition)];
                let frames = at.stream.iter().flat_map(|stream| stream.entries.values());
                let events = frames.flat_map(|frame| &frame.events);
                let numbers: Vec<u64> = events.map(number_of).collect();
                world.ledger.deleted.extend(numbers);
                world.ledger.forgotten_at = Some(now_ms);
            }
            RedisOp::Flush => world.ledger.forgotten_at = Some(now_ms),
            _ => {}
        }
        world.redis.run(now_ms, op);
    }

    /// mongod is killed: commands it works on have no answer, indexes being built are gone.
    pub fn mongo_is_killed(&mut self) {
        let mut world = self.world.borrow_mut();
        let more = if world.plan.is_standalone {
            let at_risk = world.mongo.at_risk();
            world.rng.index(at_risk + 1)
        } else {
            0
        };
        world.note(|| format!("mongodb is killed, and starts again with {more} more"));
        world.mongo.restart(more);
        world.packets.retain(|packet| !packet.is_inside);
    }

    fn mongo_fails(&mut self) {
        let mut world = self.world.borrow_mut();
        world.mongo.now_ms = world.now_ms;
        if world.plan.is_standalone && world.rng.permille(700) {
            drop(world);
            return self.mongo_is_killed();
        }
        let at_risk = world.mongo.at_risk();
        let more = world.rng.index(at_risk + 1);
        match world.rng.below(6) {
            0 => world.mongo.is_alone = true,
            1 => world.mongo.is_stepping_down = true,
            2 => world.mongo.is_stale = true,
            3 => world.mongo.heal(),
            _ => world.mongo.step_down(more),
        }
        let state = (
            world.mongo.is_alone,
            world.mongo.is_stepping_down,
            world.mongo.is_stale,
        );
        world.note(|| format!("mongodb: alone, stepping down, stale {state:?}; kept {more} more"));
    }
}
