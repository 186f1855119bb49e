//! The named histories of the protocol's design, by the number of their row. Each ends with the
//! check of everything: nothing lost, nothing counted twice, nothing left over.

use evp_e2e::sim::defect::Defect;
use evp_e2e::sim::plan::{Plan, Promise};
use evp_e2e::sim::redis::RedisOp;
use evp_e2e::sim::world::{Fate, Kind, World};
use evp_e2e::sim::{Failure, Sim};

const ONE: Plan = Plan::QUIET;
const TWO_PROCESSORS: Plan = Plan {
    processors: 2,
    ..Plan::QUIET
};
const FORGETFUL: Plan = Plan {
    promise: Promise::Nothing,
    ..Plan::QUIET
};
const HELD: Plan = Plan {
    promise: Promise::Window,
    ..Plan::QUIET
};

/// Stored, receipts, dead letters; counted.
fn sum(world: &World) -> ([usize; 3], i64) {
    (world.stored(), world.counted())
}

fn ends(sim: Sim, expected: ([usize; 3], i64)) {
    let world = sim.shared();
    if let Err(failure) = sim.settle_down() {
        panic!("{failure}");
    }
    assert_eq!(sum(&world.borrow()), expected);
}

fn crash_after_losing_the_reply_of(kind: Kind) {
    let mut sim = Sim::scripted(ONE, None);
    sim.rule(kind, Fate::LoseReply);
    sim.send(0, &[&[(1, "click"), (2, "view")]]);
    sim.until("it was done", |world| match kind {
        Kind::Insert => world.stored()[0] == 2,
        Kind::Receipt => world.stored()[1] == 1,
        _ => world.acknowledged() == 2,
    });
    sim.crash(1);
    ends(sim, ([2, 1, 0], 2));
}

#[test]
fn history_01_crash_after_insert() {
    crash_after_losing_the_reply_of(Kind::Insert);
}

#[test]
fn history_01_crash_after_receipt() {
    crash_after_losing_the_reply_of(Kind::Receipt);
}

#[test]
fn history_01_crash_after_commit() {
    crash_after_losing_the_reply_of(Kind::Commit);
}

#[test]
fn history_02_zombie_commits_what_another_claimed() {
    let mut sim = Sim::scripted(TWO_PROCESSORS, None);
    sim.rule(Kind::Commit, Fate::Hold);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("the commit is on its way", |world| world.stored()[1] == 1);
    sim.wait(100);
    assert!(sim.is_held());
    let holder = if sim.world().redis.partitions[0].has_pending_of(0) {
        1
    } else {
        2
    };
    sim.pause(holder, 60_000);
    sim.until("the other one counted it", |world| world.counted() == 1);
    sim.release();
    sim.wait(60_000);
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_03_insert_reached_only_the_primary() {
    let mut sim = Sim::scripted(ONE, None);
    sim.world_mut().mongo.is_alone = true;
    sim.send(0, &[&[(1, "click")]]);
    sim.until("the primary has it", |world| world.stored()[0] == 1);
    sim.crash(1);
    sim.wait(20_000);
    assert_eq!(
        sim.world().acknowledged(),
        0,
        "committed on what a find saw"
    );
    sim.world_mut().mongo.step_down(0);
    assert_eq!(sim.world().stored()[0], 0);
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_04_duplicate_key_without_write_concern_error_is_safe() {
    let mut sim = Sim::scripted(ONE, None);
    sim.rule(Kind::Insert, Fate::LoseReply);
    sim.rule(Kind::Receipt, Fate::LoseReply);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("counted", |world| world.counted() == 1);
    sim.world_mut().mongo.step_down(0);
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_04b_deposed_primary_answers_the_look_up() {
    let mut sim = Sim::scripted(ONE, None);
    sim.rule(Kind::Insert, Fate::LoseReply);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("stored", |world| world.stored()[0] == 1);
    sim.world_mut().mongo.is_stale = true;
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_05_step_down_inside_an_insert_makes_no_dead_letter() {
    let mut sim = Sim::scripted(ONE, None);
    sim.world_mut().mongo.is_stepping_down = true;
    sim.send(0, &[&[(1, "click"), (2, "click"), (3, "view")]]);
    sim.until("counted", |world| world.counted() == 3);
    ends(sim, ([3, 1, 0], 3));
}

#[test]
fn history_06_one_event_in_two_frames() {
    for kind in [Kind::Insert, Kind::LookUp, Kind::Receipt] {
        let mut sim = Sim::scripted(TWO_PROCESSORS, None);
        sim.rule(kind, Fate::LoseReply);
        sim.send(0, &[&[(1, "click")]]);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("on the stream", |world| world.is_accepted(1));
        sim.wait(500);
        sim.crash(1);
        ends(sim, ([1, 2, 0], 1));
    }
}

#[test]
fn history_07_one_event_twice_in_a_frame_counts_under_the_stored_type() {
    let mut sim = Sim::scripted(ONE, None);
    sim.world_mut().mongo.is_stepping_down = true;
    sim.send(0, &[&[(1, "click"), (1, "view"), (2, "bad"), (2, "view")]]);
    sim.until("counted", |world| world.counted() == 2);
    let world = sim.shared();
    ends(sim, ([2, 1, 0], 2));
    // What is twice in a frame goes with the suspects, which were stored as the first ones were not.
    assert_eq!(world.borrow().redis.partitions[0].counts["view"], 2);
}

#[test]
fn history_08_reply_lost_then_read_only() {
    let mut sim = Sim::scripted(ONE, None);
    sim.rule(Kind::Append, Fate::LoseReply);
    sim.rule(Kind::Append, Fate::ReadOnly);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("accepted", |world| world.is_accepted(1));
    let appended = sim.world().redis.partitions[0].appended;
    assert_eq!(appended, 2, "two entries of one frame");
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_09_second_entry_long_after_the_commit() {
    let mut sim = Sim::scripted(ONE, None);
    sim.rule(Kind::Append, Fate::Hold);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("counted", |world| world.counted() == 1);
    sim.wait(300_000);
    sim.release();
    sim.until("twice on the stream", |world| {
        world.redis.partitions[0].appended == 2
    });
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_10_a_frame_belongs_to_one_partition() {
    let mut sim = Sim::scripted(
        Plan {
            partitions: 2,
            ..ONE
        },
        None,
    );
    sim.rule(Kind::Append, Fate::LoseReply);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("accepted", |world| world.is_accepted(1));
    let appended: Vec<i64> = sim
        .world()
        .redis
        .partitions
        .iter()
        .map(|partition| partition.appended)
        .collect();
    assert!(appended == [2, 0] || appended == [0, 2], "{appended:?}");
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_11_and_14_a_full_redis_takes_nothing_of_a_request() {
    let mut sim = Sim::scripted(
        Plan {
            entries_max: 0,
            ..ONE
        },
        None,
    );
    sim.send(0, &[&[(1, "click")], &[(2, "click")]]);
    sim.until("refused", |world| {
        world.is_refused(1) && world.is_refused(2)
    });
    assert_eq!(sim.world().entries(), 0);
    ends(sim, ([0, 0, 0], 0));
}

#[test]
fn history_12_and_13_a_full_redis_drains_and_takes_again() {
    let mut sim = Sim::scripted(
        Plan {
            entries_max: 2,
            ..ONE
        },
        None,
    );
    sim.pause(1, 5_000);
    sim.send(0, &[&[(1, "click")], &[(2, "click")]]);
    sim.until("full", |world| world.entries() == 2);
    let writes = sim.world().redis.written();
    sim.redis_forgets(writes);
    sim.send(0, &[&[(3, "click")]]);
    sim.until("taken again", |world| world.is_accepted(3));
    ends(sim, ([3, 3, 0], 3));
}

#[test]
fn history_17_left_overs_of_a_living_consumer() {
    let mut sim = Sim::scripted(ONE, None);
    sim.world_mut().mongo.is_alone = true;
    sim.send(0, &[&[(1, "click")]]);
    sim.until("the primary has it", |world| world.stored()[0] == 1);
    sim.wait(3_000);
    sim.world_mut().mongo.heal();
    sim.until("counted", |world| world.counted() == 1);
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_20_log_cut_behind_the_entry() {
    let mut sim = Sim::scripted(FORGETFUL, None);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("accepted", |world| world.is_accepted(1));
    let writes = sim.world().redis.written();
    sim.until("counted", |world| world.counted() == 1);
    sim.redis_forgets(writes);
    assert_eq!(sim.world().counted(), 0);
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_21_log_cut_before_the_entry() {
    for plan in [FORGETFUL, HELD] {
        let mut sim = Sim::scripted(plan, None);
        sim.until("greeted", |world| world.redis.partitions[0].life.is_some());
        let writes = sim.world().redis.written();
        sim.send(0, &[&[(1, "click")]]);
        sim.until("counted", |world| world.counted() == 1);
        sim.redis_forgets(writes);
        sim.until("counted again", |world| world.counted() == 1);
        ends(sim, ([1, 1, 0], 1));
    }
}

#[test]
fn history_22_receipt_written_after_reconcile() {
    let mut sim = Sim::scripted(FORGETFUL, None);
    sim.until("greeted", |world| world.redis.partitions[0].life.is_some());
    sim.wait(2_000);
    let writes = sim.world().redis.written();
    sim.rule(Kind::Receipt, Fate::Hold);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("stored", |world| world.stored()[0] == 1);
    sim.wait(100);
    assert!(sim.is_held());
    sim.crash(1);
    sim.redis_forgets(writes);
    sim.wait(30_000);
    sim.release();
    sim.until("its writer is dead", |world| world.stored()[1] == 1);
    ends(sim, ([1, 1, 0], 1));
}

#[test]
fn history_23_entry_gone_and_stored_nowhere() {
    for (plan, stored, lost) in [(HELD, 1, 0), (FORGETFUL, 0, 1)] {
        let mut sim = Sim::scripted(plan, None);
        sim.until("greeted", |world| world.redis.partitions[0].life.is_some());
        let writes = sim.world().redis.written();
        sim.pause(1, 3_000);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("accepted", |world| world.is_accepted(1));
        sim.redis_forgets(writes);
        sim.wait(10_000);
        assert_eq!(sim.world().possibly_lost(), lost);
        ends(sim, ([stored, stored, 0], i64::try_from(stored).unwrap()));
    }
}

#[test]
fn history_25_two_lives_in_quick_succession() {
    for plan in [HELD, FORGETFUL] {
        let mut sim = Sim::scripted(Plan { ingests: 2, ..plan }, None);
        sim.send(0, &[&[(1, "click")]]);
        sim.until("accepted", |world| world.is_accepted(1));
        sim.until("counted", |world| world.counted() == 1);
        sim.pause(0, 4_000);
        sim.redis_forgets(4);
        sim.send(1, &[&[(2, "click")]]);
        sim.until("accepted", |world| world.is_accepted(2));
        let writes = sim.world().redis.written();
        sim.redis_forgets(writes);
        sim.wait(10_000);
        ends(sim, ([2, 2, 0], 2));
    }
}

#[test]
fn history_26_nobody_appends_before_hello() {
    let mut sim = Sim::scripted(Plan { ingests: 2, ..HELD }, None);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("accepted", |world| world.is_accepted(1));
    let writes = sim.world().redis.written();
    sim.redis_forgets(writes);
    let before = sim.world().redis.partitions[0].cuts.len();
    sim.send(1, &[&[(2, "click")]]);
    sim.until("accepted", |world| world.is_accepted(2));
    assert_eq!(sim.world().redis.partitions[0].cuts.len(), before + 1);
    ends(sim, ([2, 2, 0], 2));
}

#[test]
fn history_27_entry_id_used_again_while_a_zombie_holds_it() {
    let mut sim = Sim::scripted(HELD, None);
    sim.until("greeted", |world| world.redis.partitions[0].life.is_some());
    let writes = sim.world().redis.written();
    sim.rule(Kind::Commit, Fate::Hold);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("the commit is on its way", |world| world.stored()[1] == 1);
    sim.wait(100);
    assert!(sim.is_held());
    sim.pause(1, 2_000);
    sim.redis_forgets(writes);
    sim.send(0, &[&[(2, "view")]]);
    sim.until("accepted", |world| world.is_accepted(2));
    sim.release();
    sim.wait(50);
    assert_eq!(sim.world().acknowledged(), 0, "the zombie acknowledged it");
    ends(sim, ([2, 2, 0], 2));
}

#[test]
fn history_28_answer_of_an_older_life() {
    answer_of_an_older_life(None).unwrap();
}

pub(crate) fn answer_of_an_older_life(defect: Option<Defect>) -> Result<(), Failure> {
    let mut sim = Sim::scripted(HELD, defect);
    sim.until("greeted", |world| world.redis.partitions[0].life.is_some());
    sim.wait(500);
    let writes = sim.world().redis.written();
    sim.pause(1, 10_000);
    sim.rule(Kind::Append, Fate::HoldReply);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("appended", |world| world.entries() == 1);
    sim.redis_forgets(writes);
    sim.until("a new life is heard of", |world| {
        world.redis.partitions[0].cuts.len() == 2
    });
    sim.wait(50);
    sim.release();
    sim.until("accepted", |world| world.is_accepted(1));
    sim.settle_down()
}

#[test]
fn history_29_entry_id_used_again_after_the_stream_was_deleted() {
    entry_id_used_again_after_delete(None).unwrap();
}

pub(crate) fn entry_id_used_again_after_delete(defect: Option<Defect>) -> Result<(), Failure> {
    let mut sim = Sim::scripted(FORGETFUL, defect);
    sim.rule(Kind::Commit, Fate::Hold);
    sim.send(0, &[&[(1, "click")]]);
    sim.until("the commit is on its way", |world| world.stored()[1] == 1);
    sim.wait(20);
    assert!(sim.is_held());
    sim.by_hand(&RedisOp::DeleteStream { partition: 0 });
    sim.send(0, &[&[(2, "view")]]);
    sim.until("read", |world| world.redis.partitions[0].has_pending_of(0));
    sim.release();
    sim.settle_down()
}

#[test]
fn history_29_somebody_deletes() {
    let destroy = RedisOp::DestroyGroup { partition: 0 };
    let delete = RedisOp::DeleteStream { partition: 0 };
    for (op, when_counted) in [
        (RedisOp::Flush, true),
        (destroy.clone(), true),
        (destroy, false),
        (delete.clone(), true),
    ] {
        let mut sim = Sim::scripted(FORGETFUL, None);
        sim.send(0, &[&[(1, "click"), (2, "view")]]);
        sim.until("accepted", |world| {
            world.is_accepted(1) && (!when_counted || world.counted() == 2)
        });
        sim.by_hand(&op);
        sim.until("counted again", |world| world.counted() == 2);
        ends(sim, ([2, 1, 0], 2));
    }
    let mut sim = Sim::scripted(FORGETFUL, None);
    sim.pause(1, 5_000);
    sim.send(0, &[&[(1, "click"), (2, "view")]]);
    sim.until("accepted", |world| world.is_accepted(1));
    sim.by_hand(&delete);
    sim.wait(10_000);
    assert_eq!(
        sim.world().redis.partitions[0].lost,
        2,
        "the backlog is reported"
    );
    ends(sim, ([0, 0, 0], 0));
}

#[test]
fn history_30b_validator_differs_between_deliveries() {
    let mut sim = Sim::scripted(ONE, None);
    sim.rule(Kind::Commit, Fate::LoseRequest);
    sim.send(0, &[&[(1, "bad"), (2, "view")]]);
    sim.until("refused", |world| world.stored() == [1, 1, 1]);
    sim.world_mut().mongo.has_validator = false;
    sim.until("counted", |world| world.counted() == 1);
    // The receipt that exists is the frame's outcome, whatever a later delivery is told.
    ends(sim, ([1, 1, 1], 1));
}

#[test]
fn history_30c_receipt_that_a_read_missed_is_read_back() {
    receipt_that_a_read_missed(None).unwrap();
}

pub(crate) fn receipt_that_a_read_missed(defect: Option<Defect>) -> Result<(), Failure> {
    let mut plan = ONE;
    // What a later delivery stores is not in the receipt: `verify --deep` finds it.
    plan.mix.validator = 1;
    let mut sim = Sim::scripted(plan, defect);
    // The reconcile of a starting processor would settle it.
    sim.wait(2_000);
    sim.rule(Kind::Commit, Fate::LoseRequest);
    sim.send(0, &[&[(1, "bad"), (2, "view")]]);
    sim.until("refused", |world| world.stored() == [1, 1, 1]);
    sim.world_mut().mongo.has_validator = false;
    sim.world_mut().mongo.is_stale = true;
    sim.until("delivered again", |world| world.stored() == [2, 1, 1]);
    sim.settle_down()
}
