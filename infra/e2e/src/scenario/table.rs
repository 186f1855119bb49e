use super::{
    Scenario, backup, books, connections, disks, hostile, lost_answers, mongo, overload, poison,
    processes, recovery, redis, reload, replicas, retention, spans, time, told, upgrade,
};

macro_rules! scenarios {
    ($($row:literal $name:literal $fault:literal $run:path;)*) => {
        /// All scenarios, in the order of the rows of docs/RELIABILITY.md.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: $name,
            row: $row,
            fault: $fault,
            run: |size| Box::pin($run(size)),
        }),*];
    };
}

scenarios! {
    1 "no_fault" "none, 4 partitions" processes::no_fault;
    2 "processor_killed" "SIGKILL of a processor" processes::processor_killed;
    3 "ingest_killed" "SIGKILL of an ingest" processes::ingest_killed;
    4 "answer_lost_after_append" "the answer to an append is lost" lost_answers::after_append;
    4 "answer_lost_after_insert" "the answer to an insert is lost" lost_answers::after_insert;
    4 "answer_lost_after_receipt" "the answer to a receipt is lost" lost_answers::after_receipt;
    4 "answer_lost_after_commit" "the answer to a commit is lost" lost_answers::after_commit;
    4 "answer_lost_after_dead_letter" "the answer to a dead letter is lost"
        lost_answers::after_dead_letter;
    5 "redis_killed_everysec" "SIGKILL of redis-server, everysec" redis::killed_everysec;
    6 "redis_killed" "SIGKILL of redis-server, always" redis::killed;
    6 "redis_away" "Redis is away" redis::away;
    7 "redis_log_cut" "the end of the append-only file is gone, replay window 30 s" redis::log_cut;
    7 "redis_log_cut_without_replay" "the end of the append-only file is gone"
        redis::log_cut_unheld;
    8 "replica_promoted_fsync" "a replica without the tail is promoted, fsync" replicas::fsync;
    8 "replica_promoted_replicated" "the same, replicated" replicas::replicated;
    8 "replica_promoted_everysec" "the same, everysec" replicas::everysec;
    8 "replica_promoted_memory" "the same, memory" replicas::memory;
    9 "redis_forgets" "FLUSHALL, DEL of the stream, XGROUP DESTROY" redis::forgets;
    9 "scripts_and_group_gone" "SCRIPT FLUSH, XGROUP DESTROY" redis::scripts_and_group_gone;
    10 "mongo_primary_killed" "SIGKILL of the primary of three" mongo::primary_killed;
    10 "mongo_step_down" "rs.stepDown" mongo::step_down;
    10 "mongo_away" "mongod killed and stopped" mongo::away;
    10 "mongo_away_told" "mongod stopped, and people are told" told::mongo_away;
    10 "backup_restored" "mongod's files, and then Redis' too, are those of a backup" backup::restored;
    11 "processor_paused" "SIGSTOP of a processor" processes::processor_paused;
    11 "ingest_paused" "SIGSTOP of an ingest" processes::ingest_paused;
    11 "aggregator_killed_and_paused" "SIGKILL and SIGSTOP of the aggregator"
        processes::aggregator_killed_and_paused;
    11 "redis_paused" "SIGSTOP of redis-server" redis::paused;
    11 "mongo_paused" "SIGSTOP of mongod" mongo::paused;
    11 "mongo_secondaries_paused" "SIGSTOP of both secondaries" mongo::secondaries_paused;
    12 "connections_late" "latency on every connection" connections::late;
    12 "connections_stalled" "each connection goes silent" connections::stalled;
    12 "connections_cut" "each connection is cut" connections::cut;
    12 "mongo_slow" "mongod is slow" mongo::slow;
    13 "redis_full" "Redis at maxmemory" redis::full;
    14 "disk_full_under_redis" "disk full under redis-server" disks::under_redis;
    14 "disk_full_under_mongo" "disk full under mongod" disks::under_mongo;
    15 "same_ids_at_once" "clients send the same ids" processes::same_ids_at_once;
    15 "two_consumers_of_one_entry" "two processors work on the same entries"
        processes::two_consumers_of_one_entry;
    16 "poison_entry" "garbage and a refused document in one pass" poison::entries;
    16 "poison_under_load" "garbage and refused documents under load" poison::under_way;
    16 "frame_that_always_times_out" "a document mongod never answers for" poison::always_late;
    18 "clock_jumps" "clocks jump by an hour" time::jumps;
    19 "drain" "rolling restart, SIGTERM" processes::drain;
    20 "soak" "everything is killed in turn" processes::soak;
    21 "same_body_across_midnight" "a midnight between two attempts" spans::across_midnight;
    22 "many_days_in_a_frame" "events of 30 days in each frame, SIGKILL of processors"
        spans::many_days_in_a_frame;
    23 "spans_sealed_and_dropped" "sealing and dropping, SIGKILL of mongod and processors"
        retention::sealed_and_dropped;
    24 "paused_until_its_span_is_dropped" "SIGSTOP of a processor until its span is dropped"
        retention::paused_until_dropped;
    25 "keep_lowered_and_raised" "storage.keep changed while a backlog waits"
        retention::keep_lowered_and_raised;
    26 "old_redis_newer_mongodb" "Redis restored from before the drop" retention::old_redis;
    27 "old_mongodb_newer_redis" "MongoDB restored from before the drop" retention::old_mongo;
    0 "recovery_at_speed" "10,000 frames pending under a killed processor" recovery::at_speed;
    0 "books" "SIGKILL of processors, events sent twice, refused documents" books::balance;
    0 "reloaded" "SIGHUP, every second with a broken file" reload::reloaded;
    0 "upgrade" "each service replaced by the next release, and back" upgrade::upgrade;
    0 "overload" "processors stopped, 1.5 times the capacity" overload::processors_stopped;
    0 "slowloris" "2,000 stalled connections" hostile::slowloris;
}

/// Rows of docs/RELIABILITY.md that nothing here runs, and why.
pub const NOT_RUN: &[(u8, &str)] = &[(
    17,
    "mongos and two shards: no mongos is to be had here, so a sharded set is not run",
)];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_run_or_named() {
        let run = ALL.iter().map(|scenario| scenario.row);
        let named = NOT_RUN.iter().map(|(row, _)| *row);
        let rows: BTreeSet<u8> = run.chain(named).collect();
        assert_eq!(rows, (0..=27).collect());
        let names: BTreeSet<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
