//! Events per tenant and type of a frame that is being drafted.
//!
//! Hot path: no allocation but for a type's first event.

use crate::counters::CountRow;

/// Rows that are scanned. Source: `cargo bench --bench contract count`; beyond it a scan costs more
/// than a look into the index, and what it costs grows with the rows.
const SCANNED_MAX: usize = 16;

/// The rows, in the order of their first events.
#[derive(Debug, Default)]
pub(super) struct Counts {
    rows: Vec<CountRow>,
    /// Places of all rows, ordered by what they are of; empty while rows are scanned.
    index: Vec<u32>,
}

impl Counts {
    /// Adds `count` events.
    pub(super) fn add(&mut self, tenant: &str, event_type: &str, count: u32) {
        let wanted = (event_type, tenant);
        let (known, place) = if self.index.is_empty() {
            (self.rows.iter_mut().find(|row| key(row) == wanted), None)
        } else {
            let of = |at: &u32| self.rows.get(*at as usize).map(key);
            let found = self.index.binary_search_by(|at| of(at).cmp(&Some(wanted)));
            let known = found.ok().and_then(|place| self.index.get(place));
            let known = known.and_then(|at| self.rows.get_mut(*at as usize));
            (known, found.err())
        };
        if let Some(row) = known {
            row.count += count;
            return;
        }
        // A frame holds fewer rows than events, and those fit u32.
        let at = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.rows.push(CountRow {
            tenant: tenant.into(),
            event_type: event_type.into(),
            count,
        });
        if let Some(place) = place {
            self.index.insert(place, at);
        } else if self.rows.len() > SCANNED_MAX {
            self.build();
        }
    }

    /// The rows.
    pub(super) fn into_rows(self) -> Vec<CountRow> {
        self.rows
    }

    fn build(&mut self) {
        let places = 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.index = places.collect();
        let rows = &self.rows;
        let of = |at: &u32| rows.get(*at as usize).map(key);
        self.index
            .sort_unstable_by(|one, other| of(one).cmp(&of(other)));
    }
}

fn key(row: &CountRow) -> (&str, &str) {
    (&row.event_type, &row.tenant)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_counted_does_not_depend_on_how_many_there_are() {
        for all in [1, SCANNED_MAX, SCANNED_MAX + 1, 500] {
            let (mut counts, mut expected) = (Counts::default(), BTreeMap::new());
            // Three rounds in another order each; a type of two tenants is two rows.
            for step in [1, 7, 13] {
                for number in (0..all).map(|number| number * step % all) {
                    let (tenant, kind) = (format!("t{}", number % 3), format!("k{}", number / 3));
                    counts.add(&tenant, &kind, 2);
                    *expected.entry((tenant, kind)).or_insert(0) += 2;
                }
            }
            let rows = counts.into_rows();
            assert_eq!(rows.len(), expected.len(), "{all}");
            for row in rows {
                let of = (row.tenant.to_string(), row.event_type.to_string());
                assert_eq!(row.count, expected[&of], "{of:?} of {all}");
            }
        }
    }

    #[test]
    fn rows_keep_the_order_of_their_first_events() {
        let mut counts = Counts::default();
        for number in (0..100).rev() {
            counts.add("t", &format!("k{number:02}"), 1);
        }
        let rows = counts.into_rows();
        assert!(rows.is_sorted_by(|one, other| one.event_type > other.event_type));
    }
}
