//! Buckets as they are counted, and as receipts say they should be.

use std::collections::HashMap;
use std::ops::Range;

use evp_shared::counters::Step;
use evp_shared::stream::audit::HASHES_MAX;
use evp_shared::stream::{Bucket, CountHash, FoundCounts};

use crate::audit::auditor::Auditor;
use crate::audit::compare::{DifferingBucket, TypeTable, compare};
use crate::bulk::commit::BulkFailure;
use crate::store::insert::StoreFailure;
use crate::store::sums::Owed;

/// Hours ahead of the present one that a frame may lie in: ingest's clock may be ahead.
const HOURS_AHEAD: u64 = 2;

impl Auditor {
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
            let found = self.stream.read_counts(partition, &hashes).await?;
            let seconds = second(step, part.start)..second(step, part.end);
            let sums = self
                .inserter
                .receipt_sums(partition, step.seconds(), seconds)
                .await?;
            let table = self.type_table(partition, sums.values()).await?;
            differing.extend(part.zip(&found).filter_map(|(number, found)| {
                let owed = sums.get(&number).map(|owed| table.fold(owed));
                compare(number, found, &owed.unwrap_or_default())
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
        let mut found = self
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
    pub(super) fn hours_since(&self, hour: u64) -> Vec<CountHash> {
        let now = self.clock.now_ms() / 1_000 / Step::Hour.seconds();
        (hour..=now + HOURS_AHEAD)
            .map(|number| CountHash::Bucket(Step::Hour, number))
            .collect()
    }

    /// The receipts of all frames received before `hour`.
    pub(super) async fn owed_before(
        &self,
        partition: u16,
        hour: u64,
    ) -> Result<Owed, StoreFailure> {
        let end = second(Step::Hour, hour);
        // One bucket for all of time.
        let mut sums = self
            .inserter
            .receipt_sums(partition, u64::from(u32::MAX), 0..end)
            .await?;
        Ok(sums.remove(&0).unwrap_or_default())
    }

    /// What a bucket holds when everything in `owed` was counted.
    pub(super) async fn folded(&self, partition: u16, owed: &Owed) -> Result<Bucket, BulkFailure> {
        Ok(self.type_table(partition, [owed]).await?.fold(owed))
    }

    /// Which types of the tenants in `owed` are counted by name.
    async fn type_table(
        &self,
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
            let types = self.stream.types(partition, tenant).await?;
            table.insert(tenant.to_owned(), types);
        }
        Ok(table)
    }
}

pub(super) fn second(step: Step, number: u64) -> u32 {
    u32::try_from(number.saturating_mul(step.seconds())).unwrap_or(u32::MAX)
}
