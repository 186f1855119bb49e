//! The processor's metrics: one table that names, describes and resolves each once.

use evp_shared::dead_letters::Size;
use evp_shared::metric_table;
use evp_shared::outcome::DeadReason;
use evp_shared::store::State;
use evp_shared::stream::{Committed, Totals};
use evp_shared::telemetry::as_f64;

metric_table! {
    /// Handles of all metrics.
    pub struct Metrics(partitions: u16) {
        counter "evp_processor_events_total"
            "Events by outcome: stored, duplicate, dead_lettered, or expired: too old to be stored."
            [outcome] stored, duplicate, dead_lettered, expired;
        histogram "evp_processor_bulk_events" "Events per bulk." [] bulk_events;
        counter "evp_processor_suspects_total"
            "Events looked up first, or inserted apart, because they may be stored already." [] suspects;
        histogram "evp_processor_bulk_duration_seconds" "Seconds a bulk spends in a stage."
            [stage] insert, receipt, commit;
        counter "evp_processor_dead_letters_total" "Dead letters by reason."
            [reason in DeadReason::ALL] dead_letters;
        weighted "evp_processor_stored_seconds"
            "Time from an event's arrival at ingest until MongoDB has it and its receipt." [] stored_after;
        weighted "evp_processor_counted_seconds"
            "Time from an event's arrival at ingest until it is counted." [] counted_after;
        gauge "evp_processor_breaker_open"
            "1 while reading is paused, because MongoDB or Redis fails." [] breaker_open;
        gauge "evp_processor_dead_letter_events" "Dead letters that are kept."
            [] dead_letter_events;
        gauge "evp_processor_dead_letter_bytes" "Bytes of the dead letters that are kept."
            [] dead_letter_bytes;
        counter "evp_processor_store_failures_total" "Bulks MongoDB gave no usable answer to, for some or all of their frames."
            [] store_failures;
        counter "evp_processor_claimed_entries_total" "Entries taken over from another consumer."
            [] claimed;
        counter "evp_processor_entries_lost_total"
            "Entries deleted while they were pending: must stay 0." [] entries_lost;
        counter "evp_processor_backlog_lost_events_total"
            "Events of a backlog that was not there any more: they are lost." [] backlog_lost;
        counter "evp_processor_unknown_frames_total"
            "Frames left pending because an event of theirs was neither stored nor refused."
            [] unknown_frames;
        counter "evp_processor_reconciled_events_total"
            "Events whose missing counts were added by reconcile." [] reconciled;
        counter "evp_processor_left_to_verify_total"
            "Frames too old to be counted: run verify." [] left_to_verify;
        counter "evp_processor_sketches_lost_total"
            "Minutes and hours whose sketches lack something." [] sketches_lost;
        gauge "evp_processor_spans" "Spans of events by state: hot, sealed or undated."
            [state in State::ALL] spans;
        counter "evp_processor_spans_sealed_total" "Spans that were sealed." [] spans_sealed;
        counter "evp_processor_spans_dropped_total" "Spans that were dropped." [] spans_dropped;
        counter "evp_processor_expired_letters_total"
            "Dead letters that were purged because their events are gone." [] letters_expired;
        gauge "evp_processor_spans_without_collection"
            "Spans whose collection is missing: events of them stay pending." [] spans_missing;
        gauge "evp_processor_spans_until_seconds"
            "Unix seconds until which spans are made without a gap from now on." [] spans_until;
        gauge "evp_processor_spans_gone" "Spans that have ended for good and are still there." [] spans_gone;
        gauge "evp_processor_collections_without_span"
            "Collections that are named as spans and are none." [] strangers;
        gauge "evp_processor_building_indexes" "1 while an index of a span is built." [] building;
        gauge "evp_processor_floor_seconds"
            "Unix seconds: events with an earlier time in their id are refused; 0 for none." [] floor;
        gauge "evp_processor_gone_seconds"
            "Unix seconds: spans that end before it are dropped; 0 for none." [] gone;
        gauge "evp_processor_backup_seconds"
            "Unix seconds: of which moment the last backup is; 0 for none." [] backup;
        gauge "evp_processor_access_age_seconds"
            "Time since Redis said last what is known of tenants." [] access_age;
        gauge "evp_storage_disk_ratio" "Share of MongoDB's disk that is used." [] disk_ratio;
        gauge "evp_storage_bytes" "Bytes of the database, with its indexes." [] storage_bytes;
        gauge "evp_processor_backlog_events" "Events appended and not committed."
            [partition in 0..partitions] backlog_events;
        gauge "evp_processor_backlog_bytes" "Bytes of the events appended and not committed."
            [partition in 0..partitions] backlog_bytes;
        gauge "evp_processor_pending_entries" "Entries delivered and not acknowledged."
            [partition in 0..partitions] pending_entries;
        gauge "evp_processor_oldest_pending_seconds"
            "Age of the oldest entry that was delivered and not acknowledged; 0 for none."
            [partition in 0..partitions] oldest_pending;
        gauge "evp_processor_delay_seconds" "Age of the oldest event that is not committed."
            [partition in 0..partitions] delay;
    }
}

metric_table! {
    /// What became of all events, by Redis' totals: exact, whoever settled them.
    pub struct Books(partitions: u16) {
        total "evp_processor_pipeline_events_total"
            "Events of all processors together, by what became of them, as Redis has counted."
            [partition in 0..partitions, outcome]
            appended, stored, duplicate, dead_lettered, expired, lost;
    }
}

impl Books {
    /// Shows the totals of all partitions, in their order.
    pub fn show(&self, totals: &[Totals]) {
        for (at, totals) in totals.iter().enumerate() {
            self.show_one(at, totals);
        }
    }

    fn show_one(&self, at: usize, totals: &Totals) {
        for (shown, count) in [
            (&self.appended, totals.appended_events),
            (&self.stored, totals.counted_events),
            (&self.duplicate, totals.duplicate_events),
            (&self.dead_lettered, totals.dead_lettered_events),
            (&self.expired, totals.expired_events),
            (&self.lost, totals.lost_events),
        ] {
            shown[at].set(as_f64(count));
        }
    }
}

impl Metrics {
    /// Sets how many dead letters are kept.
    pub fn dead_letter_size(&self, size: Size) {
        self.dead_letter_events.set(as_f64(size.events));
        self.dead_letter_bytes.set(as_f64(size.bytes));
    }

    /// Counts what a commit did.
    pub fn committed(&self, partition: u16, done: &Committed) {
        self.stored.increment(done.counted);
        self.duplicate.increment(done.duplicates);
        self.dead_lettered.increment(done.dead_letters);
        self.expired.increment(done.expired);
        self.left_to_verify.increment(done.left_to_verify);
        self.backlog_events[usize::from(partition)].set(as_f64(done.backlog_events));
    }
}
