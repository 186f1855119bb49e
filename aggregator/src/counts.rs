//! Adding counters up, by tenant and type. Pure.

use std::collections::HashMap;

use evp_shared::counters::{OTHER_TYPE, split_field};
use evp_shared::stream::Bucket;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Tenant;

/// Types that one answer names; the rest is `__other__`.
pub const NAMED_TYPES_MAX: usize = 1_000;

/// Events by type.
pub type TypeCounts = HashMap<Box<str>, i64>;

/// Events by tenant and type, summed over buckets and partitions.
#[derive(Debug, Clone, Default)]
pub struct ByTenant(HashMap<Box<str>, TypeCounts>);

/// What was read, and when.
#[derive(Debug, Clone)]
pub struct Reading<T> {
    /// Unix ms just before it was read.
    pub as_of_ms: u64,
    /// What was read.
    pub value: T,
}

/// One type of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TypeCount {
    /// The type.
    #[serde(rename = "_id")]
    pub event_type: String,
    /// Its events.
    pub count: i64,
}

impl ByTenant {
    /// Adds a bucket; fields that are no counters are left out.
    pub fn add(&mut self, bucket: &Bucket) {
        for (field, count) in bucket {
            let Some((tenant, event_type)) = split_field(field) else {
                continue;
            };
            if !self.0.contains_key(tenant) {
                self.0.insert(tenant.into(), TypeCounts::new());
            }
            if let Some(counts) = self.0.get_mut(tenant) {
                add(counts, event_type, *count);
            }
        }
    }

    /// Takes over the sums of another reading.
    pub fn merge(&mut self, other: Self) {
        for (tenant, counts) in other.0 {
            let own = self.0.entry(tenant).or_default();
            for (event_type, count) in counts {
                *own.entry(event_type).or_default() += count;
            }
        }
    }

    /// Events of `tenant` of all types.
    pub fn total(&self, tenant: &Tenant) -> i64 {
        self.of(tenant).map_or(0, |counts| counts.values().sum())
    }

    /// Events of `tenant` by type, most first; what is beyond `max` types comes last, as
    /// `__other__`.
    pub fn ranked(&self, tenant: &Tenant, max: usize) -> Vec<TypeCount> {
        let Some(counts) = self.of(tenant) else {
            return Vec::new();
        };
        let named = counts.iter().map(|(event_type, count)| TypeCount {
            event_type: event_type.to_string(),
            count: *count,
        });
        rank(named.collect(), max)
    }

    fn of(&self, tenant: &Tenant) -> Option<&TypeCounts> {
        self.0.get(tenant.as_str())
    }
}

/// Counts of the current second and the 59 before it.
#[derive(Debug, Clone, Default)]
pub struct LastMinute {
    /// Of all of them.
    pub all: ByTenant,
    /// Of the last whole second.
    pub last_second: ByTenant,
}

impl LastMinute {
    /// Adds the buckets of a partition, oldest first.
    pub(crate) fn of(buckets: &[Bucket]) -> Self {
        let mut sum = Self::default();
        buckets.iter().for_each(|bucket| sum.all.add(bucket));
        if let [.., bucket, _being_filled] = buckets {
            sum.last_second.add(bucket);
        }
        sum
    }

    pub(crate) fn merge(&mut self, part: Self) {
        self.all.merge(part.all);
        self.last_second.merge(part.last_second);
    }
}

fn add(counts: &mut TypeCounts, event_type: &str, count: i64) {
    match counts.get_mut(event_type) {
        Some(sum) => *sum += count,
        None => {
            counts.insert(event_type.into(), count);
        }
    }
}

fn rank(mut counts: Vec<TypeCount>, max: usize) -> Vec<TypeCount> {
    let unnamed = counts.iter().position(|row| row.event_type == OTHER_TYPE);
    let mut other = unnamed.map(|at| counts.swap_remove(at).count);
    counts.sort_unstable_by(|one, next| {
        let by_count = next.count.cmp(&one.count);
        by_count.then_with(|| one.event_type.cmp(&next.event_type))
    });
    if counts.len() > max {
        let beyond: i64 = counts.drain(max..).map(|row| row.count).sum();
        *other.get_or_insert(0) += beyond;
    }
    counts.extend(other.map(|count| TypeCount {
        event_type: OTHER_TYPE.to_owned(),
        count,
    }));
    counts
}

#[cfg(test)]
mod tests {
    use evp_shared::counters::field;

    use super::*;

    fn bucket(rows: &[(&str, &str, i64)]) -> Bucket {
        let row = |(tenant, kind, count): &(&str, &str, i64)| (field(tenant, kind), *count);
        rows.iter().map(row).collect()
    }

    fn ranked(counts: &ByTenant, tenant: &str, max: usize) -> Vec<(String, i64)> {
        let rows = counts.ranked(&Tenant::named(tenant), max);
        rows.into_iter()
            .map(|row| (row.event_type, row.count))
            .collect()
    }

    #[test]
    fn buckets_add_up_by_tenant_and_type() {
        let mut counts = ByTenant::default();
        counts.add(&bucket(&[("a", "click", 2), ("b", "click", 7)]));
        counts.add(&bucket(&[("a", "click", 1), ("a", "view", 5)]));
        counts.add(&Bucket::from([("no counter".to_owned(), 9)]));
        let mut more = ByTenant::default();
        more.add(&bucket(&[("a", "view", 1)]));
        counts.merge(more);
        let expected = [("view".to_owned(), 6), ("click".to_owned(), 3)];
        assert_eq!(ranked(&counts, "a", 10), expected);
        assert_eq!(counts.total(&Tenant::named("a")), 9);
        assert_eq!(counts.total(&Tenant::named("b")), 7);
        assert_eq!(ranked(&counts, "c", 10), []);
    }

    #[test]
    fn types_beyond_the_cap_are_summed_and_come_last() {
        let mut counts = ByTenant::default();
        counts.add(&bucket(&[
            ("a", "w", 1),
            ("a", "x", 4),
            ("a", "y", 4),
            ("a", "z", 2),
            ("a", OTHER_TYPE, 100),
        ]));
        let expected = [
            ("x".to_owned(), 4),
            ("y".to_owned(), 4),
            (OTHER_TYPE.to_owned(), 103),
        ];
        assert_eq!(ranked(&counts, "a", 2), expected);
        assert_eq!(ranked(&counts, "a", 4).last().unwrap().1, 100);
        let sum: i64 = ranked(&counts, "a", 1).iter().map(|(_, count)| count).sum();
        assert_eq!(sum, counts.total(&Tenant::named("a")));
    }
}
