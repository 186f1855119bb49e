//! Differences: compares all retained, closed buckets with the receipts.
//!
//! What reconcile does for the newest minutes, for all of them and by the same decision
//! ([`crate::verify::compare`]).

use std::ops::Range;

use evp_shared::counters::Step;

use crate::bulk::commit::BulkFailure;
use crate::verify::compare::{CLOSED_AFTER, DifferingBucket, Span, compare};
use crate::verify::verifier::Verifier;

/// Times a difference is looked at again: a commit on its way looks like one.
const LOOKS: usize = 3;

/// Pause between two looks.
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// What differs on one partition.
#[derive(Debug, Default)]
pub struct Differences {
    /// Buckets by step, oldest first; last the counts over all time, without the hours that are
    /// not closed.
    pub buckets: Vec<DifferingBucket>,
    /// Buckets compared, the total among them.
    pub compared: usize,
}

impl Differences {
    /// Counts that differ.
    pub fn counts(&self) -> usize {
        let counts = self.buckets.iter().map(|bucket| bucket.counts.len().max(1));
        counts.sum()
    }
}

impl Verifier {
    /// Compares the buckets of `partition` in `span`, and the counts over all time when the span
    /// leaves nothing out.
    ///
    /// # Errors
    /// [`BulkFailure`].
    pub async fn differences(
        &self,
        partition: u16,
        span: Span,
    ) -> Result<Differences, BulkFailure> {
        let now = self.clock.now_ms() / 1_000;
        let mut found = Differences::default();
        for step in Step::ALL {
            let buckets = span.buckets(step, now);
            found.compared += usize::try_from(buckets.end - buckets.start).unwrap_or(usize::MAX);
            let differing = self.lasting_differences(partition, step, buckets).await?;
            found.buckets.extend(differing);
        }
        if span.is_everything() {
            found.compared += 1;
            let closed = now.saturating_sub(CLOSED_AFTER) / Step::Hour.seconds();
            let mut total = self.differing_total(partition, closed).await?;
            for _ in 1..LOOKS {
                if total.is_none() {
                    break;
                }
                tokio::time::sleep(LOOK_PAUSE).await;
                total = self.differing_total(partition, closed).await?;
            }
            found.buckets.extend(total);
        }
        Ok(found)
    }

    /// The buckets that differ, also when one looks again.
    async fn lasting_differences(
        &self,
        partition: u16,
        step: Step,
        buckets: Range<u64>,
    ) -> Result<Vec<DifferingBucket>, BulkFailure> {
        let mut differing = self.differing_buckets(partition, step, buckets).await?;
        for _ in 1..LOOKS {
            let (Some(first), Some(last)) = (differing.first(), differing.last()) else {
                break;
            };
            let again = first.number..last.number + 1;
            tokio::time::sleep(LOOK_PAUSE).await;
            differing = self.differing_buckets(partition, step, again).await?;
        }
        Ok(differing)
    }

    /// Compares the counts over all time, less those of the hours from `closed` on, with the receipts
    /// before that hour.
    async fn differing_total(
        &self,
        partition: u16,
        closed: u64,
    ) -> Result<Option<DifferingBucket>, BulkFailure> {
        let (found, _) = self.total_before(partition, closed).await?;
        let owed = self.owed_before(partition, closed).await?;
        Ok(compare(None, 0, &found, &owed))
    }
}
