//! The processor's metrics: one table that names, describes and resolves each once.

use std::time::Duration;

use evp_shared::dead_letters::Size;
use evp_shared::outcome::DeadReason;
use evp_shared::stream::Committed;
use metrics::{Counter, Gauge, Histogram, Label};

/// What a handle is resolved from.
trait Kind {
    fn describe(name: &'static str, text: &'static str);
    fn resolve(name: &'static str, labels: Vec<Label>) -> Self;
}

macro_rules! kind {
    ($kind:ident, $describe:ident, $resolve:ident) => {
        impl Kind for $kind {
            fn describe(name: &'static str, text: &'static str) {
                metrics::$describe!(name, text);
            }
            fn resolve(name: &'static str, labels: Vec<Label>) -> Self {
                metrics::$resolve!(name, labels)
            }
        }
    };
}

kind!(Counter, describe_counter, counter);
kind!(Gauge, describe_gauge, gauge);
kind!(Histogram, describe_histogram, histogram);

/// `handle: Kind = name, text;`, or with one handle for each value of a label:
/// `handle: Kind = name, text, label in values;`.
macro_rules! table {
    ($partitions:ident; $($handle:ident: $kind:ident = $name:literal, $text:literal
        $(, $label:literal in $values:expr)?;)*) => {
        /// Handles of all metrics; those of a label's values in their order.
        pub struct Metrics {
            $(#[doc = $text] pub $handle: table!(@type $kind $($label)?),)*
        }

        impl Metrics {
            /// Describes and resolves the metrics of a processor of so many partitions.
            pub fn new($partitions: u16) -> Self {
                $(<$kind as Kind>::describe($name, $text);)*
                Self {
                    $($handle: table!(@resolve $kind, $name $(, $label in $values)?),)*
                }
            }
        }
    };
    (@type $kind:ident) => { $kind };
    (@type $kind:ident $label:literal) => { Vec<$kind> };
    (@resolve $kind:ident, $name:literal) => { <$kind as Kind>::resolve($name, Vec::new()) };
    (@resolve $kind:ident, $name:literal, $label:literal in $values:expr) => {
        $values
            .map(|value| <$kind as Kind>::resolve($name, vec![Label::new($label, value)]))
            .collect()
    };
}

table! { partitions;
    events: Counter = "evp_processor_events_total",
        "Events by outcome: stored, duplicate or dead_lettered.",
        "outcome" in ["stored", "duplicate", "dead_lettered"].into_iter();
    bulk_events: Histogram = "evp_processor_bulk_events",
        "Events per insert command.";
    stages: Histogram = "evp_processor_bulk_duration_seconds",
        "Seconds a bulk spends in a stage.",
        "stage" in ["insert", "receipt", "commit"].into_iter();
    dead_letters: Counter = "evp_processor_dead_letters_total",
        "Dead letters by reason.",
        "reason" in DeadReason::ALL.into_iter().map(DeadReason::as_str);
    dead_letter_events: Gauge = "evp_processor_dead_letter_events",
        "Dead letters that are kept.";
    dead_letter_bytes: Gauge = "evp_processor_dead_letter_bytes",
        "Bytes of the dead letters that are kept.";
    store_failures: Counter = "evp_processor_store_failures_total",
        "Bulks MongoDB gave no usable answer to.";
    claimed: Counter = "evp_processor_claimed_entries_total",
        "Entries taken over from another consumer.";
    entries_lost: Counter = "evp_processor_entries_lost_total",
        "Entries deleted while they were pending: must stay 0.";
    backlog_lost: Counter = "evp_processor_backlog_lost_events_total",
        "Events of a backlog that was not there any more: they are lost.";
    unknown_frames: Counter = "evp_processor_unknown_frames_total",
        "Frames left pending because an event of theirs was neither stored nor refused.";
    reconciled: Counter = "evp_processor_reconciled_events_total",
        "Events whose missing counts were added by reconcile.";
    left_to_verify: Counter = "evp_processor_left_to_verify_total",
        "Frames too old to be counted: run verify.";
    sketches_lost: Counter = "evp_processor_sketches_lost_total",
        "Minutes and hours whose sketches lack something.";
    backlog_events: Gauge = "evp_processor_backlog_events",
        "Events appended and not committed.",
        "partition" in (0..partitions).map(|partition| partition.to_string());
    backlog_bytes: Gauge = "evp_processor_backlog_bytes",
        "Bytes of the events appended and not committed.",
        "partition" in (0..partitions).map(|partition| partition.to_string());
    pending_entries: Gauge = "evp_processor_pending_entries",
        "Entries delivered and not acknowledged.",
        "partition" in (0..partitions).map(|partition| partition.to_string());
    delay: Gauge = "evp_processor_delay_seconds",
        "Age of the oldest event that is not committed.",
        "partition" in (0..partitions).map(|partition| partition.to_string());
}

/// A stage of a bulk, in the order of the values of its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The insert command, classification and look-ups.
    Insert,
    /// Dead letters and receipts.
    Receipt,
    /// The commit script.
    Commit,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Records how long a stage of a bulk took.
    pub fn stage(&self, stage: Stage, took: Duration) {
        if let Some(histogram) = self.stages.get(stage as usize) {
            histogram.record(took.as_secs_f64());
        }
    }

    /// Counts dead letters that are kept.
    pub fn dead_lettered(&self, reasons: impl Iterator<Item = DeadReason>) {
        for reason in reasons {
            let at = DeadReason::ALL.iter().position(|one| *one == reason);
            if let Some(counter) = at.and_then(|at| self.dead_letters.get(at)) {
                counter.increment(1);
            }
        }
    }

    /// Sets how many dead letters are kept.
    pub fn dead_letter_size(&self, size: Size) {
        self.dead_letter_events.set(as_f64(size.events));
        self.dead_letter_bytes.set(as_f64(size.bytes));
    }

    /// Counts what a commit did.
    pub fn committed(&self, partition: u16, done: &Committed) {
        let outcomes = [done.counted, done.duplicates, done.dead_letters];
        for (counter, events) in self.events.iter().zip(outcomes) {
            counter.increment(events);
        }
        self.left_to_verify.increment(done.left_to_verify);
        set(&self.backlog_events, partition, as_f64(done.backlog_events));
    }

    /// Sets the backlog of a partition.
    pub fn backlog(&self, partition: u16, events: i64, bytes: i64) {
        set(&self.backlog_events, partition, as_f64(events));
        set(&self.backlog_bytes, partition, as_f64(bytes));
    }

    /// Sets the pending entries of a partition.
    pub fn pending(&self, partition: u16, entries: u64) {
        set(&self.pending_entries, partition, as_f64(entries));
    }

    /// Sets the delay of a partition.
    pub fn delay(&self, partition: u16, delay: Duration) {
        set(&self.delay, partition, delay.as_secs_f64());
    }
}

fn set(gauges: &[Gauge], partition: u16, value: f64) {
    if let Some(gauge) = gauges.get(usize::from(partition)) {
        gauge.set(value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn as_f64(value: impl TryInto<i64>) -> f64 {
    value.try_into().unwrap_or(i64::MAX) as f64
}
