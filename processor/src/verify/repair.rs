//! Mending what differs.
//!
//! What is younger than a day is mended by settling its receipts: the bits say what is in. What is
//! older, and older than everything that may still be delivered, is nobody's any more and is set to
//! the sum of its receipts.

use std::collections::BTreeSet;

use evp_shared::counters::Step;
use evp_shared::stream::verify::FIELDS_MAX;
use evp_shared::stream::{Bucket, CountHash, FoundCounts, SetCounts};
use tracing::warn;

use crate::bulk::commit::BulkFailure;
use crate::verify::buckets::seconds_of;
use crate::verify::compare::compare;
use crate::verify::differences::Differences;
use crate::verify::verifier::Verifier;

const DAY: u64 = 24 * 3_600;

/// How much older than a day, and than the oldest entry that is not acknowledged, a bucket must
/// be to be nobody's: a frame's second is older than its entry by no more than the appender's
/// deadline and the clocks' difference.
const MARGIN: u64 = 600;

/// What a repair did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Events whose missing counts were added by settling their receipts.
    pub settled_events: u64,
    /// Counts set to the sum of their receipts.
    pub set_counts: u64,
}

impl Repaired {
    /// Adds what another repair did.
    pub fn add(&mut self, other: Self) {
        self.settled_events += other.settled_events;
        self.set_counts += other.set_counts;
    }
}

impl Verifier {
    /// The Unix second before which no frame of `partition` will be delivered or settled again.
    ///
    /// # Errors
    /// [`BulkFailure`].
    pub async fn old_before(&self, partition: u16) -> Result<u64, BulkFailure> {
        let settled = (self.clock.now_ms() / 1_000).saturating_sub(DAY);
        let oldest = self.stream.oldest_uncommitted(partition).await?;
        let pending = oldest.map_or(settled, |oldest| oldest.received_at_ms / 1_000);
        Ok(settled.min(pending).saturating_sub(MARGIN))
    }

    /// Mends `differences` of `partition`, as far as they can be mended: what is younger than a day
    /// is settled, what ended before the Unix second `old` is set.
    ///
    /// # Errors
    /// [`BulkFailure`]; repeating is harmless.
    pub async fn repair(
        &self,
        partition: u16,
        differences: &Differences,
        old: u64,
    ) -> Result<Repaired, BulkFailure> {
        let mut repaired = Repaired::default();
        for minute in young_minutes(differences, self.clock.now_ms() / 1_000) {
            repaired.settled_events += self.settle(partition, minute).await?;
        }
        for bucket in &differences.buckets {
            repaired.set_counts += match bucket.step {
                None => {
                    self.set_total(partition, old / Step::Hour.seconds())
                        .await?
                }
                Some(step) if (bucket.number + 1) * step.seconds() <= old => {
                    self.set_bucket(partition, step, bucket.number).await?
                }
                Some(_) => 0,
            };
        }
        Ok(repaired)
    }

    /// Settles the receipts of `partition` whose frames were received in the Unix minute `minute`:
    /// only what was missing is added. Returns the events added.
    ///
    /// # Errors
    /// [`BulkFailure`]; repeating is harmless.
    pub async fn settle(&self, partition: u16, minute: u64) -> Result<u64, BulkFailure> {
        let seconds = seconds_of(Step::Minute, minute..minute + 1);
        let inserter = &self.inserter;
        let read = || inserter.receipts_of_seconds(partition, seconds.clone());
        let receipts = inserter.sure(read).await?;
        let done = self.committer.settle(partition, receipts).await?;
        Ok(done.counted)
    }

    async fn set_bucket(
        &self,
        partition: u16,
        step: Step,
        number: u64,
    ) -> Result<u64, BulkFailure> {
        let hash = CountHash::Bucket(step, number);
        let found = self.stream.read_counts(partition, &[hash]).await?;
        let found = found.into_iter().next().unwrap_or_default();
        let mut sums = self
            .receipt_sums_of(partition, step, number..number + 1)
            .await?;
        let owed = self.folded(partition, sums.remove(&number)).await?;
        let repair = Repair {
            hash,
            plus: &[],
            found: &found,
            owed: &owed,
        };
        self.set(partition, repair).await
    }

    /// Sets the counts over all time to the receipts before `hour` and what the hours since then hold
    /// at that moment; not while one of those is damaged, for nobody knows what it held.
    async fn set_total(&self, partition: u16, hour: u64) -> Result<u64, BulkFailure> {
        let (found, are_hours_whole) = self.total_before(partition, hour).await?;
        if !are_hours_whole {
            warn!(
                partition,
                "an hour's counts are damaged: the counts over all time wait for its repair"
            );
            return Ok(0);
        }
        let mut owed = self.owed_before(partition, hour).await?;
        // What only the hours hold is owed nothing before them, and must not go with the damaged.
        for field in found.counts.keys() {
            owed.entry(field.clone()).or_default();
        }
        let repair = Repair {
            hash: CountHash::Total,
            plus: &self.hours_since(hour),
            found: &found,
            owed: &owed,
        };
        self.set(partition, repair).await
    }

    /// Sets what was found and is not owed, in as many calls as the script's bounds ask for.
    async fn set(&self, partition: u16, repair: Repair<'_>) -> Result<u64, BulkFailure> {
        let Repair {
            hash,
            plus,
            found,
            owed,
        } = repair;
        let Some(differing) = compare(None, 0, found, owed) else {
            return Ok(0);
        };
        // All that is owed where the bucket begins anew, else what differs.
        let rows: Vec<(&str, i64)> = if differing.damaged {
            owed.iter()
                .map(|(field, count)| (&**field, *count))
                .collect()
        } else {
            let counts = differing.counts.iter();
            counts.map(|one| (&*one.field, one.owed)).collect()
        };
        let mut counts = SetCounts {
            life: self.committer.lives.known(partition),
            hash,
            anew: differing.damaged,
            plus,
            rows: &[],
        };
        let mut set = 0;
        let mut parts = rows.chunks(FIELDS_MAX);
        // A damaged hash begins anew also when nothing is owed.
        let first = parts.next().unwrap_or_default();
        for rows in std::iter::once(first).chain(parts) {
            counts.rows = rows;
            set += self.stream.set_counts(partition, &counts).await?;
            counts.anew = false;
        }
        Ok(set)
    }
}

/// What a hash is to hold.
struct Repair<'c> {
    hash: CountHash,
    /// Hashes that count beside what is owed.
    plus: &'c [CountHash],
    found: &'c FoundCounts,
    owed: &'c Bucket,
}

/// The minutes, younger than a day, whose receipts are to be settled.
fn young_minutes(differences: &Differences, now: u64) -> BTreeSet<u64> {
    let mut minutes = BTreeSet::new();
    let buckets = differences.buckets.iter();
    for bucket in buckets.filter(|bucket| bucket.is_missing_counts()) {
        let Some(step) = bucket.step else { continue };
        let from = (bucket.number * step.seconds()).max(now.saturating_sub(DAY));
        let to = (bucket.number + 1) * step.seconds();
        minutes.extend(from / 60..to.div_ceil(60).max(from / 60));
    }
    minutes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::compare::{Differing, DifferingBucket};

    fn bucket(step: Step, number: u64, counted: i64, owed: i64) -> DifferingBucket {
        DifferingBucket {
            step: Some(step),
            number,
            damaged: false,
            counts: vec![Differing {
                field: "t".to_owned(),
                counted,
                owed,
            }],
        }
    }

    #[test]
    fn only_minutes_younger_than_a_day_that_miss_counts_are_settled() {
        let now = 40 * DAY;
        let minute = now / 60;
        let differences = Differences {
            buckets: vec![
                bucket(Step::Second, now - 300, 0, 1),
                bucket(Step::Minute, minute - 10, 0, 1),
                bucket(Step::Minute, minute - 20, 2, 1),
                bucket(Step::Minute, minute - 24 * 60 - 1, 0, 1),
                bucket(Step::Hour, now / 3_600 - 30, 0, 1),
            ],
            ..Differences::default()
        };
        let minutes = young_minutes(&differences, now);
        assert_eq!(
            minutes.into_iter().collect::<Vec<_>>(),
            [minute - 10, minute - 5]
        );
    }
}
