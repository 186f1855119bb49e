//! Sketches: figures that need not be exact, in memory that does not grow with what they count.
//!
//! Unique users and sessions are counted by Redis' own HyperLogLog; [`IdFilter`] knows beforehand
//! which ids would change nothing there, so that few are sent. Top users are a sketch of frequent
//! items ([`TopItems`]), of the DataSketches library.

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};

/// Relative standard error of unique counts. Source: 1.04 / sqrt(16,384), Redis' HyperLogLog.
pub const UNIQUE_STANDARD_ERROR: f64 = 0.0081;

/// Items a [`TopItems`] holds at most are three quarters of it; its error is at most 3.5 / this of
/// all events (Source: DataSketches, 0.7 %), and 0 while it holds them all.
const TOP_MAP_SIZE: usize = 512;

const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// The hash of an id, made once for all filters that are asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdHash(u64);

impl IdHash {
    /// Hashes `id`.
    pub fn of(id: &[u8]) -> Self {
        Self(murmur64a(id))
    }
}

/// Knows which ids would change nothing in a HyperLogLog of Redis that has seen all it let pass.
///
/// It keeps the registers as Redis does, under the same hash. Were the hash another one in some
/// server, ids would be missing there: a test compares with the real one. A filter that forgets
/// only lets more pass.
#[derive(Clone)]
pub struct IdFilter {
    registers: Box<[u8; REGISTERS]>,
}

impl std::fmt::Debug for IdFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdFilter").finish_non_exhaustive()
    }
}

impl Default for IdFilter {
    fn default() -> Self {
        Self {
            registers: Box::new([0; REGISTERS]),
        }
    }
}

impl IdFilter {
    /// Whether the id of this hash changes something, which it then has.
    pub fn lets_pass(&mut self, IdHash(hash): IdHash) -> bool {
        let rank = (hash >> REGISTER_BITS) | 1 << (64 - REGISTER_BITS);
        let rank = u8::try_from(rank.trailing_zeros() + 1).unwrap_or(u8::MAX);
        let at = usize::try_from(hash & (REGISTERS as u64 - 1)).unwrap_or(0);
        match self.registers.get_mut(at) {
            Some(register) if *register < rank => {
                *register = rank;
                true
            }
            _ => false,
        }
    }
}

/// MurmurHash64A under the seed of Redis' HyperLogLog.
///
/// # Source
/// `MurmurHash64A` and `hllPatLen` in Redis' hyperloglog.c, the same from 2.8.9 to 8.
fn murmur64a(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (blocks, tail) = bytes.as_chunks::<8>();
    for block in blocks {
        let mut part = u64::from_le_bytes(*block).wrapping_mul(M);
        part ^= part >> R;
        hash ^= part.wrapping_mul(M);
        hash = hash.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        hash ^= u64::from_le_bytes(last);
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> R)
}

/// The items that were seen most, with bounds of how often.
#[derive(Debug, Clone)]
pub struct TopItems(FrequentItemsSketch<String>);

/// One of them. It was seen at most `count` times, and at least `count - error` times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopItem {
    /// Which.
    pub item: String,
    /// How often at most.
    pub count: u64,
    /// How much of that is uncertain.
    pub error: u64,
}

impl Default for TopItems {
    fn default() -> Self {
        Self(new_sketch())
    }
}

#[expect(
    clippy::expect_used,
    reason = "the size is a constant; a test makes one"
)]
fn new_sketch() -> FrequentItemsSketch<String> {
    FrequentItemsSketch::new(TOP_MAP_SIZE).expect("invariant: the map size is a power of two")
}

impl TopItems {
    /// Notes that `item` was seen.
    pub fn note(&mut self, item: &str) {
        self.0.update_ref(item);
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what `other` noted.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// The `most` items seen most.
    pub fn top(&self, most: usize) -> Vec<TopItem> {
        let all = ErrorType::NoFalseNegatives;
        let rows = self.0.frequent_items_with_threshold(all, 0).into_iter();
        let items = rows.map(|row| TopItem {
            item: row.item().clone(),
            count: row.upper_bound(),
            error: row.upper_bound() - row.lower_bound(),
        });
        let mut items: Vec<TopItem> = items.collect();
        items.sort_unstable_by(|one, next| {
            let by_count = next.count.cmp(&one.count);
            by_count.then_with(|| one.item.cmp(&next.item))
        });
        items.truncate(most);
        items
    }

    /// As it is without `item`; `None` when that is not in it. The bounds of the others stay.
    pub fn without(&self, item: &str) -> Option<Self> {
        if self.0.lower_bound(item) == 0 {
            return None;
        }
        // The library takes nothing out, so it is done in the bytes.
        let bytes = self.encode();
        Self::decode(&cut(&bytes, item.as_bytes())?)
    }

    /// As bytes, in the format of DataSketches.
    pub fn encode(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// Reads the bytes of [`Self::encode`]; `None` when they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        FrequentItemsSketch::deserialize(bytes).ok().map(Self)
    }
}

/// The bytes of a sketch without `item`.
///
/// # Shape
/// A head of 32 bytes, at 8 in it the number of items; a weight of 8 bytes for each; the items, each
/// with its length in 4 bytes before it. All little-endian. Source: DataSketches, `FrequentItems`.
fn cut(bytes: &[u8], item: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 32;
    const WEIGHT: usize = 8;
    let number = |at: usize| {
        let bytes = bytes.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let items = number(8)?;
    let mut at = HEAD + items * WEIGHT;
    for place in 0..items {
        let end = at + 4 + number(at)?;
        if bytes.get(at + 4..end)? == item {
            let weight = HEAD + place * WEIGHT;
            let left = u32::try_from(items - 1).ok()?.to_le_bytes();
            let parts = [
                bytes.get(..8)?,
                &left,
                bytes.get(12..weight)?,
                bytes.get(weight + WEIGHT..at)?,
                bytes.get(end..)?,
            ];
            return Some(parts.concat());
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_hash_is_the_one_of_redis() {
        // Source: an independent implementation, under the seed of Redis; that Redis agrees is
        // tested with the processor.
        let table: [(&[u8], u64); 4] = [
            (b"", 0xd8df_ea65_85bc_9732),
            (b"a", 0x53d2_470a_9b43_b1a7),
            (b"12345678", 0x95eb_b863_8913_2953),
            (
                b"The quick brown fox jumps over the lazy dog",
                0x5160_6c5c_5b56_1ace,
            ),
        ];
        for (bytes, hash) in table {
            assert_eq!(murmur64a(bytes), hash, "{bytes:?}");
        }
    }

    #[test]
    fn an_id_passes_once() {
        let mut filter = IdFilter::default();
        assert!(filter.lets_pass(IdHash::of(b"alice")));
        assert!(!filter.lets_pass(IdHash::of(b"alice")));
        let passed = (0..1_000_000_u32)
            .filter(|id| filter.lets_pass(IdHash::of(&id.to_le_bytes())))
            .count();
        assert!(passed < 150_000, "{passed} of a million");
    }

    /// Events of 20,000 users, of whom few are busy; each `shift` other ones.
    fn users(shift: u64) -> impl Iterator<Item = u64> {
        (0..100_000_u64).map(move |n| match n % 10 {
            0 => 1,
            1 if n % 20 == 1 => 2,
            2 if n % 50 == 2 => 3,
            _ => 100 + shift + n.wrapping_mul(0x9e37_79b9) % 20_000,
        })
    }

    #[test]
    fn true_counts_lie_within_the_bounds_after_merging_too() {
        let (mut merged, mut exact) = (TopItems::default(), HashMap::new());
        for part in 0..4 {
            let mut sketch = TopItems::default();
            for user in users(part * 5_000) {
                sketch.note(&user.to_string());
                *exact.entry(user.to_string()).or_insert(0_u64) += 1;
            }
            merged.merge(&TopItems::decode(&sketch.encode()).unwrap());
        }
        let top = merged.top(20);
        let names: Vec<&str> = top.iter().take(3).map(|item| item.item.as_str()).collect();
        assert_eq!(names, ["1", "2", "3"]);
        for item in &top {
            let count = exact[&item.item];
            assert!(count <= item.count, "{item:?}: {count}");
            assert!(count >= item.count - item.error, "{item:?}: {count}");
            assert!(item.error <= 400_000 * 7 / 1_000, "{item:?}");
        }
    }

    #[test]
    fn a_million_items_take_no_more_room_than_a_few_hundred() {
        let mut sketch = TopItems::default();
        for n in 0..1_000_000_u32 {
            sketch.note(&format!("{n:0>128}"));
        }
        assert!(sketch.0.num_active_items() <= TOP_MAP_SIZE * 3 / 4);
        // Each item with its length and count, and a head.
        assert!(sketch.encode().len() <= TOP_MAP_SIZE * 3 / 4 * (128 + 4 + 8) + 64);
    }

    #[test]
    fn an_item_is_taken_out_and_the_others_stay_as_they_are() {
        let mut sketch = TopItems::default();
        for user in users(0) {
            sketch.note(&user.to_string());
        }
        let before = sketch.top(usize::MAX);
        let one = before[before.len() / 2].item.clone();
        let without = sketch.without(&one).unwrap();
        let expected: Vec<_> = before.into_iter().filter(|kept| kept.item != one).collect();
        assert_eq!(without.top(usize::MAX), expected);
        assert!(without.without(&one).is_none());
        assert!(sketch.without("nobody").is_none());
        assert!(TopItems::default().without("nobody").is_none());

        let mut alone = TopItems::default();
        alone.note("a");
        assert_eq!(alone.without("a").unwrap().top(1), []);
    }

    #[test]
    fn few_items_are_counted_exactly() {
        let mut sketch = TopItems::default();
        assert!(sketch.is_empty());
        for n in 0..600_u32 {
            sketch.note(if n % 3 == 0 { "a" } else { "b" });
        }
        let item = |item: &str, count| TopItem {
            item: item.to_owned(),
            count,
            error: 0,
        };
        assert_eq!(sketch.top(5), [item("b", 400), item("a", 200)]);
        assert_eq!(sketch.top(1), [item("b", 400)]);
        assert!(TopItems::decode(b"nothing").is_none());
        assert!(TopItems::decode(b"").is_none());
    }
}
