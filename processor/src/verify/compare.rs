//! Whether the counters say what the receipts say: the decision, without a server.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use evp_shared::counters::{OTHER_TYPE, Step, field, split_field};
use evp_shared::stream::{Bucket, FoundCounts};

use crate::store::sums::Owed;

/// Seconds after its end from which a bucket counts as closed: what its frames added is in, unless
/// they are still in the backlog and then have no receipt either.
pub const CLOSED_AFTER: u64 = 120;

/// Seconds at the old end of a bucket's retention that are left out: the clocks of ingest, Redis
/// and this machine differ.
const EXPIRY_MARGIN: u64 = 300;

/// Which types of each tenant are counted by name.
pub type TypeTable = HashMap<String, Named>;

/// Types of a tenant that are counted by name.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Those that are.
    pub types: HashSet<String>,
    /// How many may be.
    pub most: u32,
}

/// What a bucket holds when everything in `owed` was counted: a type is counted by name when it is
/// in `table`, or finds room there, the first in the order of their names.
pub fn fold(owed: &Owed, table: &TypeTable) -> Bucket {
    let mut bucket = Bucket::new();
    let mut rooms = HashMap::new();
    let mut owed: Vec<_> = owed.iter().collect();
    owed.sort_unstable();
    for ((tenant, event_type), events) in owed {
        let is_named = table.get(tenant).is_none_or(|named| {
            let room = (named.most as usize).saturating_sub(named.types.len());
            let room = rooms.entry(tenant).or_insert(room);
            let is_new = !named.types.contains(event_type);
            let has_room = *room > 0;
            *room -= usize::from(is_new && has_room);
            !is_new || has_room
        });
        let name = if is_named { event_type } else { OTHER_TYPE };
        *bucket.entry(field(tenant, name)).or_default() += events;
    }
    bucket
}

/// One count that is not what the receipts say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Its field: whose events, and their type.
    pub field: String,
    /// What the counter says.
    pub counted: i64,
    /// What the receipts say.
    pub owed: i64,
}

/// A bucket that is not what the receipts say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingBucket {
    /// Its width; `None` for the counts over all time.
    pub step: Option<Step>,
    /// Number of the bucket; 0 for the counts over all time.
    pub number: u64,
    /// Its key holds another type or a value that is no number.
    pub damaged: bool,
    /// The counts that differ, by field.
    pub counts: Vec<Differing>,
}

impl DifferingBucket {
    /// Whether receipts are not counted in it.
    pub fn is_missing_counts(&self) -> bool {
        self.counts.iter().any(|one| one.counted < one.owed)
    }

    /// Whether as much is counted of each tenant as receipts say, some of it as other types: what was
    /// counted before its type had a name.
    pub fn is_named_otherwise(&self) -> bool {
        let mut tenants: HashMap<&str, (i64, bool)> = HashMap::new();
        for one in &self.counts {
            let Some((tenant, event_type)) = split_field(&one.field) else {
                return false;
            };
            let (missing, has_other) = tenants.entry(tenant).or_default();
            *missing += one.owed - one.counted;
            *has_other |= event_type == OTHER_TYPE;
        }
        let mut tenants = tenants.values();
        !self.damaged && tenants.all(|(missing, has_other)| *missing == 0 && *has_other)
    }

    /// Whether more is counted in it than receipts say.
    pub fn has_surplus(&self) -> bool {
        self.counts.iter().any(|one| one.counted > one.owed)
    }
}

/// Compares a bucket with what it should hold; `None` when they are equal.
pub fn compare(
    step: Option<Step>,
    number: u64,
    found: &FoundCounts,
    owed: &Bucket,
) -> Option<DifferingBucket> {
    let fields: BTreeSet<&String> = found.counts.keys().chain(owed.keys()).collect();
    let counts: Vec<Differing> = fields
        .into_iter()
        .filter_map(|field| {
            let counted = found.counts.get(field).copied().unwrap_or(0);
            let owed = owed.get(field).copied().unwrap_or(0);
            (counted != owed).then(|| Differing {
                field: field.clone(),
                counted,
                owed,
            })
        })
        .collect();
    (found.damaged || !counts.is_empty()).then_some(DifferingBucket {
        step,
        number,
        damaged: found.damaged,
        counts,
    })
}

/// A span of Unix seconds to compare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// First second; the oldest that is kept without.
    pub from: Option<u64>,
    /// First second after it; the newest that is closed without.
    pub to: Option<u64>,
}

impl Span {
    /// Whether it leaves nothing out.
    pub fn is_everything(self) -> bool {
        self == Self::default()
    }

    /// The buckets of `step` that are kept, closed at Unix second `now` and wholly in the span.
    pub fn buckets(self, step: Step, now: u64) -> Range<u64> {
        let width = step.seconds();
        let kept = now.saturating_sub(step.kept().as_secs()) + EXPIRY_MARGIN;
        let start = self.from.map_or(kept, |from| from.max(kept));
        let closed = now.saturating_sub(CLOSED_AFTER);
        let end = self.to.map_or(closed, |to| to.min(closed)) / width;
        start.div_ceil(width).min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(rows: &[(&str, &str, i64)]) -> Owed {
        rows.iter()
            .map(|(tenant, kind, count)| (((*tenant).to_owned(), (*kind).to_owned()), *count))
            .collect()
    }

    fn found(rows: &[(&str, i64)]) -> FoundCounts {
        let counts = rows.iter().map(|(kind, count)| (field("t", kind), *count));
        FoundCounts {
            counts: counts.collect(),
            damaged: false,
        }
    }

    #[test]
    fn types_beyond_the_table_count_as_other() {
        let full = HashSet::from(["one".to_owned(), "known".to_owned()]);
        let table = [("full", full.clone(), 2), ("roomy", full, 3)];
        let table = table.map(|(tenant, types, most)| (tenant.to_owned(), Named { types, most }));
        let owed = owed(&[
            ("full", "known", 1),
            ("full", "new", 2),
            ("full", "newer", 3),
            ("roomy", "new", 4),
            ("roomy", "newer", 6),
            ("unheard", "new", 5),
        ]);
        let folded = fold(&owed, &table.into());
        let expected = [
            (field("full", "known"), 1),
            (field("full", OTHER_TYPE), 5),
            (field("roomy", "new"), 4),
            (field("roomy", OTHER_TYPE), 6),
            (field("unheard", "new"), 5),
        ];
        assert_eq!(folded, expected.into_iter().collect());
    }

    #[test]
    fn a_surplus_of_one_type_does_not_hide_what_another_misses() {
        let truth = found(&[("a", 3), ("b", 2)]).counts;
        let differing = compare(None, 0, &found(&[("a", 1), ("b", 4)]), &truth).unwrap();
        assert!(differing.is_missing_counts() && differing.has_surplus());
        let counts = differing.counts.iter();
        let numbers: Vec<_> = counts
            .map(|one| (one.field.clone(), one.counted, one.owed))
            .collect();
        let expected = [(field("t", "a"), 1, 3), (field("t", "b"), 4, 2)];
        assert_eq!(numbers, expected);
        let equal = found(&[("a", 3), ("b", 2)]);
        assert_eq!(compare(None, 0, &equal, &truth), None);
    }

    #[test]
    fn what_was_counted_before_its_type_had_a_name_is_not_missing() {
        let judge = |found: &[(&str, i64)], owed: &[(&str, i64)]| {
            let owed = self::found(owed).counts;
            let differing = compare(None, 0, &self::found(found), &owed).unwrap();
            differing.is_named_otherwise()
        };
        let owed = [("a", 3), ("b", 2)];
        assert!(judge(&[("a", 3), (OTHER_TYPE, 2)], &owed));
        assert!(!judge(&[("a", 3), (OTHER_TYPE, 1)], &owed));
        assert!(!judge(&[("a", 1), ("b", 4)], &owed));
    }

    #[test]
    fn a_damaged_bucket_differs_also_when_nothing_is_owed() {
        let broken = FoundCounts {
            damaged: true,
            ..FoundCounts::default()
        };
        let differing = compare(None, 0, &broken, &Bucket::new());
        assert!(differing.unwrap().damaged);
    }

    #[test]
    fn only_kept_and_closed_buckets_inside_the_span_are_compared() {
        let now = 1_700_000_000;
        let everything = Span::default();
        assert_eq!(
            everything.buckets(Step::Second, now),
            now - 7_200 + 300..now - 120
        );
        // 1_700_000_000 is 13 minutes and 20 seconds past an hour.
        assert_eq!(everything.buckets(Step::Hour, now).end, now / 3_600);
        let hour = now / 3_600 * 3_600;
        let part = Span {
            from: Some(hour - 90),
            to: Some(hour + 30),
        };
        assert_eq!(part.buckets(Step::Minute, now), hour / 60 - 1..hour / 60);
        assert!(part.buckets(Step::Hour, now).is_empty());
    }
}
