//! Reconcile: settles the receipts whose counts are missing.
//!
//! Truth is in MongoDB. A minute's bucket is compared with the receipts of its seconds two minutes
//! and one hour after it closed, and after a new life from ten minutes before the cut on. Settling
//! a receipt again is harmless, so finding too much to settle costs work and nothing else.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::counters::Step;
use evp_shared::health::Beat;
use evp_shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::bulk::commit::BulkFailure;
use crate::metrics::Metrics;
use crate::store::insert::StoreFailure;
use crate::verify::verifier::Verifier;

const MINUTE: Duration = Duration::from_secs(60);
/// How long after its end a minute is compared, in minutes.
const LATER: [u64; 2] = [2, 60];
/// How far before a cut forgotten commits may lie: a frame's second is older than its entry by no
/// more than the appender's deadline and the clocks' difference.
const BEFORE_CUT: u64 = 10;
/// How far back: bits live 48 h, and half of that is the margin.
const BACK_MAX: u64 = 24 * 60;

/// Failures that end a round. More than one, so that a run that always fails does not keep the
/// older ones from their turn; few, for each may last as long as a deadline.
const FAILURES_MAX: usize = 3;

/// Minutes compared at once: at 50,000 events/s they hold 300,000 receipts, which MongoDB sums up
/// within the deadline of a command.
const AT_ONCE: usize = 10;

/// Reconciles for one processor until the shutdown.
#[derive(Debug)]
pub struct ReconcileLoop {
    /// Compares and settles.
    pub verifier: Verifier,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// Sign of life.
    pub beat: Beat,
}

impl ReconcileLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again a minute later.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut minutes = tokio::time::interval(MINUTE);
        minutes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut due = Due::default();
        let mut added = None;
        loop {
            tokio::select! {
                _ = minutes.tick() => {
                    let now = self.this_minute();
                    for partition in 0..self.verifier.stream.partitions() {
                        for later in LATER {
                            due.add(partition, closed_since(added, now, later));
                        }
                    }
                    added = Some(now);
                }
                cuts = self.verifier.committer.lives.cuts() => {
                    let now = self.this_minute();
                    for (partition, cut) in cuts {
                        let from = (cut.ms / 60_000).saturating_sub(BEFORE_CUT);
                        due.add(partition, from.max(now.saturating_sub(BACK_MAX))..now + 1);
                    }
                }
                () = shutdown.triggered() => return Ok(()),
            }
            self.work_off(&mut due, &shutdown).await;
            self.beat.beat();
        }
    }

    /// Reconciles what is due, newest first. What fails stays due and holds up nothing older;
    /// [`FAILURES_MAX`] end the round: MongoDB or Redis is away.
    async fn work_off(&self, due: &mut Due, shutdown: &Shutdown) {
        due.forget_before(self.this_minute().saturating_sub(BACK_MAX));
        let mut failures = 0;
        for (partition, minutes) in due.newest_first() {
            if shutdown.is_triggered() || failures == FAILURES_MAX {
                return;
            }
            match reconcile(&self.verifier, partition, minutes.clone()).await {
                Ok(events) => {
                    due.remove(partition, &minutes);
                    if events > 0 {
                        info!(partition, events, "counts that were missing are in");
                        self.metrics.reconciled.increment(events);
                    }
                }
                Err(error) => {
                    failures += 1;
                    let from = minutes.start;
                    warn!(partition, from, %error, "not reconciled, and tried again in a minute");
                    if matches!(error, BulkFailure::Store(StoreFailure::Deadline(_))) {
                        due.halve(partition, &minutes);
                    }
                }
            }
            self.beat.beat();
        }
    }

    fn this_minute(&self) -> u64 {
        self.verifier.clock.now_ms() / 60_000
    }
}

/// The minutes still to be compared, in runs of at most [`AT_ONCE`]. Bounded by [`BACK_MAX`].
#[derive(Debug, Default)]
struct Due(BTreeSet<(u64, u64, u16)>);

impl Due {
    fn add(&mut self, partition: u16, minutes: Range<u64>) {
        for from in minutes.clone().step_by(AT_ONCE) {
            let to = (from + AT_ONCE as u64).min(minutes.end);
            self.0.insert((from, to, partition));
        }
    }

    fn newest_first(&self) -> Vec<(u16, Range<u64>)> {
        let runs = self.0.iter().rev();
        runs.map(|(from, to, partition)| (*partition, *from..*to))
            .collect()
    }

    /// Makes two of a run that is too large for the deadline of a command.
    fn halve(&mut self, partition: u16, minutes: &Range<u64>) {
        let middle = minutes.start.midpoint(minutes.end);
        if middle > minutes.start {
            self.remove(partition, minutes);
            self.0.insert((minutes.start, middle, partition));
            self.0.insert((middle, minutes.end, partition));
        }
    }

    fn remove(&mut self, partition: u16, minutes: &Range<u64>) {
        self.0.remove(&(minutes.start, minutes.end, partition));
    }

    fn forget_before(&mut self, minute: u64) {
        self.0.retain(|(_, to, _)| *to > minute);
    }
}

/// The minutes that came to be `later` minutes old since the minute `added`, when it was asked for
/// the last time: a round may take longer than a minute.
fn closed_since(added: Option<u64>, now: u64, later: u64) -> Range<u64> {
    let since = added.map_or(now, |added| added + 1);
    let since = since.clamp(now.saturating_sub(BACK_MAX), now + 1);
    since.saturating_sub(later)..(now + 1).saturating_sub(later)
}

/// Compares the minute buckets `minutes` of `partition` with their receipts, newest first, and
/// settles where counts are missing. Returns the events added.
///
/// # Errors
/// [`BulkFailure`]; repeating is harmless.
pub async fn reconcile(
    verifier: &Verifier,
    partition: u16,
    minutes: Range<u64>,
) -> Result<u64, BulkFailure> {
    let differing = verifier.differing_buckets(partition, Step::Minute, minutes);
    let mut added = 0;
    for bucket in differing.await?.into_iter().rev() {
        let minute = bucket.number;
        if bucket.is_named_otherwise() {
            continue;
        }
        if bucket.has_surplus() {
            warn!(
                partition,
                minute, "more counted than receipts say: run verify"
            );
        }
        if bucket.is_missing_counts() {
            added += verifier.settle(partition, minute).await?;
        }
    }
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_worked_off_newest_first_in_small_runs() {
        let mut due = Due::default();
        due.add(0, 100..125);
        due.add(0, 124..125);
        due.add(1, 90..91);
        assert_eq!(
            due.newest_first(),
            [
                (0, 124..125),
                (0, 120..125),
                (0, 110..120),
                (0, 100..110),
                (1, 90..91)
            ]
        );
    }

    #[test]
    fn what_is_too_old_is_left_to_verify() {
        let mut due = Due::default();
        due.add(0, 10..40);
        due.forget_before(30);
        assert_eq!(due.newest_first(), [(0, 30..40)]);
        due.remove(0, &(30..40));
        assert_eq!(due.newest_first(), []);
    }

    #[test]
    fn a_run_that_is_too_large_is_halved_down_to_a_minute() {
        let mut due = Due::default();
        due.add(3, 10..13);
        due.halve(3, &(10..13));
        assert_eq!(due.newest_first(), [(3, 11..13), (3, 10..11)]);
        due.halve(3, &(10..11));
        assert_eq!(due.newest_first(), [(3, 11..13), (3, 10..11)]);
    }

    #[test]
    fn minutes_that_closed_during_a_long_round_are_compared() {
        assert_eq!(closed_since(None, 100, 2), 98..99);
        assert_eq!(closed_since(Some(99), 100, 2), 98..99);
        assert_eq!(closed_since(Some(95), 100, 2), 94..99);
        // Twice in one minute; a clock that went back; a machine that slept.
        assert!(closed_since(Some(100), 100, 2).is_empty());
        assert!(closed_since(Some(200), 100, 2).is_empty());
        assert_eq!(
            closed_since(Some(0), 10_000, 2),
            10_000 - BACK_MAX - 2..9_999
        );
    }
}
