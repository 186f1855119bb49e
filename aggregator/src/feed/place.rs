//! How far a reader of the feed has got, and how it is told so. Pure.

use std::ops::Bound;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evp_shared::stream::{EntryId, Life};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 2;
/// Separates this use of BLAKE3 from every other.
const CONTEXT: &str = "evp-project/evp feed place v1";

/// How far a reader has got: on each partition the last entry it has seen.
///
/// # Shape
/// As text, the `id` of events: base64url of version (1 byte, 2) and, as postcard writes them, a
/// digest of the lives, for each partition ms and sequence number, and the partition that was seen
/// in part with how many of that entry's events were seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Digest of the lives of all partitions: ids of another life mean nothing.
    pub lives: u64,
    entries: Box<[EntryId]>,
    part: Option<(u16, u32)>,
}

impl Place {
    /// Before everything that comes after `entries`, in these lives.
    pub fn new(lives: &[Life], entries: Vec<EntryId>) -> Self {
        Self {
            lives: digest(lives),
            entries: entries.into(),
            part: None,
        }
    }

    /// The last entry seen of `partition`.
    pub fn entry(&self, partition: u16) -> EntryId {
        let entry = self.entries.get(usize::from(partition));
        entry.copied().unwrap_or(EntryId::ZERO)
    }

    /// Where reading `partition` goes on.
    pub fn from(&self, partition: u16) -> Bound<EntryId> {
        match self.part {
            Some((of, _)) if of == partition => Bound::Included(self.entry(partition)),
            _ => Bound::Excluded(self.entry(partition)),
        }
    }

    /// The partition whose entry was seen in part. The rest of it is to be read first: moving on
    /// on any partition says that it was seen whole.
    pub fn part(&self) -> Option<u16> {
        self.part.map(|(partition, _)| partition)
    }

    /// How many events of an entry were seen; `None`: all.
    pub fn seen_of(&self, partition: u16, entry: EntryId) -> Option<u32> {
        match entry.cmp(&self.entry(partition)) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Greater => Some(0),
            std::cmp::Ordering::Equal => {
                let (of, seen) = self.part?;
                (of == partition).then_some(seen)
            }
        }
    }

    /// Notes that `entry` was seen whole.
    pub fn pass(&mut self, partition: u16, entry: EntryId) {
        if let Some(slot) = self.entries.get_mut(usize::from(partition)) {
            *slot = entry;
        }
        self.part = None;
    }

    /// Notes that the first `events` of `entry` were seen.
    pub fn pass_part(&mut self, partition: u16, entry: EntryId, events: u32) {
        self.pass(partition, entry);
        self.part = Some((partition, events));
    }

    /// Notes that everything up to `other` is over, whether it was seen or not.
    pub fn advance(&mut self, other: &Self) {
        for (own, other) in self.entries.iter_mut().zip(&other.entries) {
            *own = (*own).max(*other);
        }
        self.part = None;
    }

    /// Whether no partition is behind that of `other`.
    pub fn is_beyond(&self, other: &Self) -> bool {
        let mut both = self.entries.iter().zip(&other.entries);
        both.all(|(own, other)| own >= other)
    }

    /// Highest ms among the entries; what they are by the server's clock.
    pub fn ms(&self) -> u64 {
        self.entries.iter().map(|entry| entry.ms).max().unwrap_or(0)
    }

    /// As text.
    pub fn encode(&self) -> String {
        // Numbers always serialise.
        URL_SAFE_NO_PAD.encode(postcard::to_extend(self, vec![VERSION]).unwrap_or_default())
    }

    /// Reads a text of [`Self::encode`]; `None` unless it is of as many partitions.
    pub fn decode(text: &str, partitions: u16) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (place, rest) =
            postcard::take_from_bytes::<Self>(bytes.strip_prefix(&[VERSION])?).ok()?;
        let is_of_all = place.entries.len() == usize::from(partitions);
        let is_of_one = place.part().is_none_or(|of| of < partitions);
        (rest.is_empty() && is_of_all && is_of_one).then_some(place)
    }
}

fn digest(lives: &[Life]) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for life in lives {
        hasher.update(&life.0.to_be_bytes());
    }
    let mut digest = [0; 8];
    hasher.finalize_xof().fill(&mut digest);
    u64::from_be_bytes(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId { ms, seq }
    }

    fn any_place() -> impl Strategy<Value = Place> {
        let entries = proptest::collection::vec(any::<(u64, u64)>(), 3);
        let part = proptest::option::of((0..3_u16, any::<u32>()));
        (any::<u64>(), entries, part).prop_map(|(lives, entries, part)| Place {
            lives,
            entries: entries.into_iter().map(|(ms, seq)| id(ms, seq)).collect(),
            part,
        })
    }

    proptest! {
        #[test]
        fn a_place_reads_back(place in any_place()) {
            prop_assert_eq!(Place::decode(&place.encode(), 3), Some(place));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,60}") {
            drop(Place::decode(&text, 2));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(Place::decode(&URL_SAFE_NO_PAD.encode(bytes), 2));
        }
    }

    #[test]
    fn a_place_of_other_partitions_is_none() {
        let place = Place::new(&[Life(1)], vec![id(5, 0)]);
        assert_eq!(Place::decode(&place.encode(), 2), None);
        assert!(place.encode().len() < 40, "it is sent with each event");
    }

    #[test]
    fn what_was_seen_is_not_seen_again() {
        let mut place = Place::new(&[Life(1), Life(2)], vec![id(5, 0), id(7, 0)]);
        assert_eq!(place.seen_of(0, id(5, 0)), None);
        assert_eq!(place.seen_of(0, id(4, 9)), None);
        assert_eq!(place.seen_of(0, id(5, 1)), Some(0));
        place.pass_part(1, id(8, 0), 3);
        assert_eq!(place.seen_of(1, id(8, 0)), Some(3));
        assert_eq!(place.from(1), Bound::Included(id(8, 0)));
        assert_eq!(place.from(0), Bound::Excluded(id(5, 0)));
        place.pass(0, id(9, 0));
        assert_eq!(place.seen_of(1, id(8, 0)), None);
    }
}
