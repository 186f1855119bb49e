//! Verify: compares all retained, closed buckets with the receipts, and mends them.
//!
//! What reconcile does for the newest minutes, for all of them and by the same decision
//! ([`crate::audit::compare`]). What is younger than a day is mended by settling its receipts: the bits
//! say what is in. What is older, and older than everything that may still be delivered, is
//! nobody's any more and is set to the sum of its receipts.

use std::collections::HashMap;
use std::ops::Range;

use evp_shared::counters::Step;
use evp_shared::stream::audit::HASHES_MAX;
use evp_shared::stream::{Bucket, CountHash, FoundCounts};

use crate::audit::compare::{CLOSED_AFTER, DifferingBucket, Owed, Span, TypeTable, compare};
use crate::bulk::pipeline::BulkFailure;
use crate::context::Context;
use crate::store::insert::StoreFailure;

/// Hours ahead of the present one that a frame may lie in: ingest's clock may be ahead.
const HOURS_AHEAD: u64 = 2;

/// Times a difference is looked at again: a commit on its way looks like one.
const LOOKS: usize = 3;

/// Pause between two looks.
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// What differs on one partition.
#[derive(Debug, Default)]
pub struct Differences {
    /// Buckets by step, oldest first.
    pub buckets: Vec<(Step, DifferingBucket)>,
    /// Counts over all time, without the hours that are not closed.
    pub total: Option<DifferingBucket>,
    /// Buckets compared, the total among them.
    pub compared: usize,
}

impl Differences {
    /// Whether counters and receipts are equal.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.total.is_none()
    }

    /// Counts that differ.
    pub fn counts(&self) -> usize {
        let of = |bucket: &DifferingBucket| bucket.counts.len().max(1);
        let buckets: usize = self.buckets.iter().map(|(_, bucket)| of(bucket)).sum();
        buckets + self.total.as_ref().map_or(0, of)
    }
}

/// Compares the buckets of `partition` in `span`, and the counts over all time when the span
/// leaves nothing out.
///
/// # Errors
/// [`BulkFailure`].
pub async fn differences(
    context: &Context,
    partition: u16,
    span: Span,
) -> Result<Differences, BulkFailure> {
    let now = context.clock.now_ms() / 1_000;
    let mut found = Differences::default();
    for step in Step::ALL {
        let buckets = span.buckets(step, now);
        found.compared += usize::try_from(buckets.end - buckets.start).unwrap_or(usize::MAX);
        let differing = lasting_differences(context, partition, step, buckets).await?;
        found
            .buckets
            .extend(differing.into_iter().map(|bucket| (step, bucket)));
    }
    if span.is_everything() {
        found.compared += 1;
        let closed = now.saturating_sub(CLOSED_AFTER) / Step::Hour.seconds();
        found.total = differing_total(context, partition, closed).await?;
        for _ in 1..LOOKS {
            if found.total.is_none() {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
            found.total = differing_total(context, partition, closed).await?;
        }
    }
    Ok(found)
}

/// The buckets that differ, also when one looks again.
async fn lasting_differences(
    context: &Context,
    partition: u16,
    step: Step,
    buckets: Range<u64>,
) -> Result<Vec<DifferingBucket>, BulkFailure> {
    let mut differing = differing_buckets(context, partition, step, buckets).await?;
    for _ in 1..LOOKS {
        let (Some(first), Some(last)) = (differing.first(), differing.last()) else {
            break;
        };
        let again = first.number..last.number + 1;
        tokio::time::sleep(LOOK_PAUSE).await;
        let still = differing_buckets(context, partition, step, again).await?;
        differing = still;
    }
    Ok(differing)
}

/// Compares the buckets numbered `buckets`; those that differ, oldest first.
///
/// # Errors
/// [`BulkFailure`].
pub async fn differing_buckets(
    context: &Context,
    partition: u16,
    step: Step,
    buckets: Range<u64>,
) -> Result<Vec<DifferingBucket>, BulkFailure> {
    let mut differing = Vec::new();
    let mut next = buckets.start;
    while next < buckets.end {
        let part = next..buckets.end.min(next + HASHES_MAX as u64);
        next = part.end;
        let hashes: Vec<CountHash> = part
            .clone()
            .map(|number| CountHash::Bucket(step, number))
            .collect();
        // The buckets are read first: what is committed between the two reads looks missing and is
        // settled again, which is harmless; the other way round it could look like a surplus.
        let found = context.stream.read_counts(partition, &hashes).await?;
        let seconds = second(step, part.start)..second(step, part.end);
        let sums = context
            .inserter
            .receipt_sums(partition, step.seconds(), seconds)
            .await?;
        let table = type_table(context, partition, sums.values()).await?;
        differing.extend(part.zip(&found).filter_map(|(number, found)| {
            let owed = sums.get(&number).map(|owed| table.fold(owed));
            compare(number, found, &owed.unwrap_or_default())
        }));
    }
    Ok(differing)
}

/// Compares the counts over all time, less those of the hours from `closed` on, with the receipts
/// before that hour.
async fn differing_total(
    context: &Context,
    partition: u16,
    closed: u64,
) -> Result<Option<DifferingBucket>, BulkFailure> {
    let (found, _) = total_before(context, partition, closed).await?;
    let owed = owed_before(context, partition, closed).await?;
    let table = type_table(context, partition, [&owed]).await?;
    Ok(compare(0, &found, &table.fold(&owed)))
}

/// The counts over all time without those of the hours from `hour` on, which are read in the same
/// step: commits change both alike, so the difference stands still under load. Also says whether
/// all of what those hours hold could be read.
pub(super) async fn total_before(
    context: &Context,
    partition: u16,
    hour: u64,
) -> Result<(FoundCounts, bool), BulkFailure> {
    let mut hashes = vec![CountHash::Total];
    hashes.extend(hours_since(context, hour));
    let mut found = context
        .stream
        .read_counts(partition, &hashes)
        .await?
        .into_iter();
    let mut total = found.next().unwrap_or_default();
    let mut are_hours_whole = true;
    for later in found {
        are_hours_whole &= !later.damaged;
        for (field, count) in later.counts {
            *total.counts.entry(field).or_default() -= count;
        }
    }
    Ok((total, are_hours_whole))
}

/// The hours from `hour` on that may hold counts.
pub(super) fn hours_since(context: &Context, hour: u64) -> Vec<CountHash> {
    let now = context.clock.now_ms() / 1_000 / Step::Hour.seconds();
    (hour..=now + HOURS_AHEAD)
        .map(|number| CountHash::Bucket(Step::Hour, number))
        .collect()
}

/// The receipts of all frames received before `hour`.
pub(super) async fn owed_before(
    context: &Context,
    partition: u16,
    hour: u64,
) -> Result<Owed, StoreFailure> {
    let end = second(Step::Hour, hour);
    // One bucket for all of time.
    let mut sums = context
        .inserter
        .receipt_sums(partition, u64::from(u32::MAX), 0..end)
        .await?;
    Ok(sums.remove(&0).unwrap_or_default())
}

/// Which types of the tenants in `owed` are counted by name.
pub(super) async fn type_table(
    context: &Context,
    partition: u16,
    owed: impl IntoIterator<Item = &Owed>,
) -> Result<TypeTable, BulkFailure> {
    let tenants: HashMap<&str, ()> = owed
        .into_iter()
        .flat_map(HashMap::keys)
        .map(|(tenant, _)| (tenant.as_str(), ()))
        .collect();
    let mut table = TypeTable::default();
    for tenant in tenants.into_keys() {
        let types = context.stream.types(partition, tenant).await?;
        table.insert(tenant.to_owned(), types);
    }
    Ok(table)
}

/// Everything a bucket should hold, where it does not.
pub(super) fn owed_of(table: &TypeTable, owed: Option<&Owed>) -> Bucket {
    owed.map(|owed| table.fold(owed)).unwrap_or_default()
}

pub(super) fn second(step: Step, number: u64) -> u32 {
    u32::try_from(number.saturating_mul(step.seconds())).unwrap_or(u32::MAX)
}
