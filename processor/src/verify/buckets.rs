//! Buckets as they are counted, and as receipts say they should be.

use std::collections::HashMap;
use std::ops::Range;

use evp_shared::counters::Step;
use evp_shared::stream::verify::HASHES_MAX;
use evp_shared::stream::{Bucket, CountHash, FoundCounts};

use crate::bulk::commit::BulkFailure;
use crate::store::insert::StoreFailure;
use crate::store::sums::Owed;
use crate::verify::compare::{DifferingBucket, Named, TypeTable, compare, fold};
use crate::verify::verifier::Verifier;

/// Hours ahead of the present one that a frame may lie in: ingest's clock may be ahead.
const HOURS_AHEAD: u64 = 2;

impl Verifier {
    /// Compares the buckets numbered `buckets`; those that differ, oldest first.
    ///
    /// # Errors
    /// [`BulkFailure`].
    pub async fn differing_buckets(
        &self,
        partition: u16,
        step: Step,
        buckets: Range<u64>,
    ) -> Result<Vec<DifferingBucket>, BulkFailure> {
        let mut differing = Vec::new();
        for start in buckets.clone().step_by(HASHES_MAX) {
            let part = start..buckets.end.min(start + HASHES_MAX as u64);
            let hashes = part.clone().map(|number| CountHash::Bucket(step, number));
            let hashes: Vec<CountHash> = hashes.collect();
            // The buckets are read first: what is committed between the two reads looks missing and is
            // settled again, which is harmless; the other way round it could look like a surplus.
            let found = self.stream.read_counts(partition, &hashes).await?;
            let sums = self.receipt_sums_of(partition, step, part.clone()).await?;
            let table = self.type_table(partition, sums.values()).await?;
            differing.extend(part.zip(&found).filter_map(|(number, found)| {
                let owed = sums.get(&number).map(|owed| fold(owed, &table));
                compare(Some(step), number, found, &owed.unwrap_or_default())
            }));
        }
        Ok(differing)
    }

    /// The counts over all time without those of the hours from `hour` on, which are read in the same
    /// step: commits change both alike, so the difference stands still under load. Also says whether
    /// all of what those hours hold could be read.
    pub(super) async fn total_before(
        &self,
        partition: u16,
        hour: u64,
    ) -> Result<(FoundCounts, bool), BulkFailure> {
        let mut hashes = vec![CountHash::Total];
        hashes.extend(self.hours_since(hour));
        let found = self.stream.read_counts(partition, &hashes).await?;
        let mut found = found.into_iter();
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
    pub(super) fn hours_since(&self, hour: u64) -> Vec<CountHash> {
        let now = self.clock.now_ms() / 1_000 / Step::Hour.seconds();
        (hour..=now + HOURS_AHEAD)
            .map(|number| CountHash::Bucket(Step::Hour, number))
            .collect()
    }

    /// What the counts over all time hold when the receipts of all frames received before `hour`,
    /// and no others, are counted.
    pub(super) async fn owed_before(
        &self,
        partition: u16,
        hour: u64,
    ) -> Result<Bucket, BulkFailure> {
        let until = seconds_of(Step::Hour, 0..hour);
        // One bucket for all of time.
        let width_s = u64::from(u32::MAX);
        let sums = self.inserter.receipt_sums(partition, width_s, until);
        self.folded(partition, sums.await?.remove(&0)).await
    }

    /// The sums of the receipts that belong into `buckets`.
    pub(super) async fn receipt_sums_of(
        &self,
        partition: u16,
        step: Step,
        buckets: Range<u64>,
    ) -> Result<HashMap<u64, Owed>, StoreFailure> {
        let seconds = seconds_of(step, buckets);
        let width_s = step.seconds();
        self.inserter
            .receipt_sums(partition, width_s, seconds)
            .await
    }

    /// What a bucket holds when everything in `owed` was counted.
    pub(super) async fn folded(
        &self,
        partition: u16,
        owed: Option<Owed>,
    ) -> Result<Bucket, BulkFailure> {
        let owed = owed.unwrap_or_default();
        Ok(fold(&owed, &self.type_table(partition, [&owed]).await?))
    }

    /// Which types of the tenants in `owed` are counted by name.
    async fn type_table(
        &self,
        partition: u16,
        owed: impl IntoIterator<Item = &Owed>,
    ) -> Result<TypeTable, BulkFailure> {
        let mut table = TypeTable::new();
        for (tenant, _) in owed.into_iter().flat_map(HashMap::keys) {
            if !table.contains_key(tenant) {
                let types = self.stream.types(partition, tenant).await?;
                let most = self.stream.caps().of(tenant);
                table.insert(tenant.clone(), Named { types, most });
            }
        }
        Ok(table)
    }
}

/// The Unix seconds of `buckets`.
pub(super) fn seconds_of(step: Step, buckets: Range<u64>) -> Range<u32> {
    let first = |number: u64| {
        let second = number.saturating_mul(step.seconds());
        u32::try_from(second).unwrap_or(u32::MAX)
    };
    first(buckets.start)..first(buckets.end)
}
