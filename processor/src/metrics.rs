//! The processor's metrics: names, and handles resolved once.

use std::collections::HashMap;
use std::time::Duration;

use evp_shared::dead_letters::Size;
use evp_shared::outcome::DeadReason;
use evp_shared::stream::Committed;
use metrics::{Counter, Gauge, Histogram};

/// Events by what became of them: `stored`, `duplicate`, `dead_lettered`.
pub const EVENTS: &str = "evp_processor_events_total";
/// Events per insert command.
pub const BULK_EVENTS: &str = "evp_processor_bulk_events";
/// Time of a bulk's stages.
pub const BULK_DURATION: &str = "evp_processor_bulk_duration_seconds";
/// Dead letters by reason.
pub const DEAD_LETTERS: &str = "evp_processor_dead_letters_total";
/// Dead letters that are kept.
pub const DEAD_LETTER_EVENTS: &str = "evp_processor_dead_letter_events";
/// Their bytes.
pub const DEAD_LETTER_BYTES: &str = "evp_processor_dead_letter_bytes";
/// Bulks MongoDB gave no usable answer to.
pub const STORE_FAILURES: &str = "evp_processor_store_failures_total";
/// Entries taken over from another consumer.
pub const CLAIMED: &str = "evp_processor_claimed_entries_total";
/// Entries that were deleted while they were pending.
pub const ENTRIES_LOST: &str = "evp_processor_entries_lost_total";
/// Events of a backlog that was not there any more.
pub const BACKLOG_LOST: &str = "evp_processor_backlog_lost_events_total";
/// Frames left pending because an event of theirs was neither stored nor refused.
pub const UNKNOWN_FRAMES: &str = "evp_processor_unknown_frames_total";
/// Events whose counts were missing and were added by reconcile.
pub const RECONCILED: &str = "evp_processor_reconciled_events_total";
/// Frames whose counts are left to verify.
pub const LEFT_TO_VERIFY: &str = "evp_processor_left_to_verify_total";
/// Minutes and hours whose sketches lack something.
pub const SKETCHES_LOST: &str = "evp_processor_sketches_lost_total";
/// Events appended and not committed.
pub const BACKLOG_EVENTS: &str = "evp_processor_backlog_events";
/// Their bytes.
pub const BACKLOG_BYTES: &str = "evp_processor_backlog_bytes";
/// Entries delivered and not acknowledged.
pub const PENDING_ENTRIES: &str = "evp_processor_pending_entries";
/// Age of the oldest event that is not committed.
pub const DELAY: &str = "evp_processor_delay_seconds";

/// A stage of a bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The insert command, classification and look-ups.
    Insert,
    /// Dead letters and receipts.
    Receipt,
    /// The commit script.
    Commit,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Insert, Self::Receipt, Self::Commit];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Receipt => "receipt",
            Self::Commit => "commit",
        }
    }
}

/// Handles of all metrics.
pub struct Metrics {
    stored: Counter,
    duplicate: Counter,
    dead_lettered: Counter,
    /// See [`BULK_EVENTS`].
    pub bulk_events: Histogram,
    stages: HashMap<Stage, Histogram>,
    dead: HashMap<DeadReason, Counter>,
    dead_letter_events: Gauge,
    dead_letter_bytes: Gauge,
    /// See [`STORE_FAILURES`].
    pub store_failures: Counter,
    /// See [`CLAIMED`].
    pub claimed: Counter,
    /// See [`ENTRIES_LOST`].
    pub entries_lost: Counter,
    /// See [`BACKLOG_LOST`].
    pub backlog_lost: Counter,
    /// See [`UNKNOWN_FRAMES`].
    pub unknown_frames: Counter,
    /// See [`RECONCILED`].
    pub reconciled: Counter,
    /// See [`SKETCHES_LOST`].
    pub sketches_lost: Counter,
    left_to_verify: Counter,
    partitions: Vec<PartitionGauges>,
}

struct PartitionGauges {
    backlog_events: Gauge,
    backlog_bytes: Gauge,
    pending_entries: Gauge,
    delay: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Describes and resolves the metrics of a processor of `partitions` partitions.
    pub fn new(partitions: u16) -> Self {
        describe();
        let outcome = |outcome: &'static str| metrics::counter!(EVENTS, "outcome" => outcome);
        let stage = |stage: Stage| {
            (
                stage,
                metrics::histogram!(BULK_DURATION, "stage" => stage.as_str()),
            )
        };
        let reason = |reason: DeadReason| {
            (
                reason,
                metrics::counter!(DEAD_LETTERS, "reason" => reason.as_str()),
            )
        };
        Self {
            stored: outcome("stored"),
            duplicate: outcome("duplicate"),
            dead_lettered: outcome("dead_lettered"),
            bulk_events: metrics::histogram!(BULK_EVENTS),
            stages: Stage::ALL.into_iter().map(stage).collect(),
            dead: DeadReason::ALL.into_iter().map(reason).collect(),
            dead_letter_events: metrics::gauge!(DEAD_LETTER_EVENTS),
            dead_letter_bytes: metrics::gauge!(DEAD_LETTER_BYTES),
            store_failures: metrics::counter!(STORE_FAILURES),
            claimed: metrics::counter!(CLAIMED),
            entries_lost: metrics::counter!(ENTRIES_LOST),
            backlog_lost: metrics::counter!(BACKLOG_LOST),
            unknown_frames: metrics::counter!(UNKNOWN_FRAMES),
            reconciled: metrics::counter!(RECONCILED),
            sketches_lost: metrics::counter!(SKETCHES_LOST),
            left_to_verify: metrics::counter!(LEFT_TO_VERIFY),
            partitions: (0..partitions).map(PartitionGauges::new).collect(),
        }
    }

    /// Records how long a stage of a bulk took.
    pub fn stage(&self, stage: Stage, took: Duration) {
        if let Some(histogram) = self.stages.get(&stage) {
            histogram.record(took.as_secs_f64());
        }
    }

    /// Counts dead letters that are kept.
    pub fn dead_letters(&self, reasons: impl Iterator<Item = DeadReason>) {
        for reason in reasons {
            if let Some(counter) = self.dead.get(&reason) {
                counter.increment(1);
            }
        }
    }

    /// Sets how many dead letters are kept.
    pub fn dead_letter_size(&self, size: Size) {
        let gauge = |value| as_f64(i64::try_from(value).unwrap_or(i64::MAX));
        self.dead_letter_events.set(gauge(size.events));
        self.dead_letter_bytes.set(gauge(size.bytes));
    }

    /// Counts what a commit did.
    pub fn committed(&self, partition: u16, sum: &Committed) {
        self.stored.increment(sum.counted);
        self.duplicate.increment(sum.duplicates);
        self.dead_lettered.increment(sum.dead_letters);
        self.left_to_verify.increment(sum.left_to_verify);
        if let Some(gauges) = self.partitions.get(usize::from(partition)) {
            gauges.backlog_events.set(as_f64(sum.backlog_events));
        }
    }

    /// Sets the backlog of a partition.
    pub fn backlog(&self, partition: u16, events: i64, bytes: i64) {
        if let Some(gauges) = self.partitions.get(usize::from(partition)) {
            gauges.backlog_events.set(as_f64(events));
            gauges.backlog_bytes.set(as_f64(bytes));
        }
    }

    /// Sets the pending entries of a partition.
    pub fn pending(&self, partition: u16, entries: u64) {
        if let Some(gauges) = self.partitions.get(usize::from(partition)) {
            gauges
                .pending_entries
                .set(as_f64(i64::try_from(entries).unwrap_or(i64::MAX)));
        }
    }

    /// Sets the delay of a partition.
    pub fn delay(&self, partition: u16, delay: Duration) {
        if let Some(gauges) = self.partitions.get(usize::from(partition)) {
            gauges.delay.set(delay.as_secs_f64());
        }
    }
}

impl PartitionGauges {
    fn new(partition: u16) -> Self {
        let gauge =
            |name: &'static str| metrics::gauge!(name, "partition" => partition.to_string());
        Self {
            backlog_events: gauge(BACKLOG_EVENTS),
            backlog_bytes: gauge(BACKLOG_BYTES),
            pending_entries: gauge(PENDING_ENTRIES),
            delay: gauge(DELAY),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn as_f64(value: i64) -> f64 {
    value as f64
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        EVENTS,
        "Events by outcome: stored, duplicate or dead_lettered."
    );
    describe_histogram!(BULK_EVENTS, "Events per insert command.");
    describe_histogram!(BULK_DURATION, "Seconds a bulk spends in a stage.");
    describe_counter!(DEAD_LETTERS, "Dead letters by reason.");
    describe_gauge!(DEAD_LETTER_EVENTS, "Dead letters that are kept.");
    describe_gauge!(
        DEAD_LETTER_BYTES,
        "Bytes of the dead letters that are kept."
    );
    describe_counter!(STORE_FAILURES, "Bulks MongoDB gave no usable answer to.");
    describe_counter!(CLAIMED, "Entries taken over from another consumer.");
    describe_counter!(
        ENTRIES_LOST,
        "Entries deleted while they were pending: must stay 0."
    );
    describe_counter!(
        BACKLOG_LOST,
        "Events of a backlog that was not there any more: they are lost."
    );
    describe_counter!(
        UNKNOWN_FRAMES,
        "Frames left pending because an event of theirs was neither stored nor refused."
    );
    describe_counter!(
        RECONCILED,
        "Events whose missing counts were added by reconcile."
    );
    describe_counter!(LEFT_TO_VERIFY, "Frames too old to be counted: run verify.");
    describe_counter!(
        SKETCHES_LOST,
        "Minutes and hours whose sketches lack something."
    );
    describe_gauge!(BACKLOG_EVENTS, "Events appended and not committed.");
    describe_gauge!(
        BACKLOG_BYTES,
        "Bytes of the events appended and not committed."
    );
    describe_gauge!(PENDING_ENTRIES, "Entries delivered and not acknowledged.");
    describe_gauge!(DELAY, "Age of the oldest event that is not committed.");
}
