//! All fault scenarios in the size that every test run can afford; `make faults` runs larger ones.

use std::collections::BTreeSet;

use anyhow::Result;
use evp_e2e::scenario::{ALL, Size, run};

/// Disks that are full are mounted, which takes root: `.ci/run` runs this row by the binary.
const DISKS: u8 = 14;
/// Of the last release, which `make faults` builds.
const UPGRADE: &str = "upgrade";

macro_rules! promises {
    ($($promise:ident: $scenario:literal;)*) => {
        const RUN: &[&str] = &[$($scenario),*];
        $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() -> Result<()> {
            run($scenario, Size::Test).await.map(drop)
        }
        )*
    };
}

promises! {
    everything_is_stored_and_counted_without_a_fault: "no_fault";
    a_changed_configuration_is_taken_over_whole_or_not_at_all: "reloaded";
    what_was_accepted_is_what_became_of_it: "books";
    events_survive_a_processor_that_is_killed_again_and_again: "processor_killed";
    events_survive_an_ingest_that_is_killed_while_clients_retry: "ingest_killed";
    an_append_whose_answer_is_lost_is_counted_once: "answer_lost_after_append";
    an_insert_whose_answer_is_lost_is_counted_once: "answer_lost_after_insert";
    a_receipt_whose_answer_is_lost_is_counted_once: "answer_lost_after_receipt";
    a_commit_whose_answer_is_lost_is_counted_once: "answer_lost_after_commit";
    a_dead_letter_whose_answer_is_lost_is_kept_once: "answer_lost_after_dead_letter";
    acknowledged_events_survive_a_redis_that_is_killed: "redis_killed";
    what_a_redis_that_writes_every_second_loses_is_reported: "redis_killed_everysec";
    requests_are_refused_whole_while_redis_is_away: "redis_away";
    a_log_without_its_end_loses_nothing_that_ingest_holds: "redis_log_cut";
    what_a_log_without_its_end_loses_is_reported: "redis_log_cut_without_replay";
    what_a_replica_lacks_is_reported: "replica_promoted_fsync";
    what_a_replica_lacks_was_not_acknowledged: "replica_promoted_replicated";
    what_a_replica_lacks_is_reported_with_everysec: "replica_promoted_everysec";
    what_a_replica_lacks_is_reported_with_memory: "replica_promoted_memory";
    counters_equal_what_is_stored_after_redis_forgets: "redis_forgets";
    a_group_and_scripts_that_are_gone_are_made_again: "scripts_and_group_gone";
    ingest_goes_on_while_mongodb_is_away: "mongo_away";
    people_are_told_that_mongodb_is_away: "mongo_away_told";
    a_backup_made_under_load_is_restored: "backup_restored";
    events_survive_a_primary_that_is_killed: "mongo_primary_killed";
    events_survive_a_primary_that_steps_down: "mongo_step_down";
    a_mongod_that_was_paused_loses_nothing: "mongo_paused";
    secondaries_that_were_paused_lose_nothing: "mongo_secondaries_paused";
    a_slow_mongod_loses_nothing: "mongo_slow";
    a_processor_that_was_paused_counts_nothing_twice: "processor_paused";
    an_ingest_that_was_paused_loses_nothing: "ingest_paused";
    a_redis_that_was_paused_loses_nothing: "redis_paused";
    an_aggregator_that_was_killed_shows_everything: "aggregator_killed_and_paused";
    connections_that_are_cut_lose_nothing: "connections_cut";
    connections_that_are_late_lose_nothing: "connections_late";
    connections_that_go_silent_lose_nothing: "connections_stalled";
    a_full_redis_drains_by_itself: "redis_full";
    the_same_ids_sent_at_once_are_stored_and_counted_once: "same_ids_at_once";
    two_consumers_of_one_entry_count_it_once: "two_consumers_of_one_entry";
    poison_becomes_dead_letters_and_its_neighbours_are_stored: "poison_entry";
    poison_under_load_becomes_dead_letters: "poison_under_load";
    a_frame_that_always_times_out_ends_as_poison: "frame_that_always_times_out";
    clocks_that_jump_count_nothing_twice: "clock_jumps";
    services_that_are_asked_to_end_leave_nothing_behind: "drain";
    pending_frames_of_a_killed_processor_are_claimed_and_stored: "recovery_at_speed";
    services_that_are_killed_in_turn_lose_nothing: "soak";
    the_same_body_sent_across_midnight_is_stored_once: "same_body_across_midnight";
    frames_of_many_days_survive_processors_that_are_killed: "many_days_in_a_frame";
    spans_that_are_sealed_and_dropped_lose_nothing: "spans_sealed_and_dropped";
    a_processor_that_sleeps_until_its_span_is_dropped_stores_nothing:
        "paused_until_its_span_is_dropped";
    nothing_is_dropped_that_a_backlog_still_has: "keep_lowered_and_raised";
    an_old_redis_takes_nothing_that_was_dropped: "old_redis_newer_mongodb";
    spans_that_an_old_mongodb_brings_back_are_dropped_again: "old_mongodb_newer_redis";
    overload_is_refused_and_drains: "overload";
    stalled_connections_keep_nobody_out: "slowloris";
}

#[test]
fn every_scenario_is_run() {
    let here: BTreeSet<&str> = RUN.iter().copied().collect();
    let of_table = ALL.iter().filter(|scenario| scenario.row != DISKS);
    let of_table = of_table.map(|scenario| scenario.name);
    assert_eq!(here, of_table.filter(|name| *name != UPGRADE).collect());
    let by_ci = include_str!("../../../../.ci/run");
    assert!(by_ci.contains(&format!("evp-faults run --quick --row {DISKS}")));
}
