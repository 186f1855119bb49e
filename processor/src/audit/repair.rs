//! Mending what differs.

use std::collections::BTreeSet;
use std::ops::Range;

use evp_shared::counters::{Step, split_field};
use evp_shared::stream::audit::FIELDS_MAX;
use evp_shared::stream::{Bucket, CountHash, CountTo, SetCounts};
use tracing::warn;

use crate::audit::auditor::Auditor;
use crate::audit::buckets::second;
use crate::audit::compare::{DifferingBucket, compare};
use crate::audit::verify::Differences;
use crate::bulk::commit::BulkFailure;

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

impl Auditor {
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
        for minutes in young_minutes(differences, self.clock.now_ms() / 1_000) {
            let seconds = second(Step::Minute, minutes)..second(Step::Minute, minutes + 1);
            repaired.settled_events += self.settle(partition, seconds).await?;
        }
        for (step, bucket) in &differences.buckets {
            if (bucket.number + 1) * step.seconds() <= old {
                repaired.set_counts += self.set_bucket(partition, *step, bucket.number).await?;
            }
        }
        if differences.total.is_some() {
            repaired.set_counts += self
                .set_total(partition, old / Step::Hour.seconds())
                .await?;
        }
        Ok(repaired)
    }

    /// Settles the receipts of `partition` whose frames were received in the Unix seconds `seconds`:
    /// only what was missing is added. Returns the events added.
    ///
    /// # Errors
    /// [`BulkFailure`]; repeating is harmless.
    pub async fn settle(&self, partition: u16, seconds: Range<u32>) -> Result<u64, BulkFailure> {
        let receipts = self.inserter.receipts_of_seconds(partition, seconds);
        let done = self.committer.settle(partition, receipts.await?).await?;
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
        let seconds = second(step, number)..second(step, number + 1);
        let mut sums = self
            .inserter
            .receipt_sums(partition, step.seconds(), seconds)
            .await?;
        let owed = sums.remove(&number).unwrap_or_default();
        let owed = self.folded(partition, &owed).await?;
        let found = found.first();
        match found.and_then(|found| compare(number, found, &owed)) {
            Some(differing) => {
                let rows = rows(&differing, &owed);
                let counts = SetCounts {
                    life: self.committer.lives.known(partition),
                    hash,
                    anew: differing.damaged,
                    plus: &[],
                    rows: &rows,
                };
                self.set(partition, counts).await
            }
            None => Ok(0),
        }
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
        let owed = self.owed_before(partition, hour).await?;
        let owed = self.folded(partition, &owed).await?;
        let Some(differing) = compare(0, &found, &owed) else {
            return Ok(0);
        };
        let plus = self.hours_since(hour);
        // What only the hours hold is owed nothing before them, and must not go with the damaged.
        let mut of_hours = owed;
        for field in found.counts.into_keys() {
            of_hours.entry(field).or_default();
        }
        let rows = rows(&differing, &of_hours);
        let counts = SetCounts {
            life: self.committer.lives.known(partition),
            hash: CountHash::Total,
            anew: differing.damaged,
            plus: &plus,
            rows: &rows,
        };
        self.set(partition, counts).await
    }

    /// Sets `counts` in as many calls as the script's bounds ask for.
    async fn set(&self, partition: u16, counts: SetCounts<'_>) -> Result<u64, BulkFailure> {
        let mut set = 0;
        let mut parts = counts.rows.chunks(FIELDS_MAX);
        // A damaged hash begins anew also when nothing is owed.
        let first = parts.next().unwrap_or_default();
        for (index, rows) in std::iter::once(first).chain(parts).enumerate() {
            let anew = counts.anew && index == 0;
            let part = SetCounts {
                rows,
                anew,
                ..counts
            };
            set += self.stream.set_counts(partition, &part).await?;
        }
        Ok(set)
    }
}

/// The minutes, younger than a day, whose receipts are to be settled.
fn young_minutes(differences: &Differences, now: u64) -> BTreeSet<u64> {
    let mut minutes = BTreeSet::new();
    let missing = differences
        .buckets
        .iter()
        .filter(|(_, bucket)| bucket.is_missing_counts());
    for (step, bucket) in missing {
        let from = (bucket.number * step.seconds()).max(now.saturating_sub(DAY));
        let to = (bucket.number + 1) * step.seconds();
        minutes.extend(from / 60..to.div_ceil(60).max(from / 60));
    }
    minutes
}

/// What is to be set: all that is owed where the bucket begins anew, else what differs.
fn rows(differing: &DifferingBucket, owed: &Bucket) -> Vec<CountTo> {
    if !differing.damaged {
        return differing.counts.iter().map(row).collect();
    }
    owed.iter()
        .map(|(field, count)| {
            let (tenant, event_type) = split_field(field).unwrap_or(("", field));
            CountTo {
                tenant: tenant.to_owned(),
                event_type: event_type.to_owned(),
                count: *count,
            }
        })
        .collect()
}

fn row(differing: &crate::audit::compare::Differing) -> CountTo {
    CountTo {
        tenant: differing.tenant.clone(),
        event_type: differing.event_type.clone(),
        count: differing.owed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::compare::Differing;

    fn bucket(number: u64, counted: i64, owed: i64) -> DifferingBucket {
        DifferingBucket {
            number,
            damaged: false,
            counts: vec![Differing {
                tenant: "t".to_owned(),
                event_type: "e".to_owned(),
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
                (Step::Second, bucket(now - 300, 0, 1)),
                (Step::Minute, bucket(minute - 10, 0, 1)),
                (Step::Minute, bucket(minute - 20, 2, 1)),
                (Step::Minute, bucket(minute - 24 * 60 - 1, 0, 1)),
                (Step::Hour, bucket(now / 3_600 - 30, 0, 1)),
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
