//! Adding counters up, by tenant and type. Pure.

use std::cmp::Reverse;
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

    /// Events of `tenant` of all types.
    pub fn total(&self, tenant: &Tenant) -> i64 {
        self.of(tenant).map_or(0, |counts| counts.values().sum())
    }

    /// Events of `tenant` by type, most first; what is beyond `max` types comes last, as
    /// `__other__`.
    pub fn ranked(&self, tenant: &Tenant, max: usize) -> Vec<TypeCount> {
        let counts = self.of(tenant).cloned().unwrap_or_default();
        let counts = counts.into_iter().collect();
        let ranked = ranked(counts, max, |count| *count, |sum, count| *sum += count);
        let named = ranked.into_iter().map(|(event_type, count)| TypeCount {
            event_type: event_type.into(),
            count,
        });
        named.collect()
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
    pub(crate) fn add(&mut self, buckets: &[Bucket]) {
        buckets.iter().for_each(|bucket| self.all.add(bucket));
        if let [.., bucket, _being_filled] = buckets {
            self.last_second.add(bucket);
        }
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

/// The type of a counter's field of `tenant`; `None` for any other field.
pub(crate) fn type_of<'f>(field: &'f str, tenant: &Tenant) -> Option<&'f str> {
    let (of, event_type) = split_field(field)?;
    (of == tenant.as_str()).then_some(event_type)
}

/// The `max` types with the most events by `size`, most first; what is beyond comes last, added up
/// as `__other__`.
pub(crate) fn ranked<T>(
    mut types: Vec<(Box<str>, T)>,
    max: usize,
    size: impl Fn(&T) -> i64,
    add: impl Fn(&mut T, T),
) -> Vec<(Box<str>, T)> {
    let unnamed = types.iter().position(|(name, _)| &**name == OTHER_TYPE);
    let other = unnamed.map(|at| types.swap_remove(at));
    types.sort_by_cached_key(|(name, counted)| (Reverse(size(counted)), name.clone()));
    let beyond = types.split_off(types.len().min(max));
    let other = other.into_iter().chain(beyond).map(|(_, counted)| counted);
    let other = other.reduce(|mut sum, counted| {
        add(&mut sum, counted);
        sum
    });
    types.extend(other.map(|sum| (OTHER_TYPE.into(), sum)));
    types
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
        counts.add(&bucket(&[("a", "view", 1)]));
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
