//! Suspects: ids that may be stored already, told from the others before the insert.
//!
//! Hot path: one cache line per filter and id, nothing allocated; 16 ns an id on the machine of the
//! benchmarks.
//!
//! A duplicate among the documents of a command makes MongoDB repeat a group of them one by one, so
//! those that may be one go in a command of their own. A wrong suspicion is harmless.

use evp_shared::frame::FrameId;

use crate::written::Id;

/// Bits of a filter: 1 MiB.
const BITS_LOG2: u32 = 23;
/// Bits of a block, which is a cache line.
const BLOCK_LOG2: u32 = 9;
const BLOCK_WORDS: usize = 1 << (BLOCK_LOG2 - 6);
const BLOCKS_LOG2: u32 = BITS_LOG2 - BLOCK_LOG2;
/// Bits set for an id. With the block's number they take 59 of its 62 lowest bits, which are bits of
/// its hash however many are salt.
const BITS_PER_ID: u32 = 5;

/// Ids in a filter before the next one begins: so many blame one id in some 10,000 wrongly. Two
/// filters reach back five seconds at 50,000 events/s; ids that are older are suspected by their time.
const IDS_MAX: usize = 250_000;

#[derive(Debug)]
struct Filter(Box<[[u64; BLOCK_WORDS]]>);

impl Filter {
    fn new() -> Self {
        Self(vec![[0; BLOCK_WORDS]; 1 << BLOCKS_LOG2].into_boxed_slice())
    }

    /// Nearly always the first bit says no.
    fn has(&self, at: Place) -> bool {
        let block = &self.0[at.block];
        at.bits().all(|(word, bit)| block[word] & bit != 0)
    }

    fn add(&mut self, at: Place) {
        let block = &mut self.0[at.block];
        at.bits().for_each(|(word, bit)| block[word] |= bit);
    }
}

/// Where an id stands.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    /// What its bits in the block are cut from.
    rest: u64,
}

impl Place {
    fn of(id: &Id) -> Self {
        Self::at(last_bytes(id))
    }

    fn at(hash: u64) -> Self {
        Self {
            block: cut(hash, BLOCKS_LOG2),
            rest: hash >> BLOCKS_LOG2,
        }
    }

    /// The word of each bit, and the bit in it.
    fn bits(self) -> impl Iterator<Item = (usize, u64)> {
        (0..BITS_PER_ID).map(move |number| {
            let bit = cut(self.rest >> (number * BLOCK_LOG2), BLOCK_LOG2);
            (bit / 64, 1 << (bit % 64))
        })
    }
}

fn last_bytes(of: &[u8]) -> u64 {
    let bytes = of.last_chunk();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The lowest `bits` of `hash`.
fn cut(hash: u64, bits: u32) -> usize {
    usize::try_from(hash & ((1 << bits) - 1)).unwrap_or_default()
}

/// The ids that were seen lately, with some error.
#[derive(Debug)]
pub struct Seen {
    newer: Filter,
    older: Filter,
    /// Ids and frames in the newer one.
    ids: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            newer: Filter::new(),
            older: Filter::new(),
            ids: 0,
        }
    }
}

impl Seen {
    /// Notes `id`, and says whether it was noted before.
    pub fn note(&mut self, id: &Id) -> bool {
        self.note_at(Place::of(id))
    }

    /// The same of a frame, for all events whose ids were made by the server: they come again with it,
    /// or from a client that was told the id, mostly late by then.
    pub fn note_frame(&mut self, frame: FrameId) -> bool {
        // Producer and number; multiplied, they are as good as a hash.
        let hash = last_bytes(&frame.bytes()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.note_at(Place::at(hash ^ hash >> 32))
    }

    fn note_at(&mut self, at: Place) -> bool {
        if self.newer.has(at) {
            return true;
        }
        if self.ids >= IDS_MAX {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.0.fill([0; BLOCK_WORDS]);
            self.ids = 0;
        }
        self.ids += 1;
        self.newer.add(at);
        self.older.has(at)
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::ProducerId;

    use super::*;

    /// The `number`-th id of a test, its hash part as good as random.
    fn id(number: u64) -> Id {
        let hash = mixed_of(number);
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(hash >> 2 | 0b10 << 62).to_be_bytes());
        id
    }

    /// Source: SplitMix64.
    fn mixed_of(number: u64) -> u64 {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn an_id_is_remembered_while_as_many_again_come_and_forgotten_after_twice_as_many() {
        let mut seen = Seen::default();
        let all = IDS_MAX as u64;
        assert!(!seen.note(&id(0)));
        let _ = (1..all).filter(|number| seen.note(&id(*number))).count();
        assert!(seen.note(&id(0)));
        // The next filter begins, and the first one is still asked.
        let _ = (all..2 * all)
            .filter(|number| seen.note(&id(*number)))
            .count();
        assert!(seen.note(&id(1)));
        let _ = (2 * all..4 * all + 2_000)
            .filter(|number| seen.note(&id(*number)))
            .count();
        assert!(!seen.note(&id(2)));
    }

    #[test]
    fn a_frame_is_remembered_and_few_others_are_blamed() {
        let frame = |number| FrameId::new(1, ProducerId::new(0, 1), number);
        let mut seen = Seen::default();
        let noted = (0..100_000).filter(|number| seen.note_frame(frame(*number)));
        let blamed = noted.count();
        assert!(blamed < 20, "{blamed} of 100,000");
        assert!((0..100_000).all(|number| seen.note_frame(frame(number))));
    }

    #[test]
    fn few_are_blamed_wrongly() {
        let mut seen = Seen::default();
        let ids = 2 * IDS_MAX as u64;
        let blamed = (0..ids).filter(|number| seen.note(&id(*number))).count();
        assert!(blamed < 2 * IDS_MAX / 5_000, "{blamed} of {ids}");
    }

    #[test]
    fn filters_take_one_mebibyte_each_and_ids_have_bits_enough() {
        assert_eq!(size_of::<[u64; BLOCK_WORDS]>() << BLOCKS_LOG2, 1 << 20);
        const { assert!(BLOCKS_LOG2 + BITS_PER_ID * BLOCK_LOG2 <= 62) };
    }
}
