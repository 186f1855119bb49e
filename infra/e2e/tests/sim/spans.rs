//! Named histories of spans: what sleeps, dies or comes from an old copy while a span is made,
//! sealed or dropped. Each is shown to need the rule it is about.

use evp_e2e::sim::defect::Defect;
use evp_e2e::sim::plan::{Plan, Promise, Waits};
use evp_e2e::sim::span::Span;
use evp_e2e::sim::world::{Fate, Kind, START_MS, World};
use evp_e2e::sim::{Failure, Sim, check};

use crate::found::shows;

const UNIT_MS: u64 = 5_000;

/// Spans of five seconds, kept for ten.
const ENDING: Plan = Plan {
    waits: Some(WAITS),
    ..Plan::QUIET
};
/// The same, and nothing is dropped.
const ENDLESS: Plan = Plan {
    waits: Some(Waits {
        keep_ms: None,
        ..WAITS
    }),
    ..Plan::QUIET
};
const WAITS: Waits = Waits {
    unit_ms: UNIT_MS,
    keep_ms: Some(2 * UNIT_MS),
    hold_ms: 3_000,
    quiet_ms: 1_000,
    build_ms: 3_000,
    lease_ms: 5_000,
};
const TWO_PROCESSORS: Plan = Plan {
    processors: 2,
    ..ENDING
};

/// The span in which every history begins.
fn first() -> Span {
    Span::At(START_MS / UNIT_MS)
}

fn is_dropped(world: &World) -> bool {
    let data = world.mongo.data();
    !data.dropped.is_empty() && !data.meta.rows.contains_key(&first())
}

/// The processor that has what is pending sleeps, with its next request of `kind` on its way, until
/// another one stored its event and the span is dropped.
fn sleeps_before(kind: Kind, defect: Option<Defect>) -> Result<(), Failure> {
    let mut sim = Sim::scripted(TWO_PROCESSORS, defect);
    sim.rule(kind, Fate::Hold);
    sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
    sim.until("it is on its way", World::is_held);
    let holder = if sim.world().redis.partitions[0].has_pending_of(0) {
        1
    } else {
        2
    };
    sim.pause(holder, 120_000);
    sim.until("the span is dropped", is_dropped);
    sim.release();
    sim.wait(1_000);
    sim.settle_down()
}

#[test]
fn history_31_processor_sleeps_before_its_insert_until_the_span_is_dropped() {
    shows(Defect::PlainInsert, |defect| {
        sleeps_before(Kind::Insert, defect)
    });
}

#[test]
fn history_32_processor_sleeps_before_it_makes_the_span_until_it_is_dropped() {
    shows(Defect::GoneReadBeforeRow, |defect| {
        sleeps_before(Kind::Create, defect)
    });
}

#[test]
fn history_33_mongod_is_killed_while_it_builds_an_index() {
    shows(Defect::BuiltFromList, |defect| {
        let mut plan = ENDLESS;
        // Longer than the asker waits, so that it asks again.
        plan.waits.as_mut().unwrap().build_ms = 20_000;
        let mut sim = Sim::scripted(plan, defect);
        sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
        sim.until("it is being built", World::is_building);
        sim.wait(15_000);
        sim.mongo_is_killed();
        let world = sim.shared();
        sim.settle_down()?;
        let world = world.borrow();
        let data = world.mongo.data();
        assert!(data.meta.rows[&first()].is_sealed, "never asked for again");
        Ok(())
    });
}

#[test]
fn history_34_drop_is_lost() {
    shows(Defect::RowBeforeDrop, |defect| {
        let mut sim = Sim::scripted(ENDING, defect);
        sim.rule(Kind::Drop, Fate::LoseRequest);
        sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
        sim.until("counted", |world| world.counted() == 1);
        sim.wait(30_000);
        sim.settle_down()
    });
}

#[test]
fn history_35_deposed_primary_lists_a_collection_that_was_rolled_back() {
    shows(Defect::UuidFromList, deposed_primary_lists);
}

pub(crate) fn deposed_primary_lists(defect: Option<Defect>) -> Result<(), Failure> {
    let is_made = |world: &World| world.mongo.data().collections.contains_key(&first());
    let mut sim = Sim::scripted(ENDLESS, defect);
    sim.world_mut().mongo.is_alone = true;
    sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
    sim.until("the primary has it", is_made);
    sim.world_mut().mongo.step_down(0);
    assert!(!is_made(&sim.world()));
    sim.until("made again", is_made);
    sim.world_mut().mongo.is_stale = true;
    sim.wait(5_000);
    sim.settle_down()
}

#[test]
fn history_36_old_mongodb_with_a_newer_redis() {
    for defect in [Defect::MismatchIsExpired, Defect::RowNeverReadAgain] {
        shows(defect, mongodb_comes_from_an_old_copy);
    }
}

pub(crate) fn mongodb_comes_from_an_old_copy(defect: Option<Defect>) -> Result<(), Failure> {
    let mut sim = Sim::scripted(ENDLESS, defect);
    sim.wait(100);
    let copied = sim.world().mongo.written();
    sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
    sim.until("counted", |world| world.counted() == 1);
    sim.world_mut().mongo.restore(copied);
    // The row that the processor knows names a collection that is not there.
    sim.send_dated(0, START_MS + 200, &[&[(2, "click")]]);
    sim.wait(60_000);
    let mut world = sim.world_mut();
    let problem = match check::after_restore(&world) {
        Ok(()) if world.stored() == [1, 1, 0] => return Ok(()),
        Ok(()) => format!("stored are {:?}", world.stored()),
        Err(problem) => problem,
    };
    Err(Failure {
        seed: 0,
        problem,
        trace: world.take_trace(),
    })
}

#[test]
fn history_37_old_redis_with_a_newer_mongodb() {
    shows(Defect::FloorFalls, |defect| {
        let forgetful = Plan {
            promise: Promise::Nothing,
            ..ENDING
        };
        let mut sim = Sim::scripted(forgetful, defect);
        sim.wait(200);
        let writes = sim.world().redis.written();
        sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
        sim.until("the span is dropped", is_dropped);
        sim.redis_forgets(writes);
        // Before anybody writes the floor again.
        sim.pause(1, 5_000);
        sim.wait(4_000);
        sim.send_dated(0, START_MS + 100, &[&[(2, "click")]]);
        sim.wait(1_000);
        assert!(defect.is_some() || sim.world().is_refused(2));
        sim.settle_down()
    });
}

#[test]
fn history_38_ingest_that_never_knew_the_floor_accepts_what_is_gone() {
    let forgetful = Plan {
        promise: Promise::Nothing,
        ..ENDING
    };
    let mut sim = Sim::scripted(forgetful, None);
    sim.wait(200);
    let writes = sim.world().redis.written();
    sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
    sim.until("the span is dropped", is_dropped);
    sim.pause(1, 5_000);
    sim.redis_forgets(writes);
    sim.crash(0);
    sim.send_dated(0, START_MS + 100, &[&[(1, "click")], &[(2, "click")]]);
    sim.until("accepted", |world| world.is_accepted(2));
    let world = sim.shared();
    if let Err(failure) = sim.settle_down() {
        panic!("{failure}");
    }
    // The first one was counted before; neither is stored or counted again, both are in receipts.
    assert_eq!(world.borrow().expired(), 2);
    assert_eq!(world.borrow().counted(), 1);
}

#[test]
fn history_39_floor_stands_while_an_entry_is_pending() {
    shows(Defect::DropByAge, |defect| {
        let mut sim = Sim::scripted(TWO_PROCESSORS, defect);
        sim.rule(Kind::Insert, Fate::Hold);
        sim.send_dated(0, START_MS + 100, &[&[(1, "click")]]);
        sim.until("it is on its way", World::is_held);
        // Who takes their place does not get through either.

        for at in [1, 2] {
            sim.crash(at);
        }
        sim.rule(Kind::Insert, Fate::LoseRequest);
        sim.rule(Kind::Insert, Fate::LoseRequest);
        sim.rule(Kind::Insert, Fate::LoseRequest);
        sim.wait(40_000);
        sim.settle_down()
    });
}

#[test]
fn history_40_entry_that_came_while_the_floor_stood_is_waited_for() {
    shows(
        Defect::OnlyUntilTheFloorRose,
        entry_that_came_while_the_floor_stood,
    );
}

pub(crate) fn entry_that_came_while_the_floor_stood(defect: Option<Defect>) -> Result<(), Failure> {
    let mut plan = ENDING;
    plan.waits.as_mut().unwrap().hold_ms = 10_000;
    let mut sim = Sim::scripted(plan, defect);
    sim.until("a floor stands", |world| {
        let standing = world.mongo.data().meta.standing.as_ref();
        standing.is_some_and(|one| one.floor_ms + UNIT_MS > START_MS)
    });
    // It was checked against the floor from before, and is on its way for a while.
    sim.wait(2_000);
    let standing = sim.world().mongo.data().meta.standing.clone().unwrap();
    let at_ms = standing.floor_ms - 100;
    sim.world_mut().redis.floor_ms = None;
    sim.crash(0);
    for _ in 0..6 {
        sim.rule(Kind::Insert, Fate::LoseRequest);
    }
    sim.send_dated(0, at_ms, &[&[(1, "click")]]);
    sim.until("accepted", |world| world.is_accepted(1));
    sim.wait(60_000);
    sim.settle_down()
}
