//! What the reader and the claimer hand to the worker, and how much of it is asked for.

use evp_shared::frame::RawFrame;
use evp_shared::stream::{Entry, EntryAck, EntryId, Life};

use crate::config::BulkLimits;

/// One entry as it was delivered to this processor.
#[derive(Debug)]
pub struct Delivery {
    /// The entry.
    pub entry: Entry,
    /// The life that was known before the entry was read: what its commit must carry.
    pub life: Life,
    /// Whether it may have been worked on before, so that a receipt may exist.
    pub redelivered: bool,
}

/// What acknowledges a delivered entry.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Which partition's stream it is on.
    pub partition: u16,
    /// The life that was known before it was read.
    pub life: Life,
    /// What is acknowledged.
    pub ack: EntryAck,
}

impl Pending {
    /// What acknowledges `delivery`.
    pub fn of(delivery: &Delivery) -> Self {
        let entry = &delivery.entry;
        let claimed = entry.frame.as_ref().map(RawFrame::claimed);
        let (events, bytes) = claimed.unwrap_or_default();
        Self {
            partition: entry.partition,
            life: delivery.life,
            ack: EntryAck {
                id: entry.id,
                events,
                bytes,
                stored_bytes: entry.stored_bytes(),
            },
        }
    }
}

impl Pending {
    /// What tells it from all others.
    pub fn key(&self) -> (u16, EntryId) {
        (self.partition, self.ack.id)
    }
}

/// Whether `entry` is a frame of another identity than `fingerprint`'s.
pub fn is_foreign(entry: &Entry, fingerprint: u32) -> bool {
    let header = entry.frame.as_ref().map(RawFrame::header);
    header.is_some_and(|header| header.is_ok_and(|header| header.fingerprint != fingerprint))
}

/// What a delivery weighs: what it claims, but an entry and its bytes at least, for one that does
/// not decode claims nothing and takes its room all the same.
pub fn weight(delivery: &Delivery) -> (usize, usize) {
    let claimed = delivery.entry.frame.as_ref().map(RawFrame::claimed);
    let (events, bytes) = claimed.unwrap_or_default();
    let stored = delivery.entry.stored_bytes();
    (events.max(1) as usize, bytes.max(stored) as usize)
}

/// Chooses how many entries of each partition to ask for, so that one read fills about one bulk
/// however large the frames are and however many partitions answer.
#[derive(Debug, Clone, Copy)]
pub struct ReadCount {
    entries: u64,
    bounds: (u64, u64),
    partitions: u64,
}

impl ReadCount {
    /// Starts with `lowest` entries of all `partitions` together: nothing is known of the frames'
    /// size yet. `highest` bounds those of one partition.
    pub fn new(lowest: u64, highest: u64, partitions: u16) -> Self {
        let partitions = u64::from(partitions).max(1);
        let lowest = (lowest / partitions).max(1);
        Self {
            entries: lowest,
            bounds: (lowest, highest),
            partitions,
        }
    }

    /// Entries of each partition to ask for.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Forgets the frames' size: what waited since the last read may be larger.
    pub fn forget(&mut self) {
        self.entries = self.bounds.0;
    }

    /// Learns from a read.
    pub fn learn(&mut self, read: &[Delivery], limits: BulkLimits) {
        if read.is_empty() {
            return;
        }
        let (events, bytes) = read
            .iter()
            .map(weight)
            .fold((0, 0), |sum, (events, bytes)| {
                (sum.0 + events, sum.1 + bytes)
            });
        let by_events = limits.events * read.len() / events.max(1);
        let by_bytes = limits.bytes * read.len() / bytes.max(1);
        let fill = u64::try_from(by_events.min(by_bytes)).unwrap_or(u64::MAX);
        self.entries = (fill / self.partitions).clamp(self.bounds.0, self.bounds.1);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use evp_shared::stream::EntryId;

    use super::*;
    use crate::config::limits::tests::LIMITS;

    pub(crate) fn deliveries(sizes: &[(u32, u32)]) -> Vec<Delivery> {
        let delivery = |(events, bytes): &(u32, u32)| Delivery {
            entry: Entry {
                partition: 0,
                id: EntryId::ZERO,
                frame: Some(RawFrame {
                    events: Some(Bytes::from(events.to_string())),
                    bytes: Some(Bytes::from(bytes.to_string())),
                    ..RawFrame::default()
                }),
            },
            life: Life::UNKNOWN,
            redelivered: false,
        };
        sizes.iter().map(delivery).collect()
    }

    #[test]
    fn the_read_count_follows_the_size_of_frames() {
        let mut count = ReadCount::new(2, 100, 1);
        assert_eq!(count.entries(), 2);
        count.learn(&deliveries(&[(1, 10), (1, 10)]), LIMITS);
        assert_eq!(count.entries(), 10);
        count.learn(&deliveries(&[(1, 500)]), LIMITS);
        assert_eq!(count.entries(), 2);
    }

    #[test]
    fn one_read_fills_one_bulk_however_many_partitions_answer() {
        let mut count = ReadCount::new(16, 100, 4);
        assert_eq!(count.entries(), 4);
        let large = BulkLimits {
            events: 100,
            ..LIMITS
        };
        count.learn(&deliveries(&[(1, 10), (1, 10)]), large);
        assert_eq!(count.entries(), 25);
        count.forget();
        assert_eq!(count.entries(), 4);
        assert_eq!(ReadCount::new(16, 100, 64).entries(), 1);
    }
}
