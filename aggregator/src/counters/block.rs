//! Counts of a whole block of buckets, as they are read and kept. Pure.

use std::collections::HashMap;
use std::ops::Range;

use evp_shared::counters::Step;
use evp_shared::stream::TypeCounts;

/// Buckets of a block.
pub const BUCKETS: u64 = 60;

/// What a row costs besides its name and counts: its place in the table.
const ROW_BYTES: usize = 64;

/// Which block of a tenant: all that decides what is read from Redis, so that clients choose among few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId {
    /// Width of its buckets.
    pub step: Step,
    number: u64,
}

/// The counts of a block by type, summed over partitions.
#[derive(Debug, Clone)]
pub struct Block {
    /// The buckets, by number.
    pub buckets: Range<u64>,
    /// By type, a count for each bucket.
    pub rows: HashMap<Box<str>, Box<[i64]>>,
}

impl BlockId {
    /// Those that `buckets` lie in.
    pub fn all_of(step: Step, buckets: &Range<u64>) -> impl Iterator<Item = Self> + use<> {
        let numbers = buckets.start / BUCKETS..buckets.end.div_ceil(BUCKETS);
        numbers.map(move |number| Self { step, number })
    }

    /// Its buckets, by number.
    pub const fn buckets(self) -> Range<u64> {
        self.number * BUCKETS..(self.number + 1) * BUCKETS
    }
}

impl Block {
    /// Nothing yet.
    pub fn new(id: BlockId) -> Self {
        Self {
            buckets: id.buckets(),
            rows: HashMap::new(),
        }
    }

    /// Adds what one partition has, in the order of the buckets.
    pub fn with(mut self, found: Vec<TypeCounts>) -> Self {
        let zeros = usize::try_from(BUCKETS).unwrap_or(0);
        for (at, bucket) in found.into_iter().enumerate() {
            for (event_type, count) in bucket {
                let row = self.rows.entry(event_type);
                let row = row.or_insert_with(|| vec![0; zeros].into());
                if let Some(sum) = row.get_mut(at) {
                    *sum += count;
                }
            }
        }
        self
    }

    /// Bytes it takes.
    pub fn weight(&self) -> usize {
        let rows = self.rows.iter();
        let rows = rows.map(|(name, counts)| ROW_BYTES + name.len() + size_of_val(&**counts));
        size_of::<Self>() + rows.sum::<usize>()
    }
}
