//! What the simulation found in the design as it was built, each as the shortest history that
//! shows it: with the defect it breaks the promise, without it holds.

use evp_e2e::sim::defect::Defect;
use evp_e2e::sim::plan::{Plan, Promise};
use evp_e2e::sim::world::{Fate, Kind, World};
use evp_e2e::sim::{Failure, Sim};

const HELD: Plan = Plan {
    promise: Promise::Window,
    ..Plan::QUIET
};
const FORGETFUL: Plan = Plan {
    promise: Promise::Nothing,
    ..Plan::QUIET
};

const STANDALONE: Plan = Plan {
    is_standalone: true,
    ..Plan::QUIET
};

pub(crate) fn shows(defect: Defect, history: fn(Option<Defect>) -> Result<(), Failure>) {
    if let Err(failure) = history(None) {
        panic!("{failure}");
    }
    assert!(history(Some(defect)).is_err(), "{defect:?} is not seen");
}

/// A world in which everybody has greeted, and the number of its writes.
fn greeted(plan: Plan, defect: Option<Defect>) -> (Sim, usize) {
    let mut sim = Sim::scripted(plan, defect);
    sim.until("greeted", |world| world.redis.partitions[0].life.is_some());
    sim.wait(200);
    let writes = sim.world().redis.written();
    (sim, writes)
}

/// Redis comes back with its first `writes` writes after `ms`.
fn is_away(sim: &mut Sim, writes: usize, ms: u64) {
    sim.redis_forgets(writes);
    let mut world = sim.world_mut();
    world.redis_up_at = world.now_ms + ms;
}

#[test]
fn held_frames_do_not_grow_old_while_redis_is_away() {
    shows(Defect::HeldAgesWhileAway, |defect| {
        let (mut sim, writes) = greeted(HELD, defect);
        sim.pause(1, 20_000);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("accepted", |world| world.is_accepted(1));
        // A restart of a Redis with much to load takes longer than the replay window.
        is_away(&mut sim, writes, 8_000);
        sim.wait(15_000);
        sim.settle_down()
    });
}

#[test]
fn frames_appended_again_are_held_anew() {
    shows(Defect::ReplayedKeepsItsAge, |defect| {
        let (mut sim, writes) = greeted(HELD, defect);
        sim.pause(1, 30_000);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("accepted", |world| world.is_accepted(1));
        is_away(&mut sim, writes, 8_000);
        sim.until("appended again", |world| world.entries() == 1);
        sim.wait(1_500);
        sim.redis_forgets(writes);
        sim.wait(10_000);
        sim.settle_down()
    });
}

#[test]
fn a_reconcile_that_fails_is_begun_again() {
    shows(Defect::CutTriedOnce, reconcile_fails);
}

pub(crate) fn reconcile_fails(defect: Option<Defect>) -> Result<(), Failure> {
    let (mut sim, writes) = greeted(FORGETFUL, defect);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("counted", |world| world.counted() == 1);
    sim.rule(Kind::Reconcile, Fate::LoseRequest);
    sim.redis_forgets(writes);
    sim.wait(5_000);
    sim.settle_down()
}

#[test]
fn a_life_with_a_lower_number_is_a_life() {
    shows(Defect::LifeGoesBack, |defect| {
        let life = |world: &World| world.redis.partitions[0].life.map_or(0, |life| life.0);
        let (mut sim, writes) = greeted(FORGETFUL, defect);
        // A server whose clock is ahead records a life that dies with it.
        sim.world_mut().redis.come_back(writes, 71, 60_000);
        sim.wait(15_000);
        assert!(
            life(&sim.world()) > sim.world().now_ms,
            "the life comes from the future"
        );
        sim.world_mut().redis.come_back(writes, 72, 0);
        sim.pause(1, 10_000);
        // Somebody who never heard of it greets first.
        sim.crash(0);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("accepted", |world| world.is_accepted(1));
        sim.wait(15_000);
        sim.settle_down()
    });
}

#[test]
fn a_receipt_that_is_not_synced_yet_is_none() {
    shows(Defect::ReadWithoutSync, |defect| {
        let mut sim = Sim::scripted(STANDALONE, defect);
        sim.rule(Kind::Insert, Fate::HoldReply);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("stored", |world| world.stored()[0] == 1);
        sim.world_mut().mongo.is_alone = true;
        sim.release();
        // Its receipt is written, it is delivered again, and its receipt is there.
        sim.wait(5_000);
        assert_eq!(sim.world().mongo.at_risk(), 1);
        sim.world_mut().mongo.restart(0);
        sim.settle_down()
    });
}

#[test]
fn what_another_process_synced_is_not_what_was_found() {
    shows(Defect::SyncOfAnyProcess, killed_between_find_and_sync);
}

pub(crate) fn killed_between_find_and_sync(defect: Option<Defect>) -> Result<(), Failure> {
    let mut sim = Sim::scripted(STANDALONE, defect);
    sim.world_mut().mongo.is_alone = true;
    sim.send(0, &[&[(1, "click")]]);
    sim.until("stored, not synced", |world| world.mongo.at_risk() == 1);
    // It is delivered again: its receipt is looked for, then its event.
    sim.rule(Kind::LookUp, Fate::Repeat);
    sim.rule(Kind::LookUp, Fate::HoldReply);
    sim.wait(3_000);
    assert!(sim.is_held(), "the event is found");
    sim.world_mut().mongo.restart(0);
    sim.release();
    sim.settle_down()
}
