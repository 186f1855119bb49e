//! Adding counters of a tenant up, by type. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;

use evp_shared::counters::OTHER_TYPE;
use evp_shared::stream::TypeCounts;
use serde::Serialize;
use utoipa::ToSchema;

/// Types that one answer names; the rest is `__other__`.
pub const NAMED_TYPES_MAX: usize = 1_000;

/// What a type costs besides its name: its place in a table.
const ROW_BYTES: usize = 64;

/// Events of a tenant by type, summed over buckets and partitions.
#[derive(Debug, Clone, Default)]
pub struct ByType(HashMap<Box<str>, i64>);

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

impl ByType {
    /// Adds a bucket.
    pub fn add(&mut self, bucket: &TypeCounts) {
        for (event_type, count) in bucket {
            match self.0.get_mut(event_type) {
                Some(sum) => *sum += count,
                None => drop(self.0.insert(event_type.clone(), *count)),
            }
        }
    }

    /// Events of all types.
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// Events by type, most first; what is beyond `max` types comes last, as `__other__`.
    pub fn ranked(&self, max: usize) -> Vec<TypeCount> {
        let counts = self.0.clone().into_iter().collect();
        let ranked = ranked(counts, max, |count| *count, |sum, count| *sum += count);
        let named = ranked.into_iter().map(|(event_type, count)| TypeCount {
            event_type: event_type.into(),
            count,
        });
        named.collect()
    }

    /// Bytes it takes.
    pub fn weight(&self) -> usize {
        let names = self.0.keys();
        size_of::<Self>() + names.map(|name| ROW_BYTES + name.len()).sum::<usize>()
    }
}

/// Counts of the current second and the 59 before it.
#[derive(Debug, Clone, Default)]
pub struct LastMinute {
    /// Of all of them.
    pub all: ByType,
    /// Of the last whole second.
    pub last_second: ByType,
}

impl LastMinute {
    /// Bytes it takes.
    pub fn weight(&self) -> usize {
        self.all.weight() + self.last_second.weight()
    }

    /// Adds the buckets of a partition, oldest first.
    pub(crate) fn add(&mut self, buckets: &[TypeCounts]) {
        buckets.iter().for_each(|bucket| self.all.add(bucket));
        if let [.., bucket, _being_filled] = buckets {
            self.last_second.add(bucket);
        }
    }
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
    use super::*;

    fn bucket(rows: &[(&str, i64)]) -> TypeCounts {
        let row = |(kind, count): &(&str, i64)| ((*kind).into(), *count);
        rows.iter().map(row).collect()
    }

    fn ranked(counts: &ByType, max: usize) -> Vec<(String, i64)> {
        let rows = counts.ranked(max);
        rows.into_iter()
            .map(|row| (row.event_type, row.count))
            .collect()
    }

    #[test]
    fn buckets_add_up_by_type() {
        let mut counts = ByType::default();
        counts.add(&bucket(&[("click", 2)]));
        counts.add(&bucket(&[("click", 1), ("view", 5)]));
        counts.add(&bucket(&[("view", 1)]));
        let expected = [("view".to_owned(), 6), ("click".to_owned(), 3)];
        assert_eq!(ranked(&counts, 10), expected);
        assert_eq!(counts.total(), 9);
        assert_eq!(ranked(&ByType::default(), 10), []);
    }

    #[test]
    fn types_beyond_the_cap_are_summed_and_come_last() {
        let mut counts = ByType::default();
        let rows = [("w", 1), ("x", 4), ("y", 4), ("z", 2), (OTHER_TYPE, 100)];
        counts.add(&bucket(&rows));
        let expected = [
            ("x".to_owned(), 4),
            ("y".to_owned(), 4),
            (OTHER_TYPE.to_owned(), 103),
        ];
        assert_eq!(ranked(&counts, 2), expected);
        assert_eq!(ranked(&counts, 4).last().unwrap().1, 100);
        let sum: i64 = ranked(&counts, 1).iter().map(|(_, count)| count).sum();
        assert_eq!(sum, counts.total());
    }
}
