//! Bulks: how many documents go into one insert command, and how many entries into one read.
//!
//! Hot path: moves deliveries, looks at no event.

use std::collections::VecDeque;

use evp_shared::frame::RawFrame;

use crate::entry::Delivery;

/// Bounds of one bulk. A frame larger than them is a bulk of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkLimits {
    /// Documents at most.
    pub events: usize,
    /// Bytes of documents at most.
    pub bytes: usize,
    /// Bulks that are filled only by what is there already; further ones in flight are full ones.
    pub eager: usize,
    /// Events that must be there for another eager bulk beside one in flight: each bulk costs
    /// MongoDB two commands and two journal flushes, whatever its size.
    pub eager_events: usize,
    /// Bulks in flight at most.
    pub in_flight: usize,
}

impl BulkLimits {
    /// Half as large, for when the last bulk had no answer; one event at least.
    pub fn halved(self) -> Self {
        Self {
            events: (self.events / 2).max(1),
            bytes: (self.bytes / 2).max(1),
            ..self
        }
    }

    /// Twice as large, but no larger than `whole`.
    pub fn doubled_up_to(self, whole: Self) -> Self {
        Self {
            events: (self.events * 2).min(whole.events),
            bytes: (self.bytes * 2).min(whole.bytes),
            ..self
        }
    }
}

/// Deliveries that wait to be joined to a bulk.
#[derive(Debug, Default)]
pub struct Queue {
    deliveries: VecDeque<Delivery>,
    events: usize,
    bytes: usize,
}

impl Queue {
    /// Adds deliveries.
    pub fn extend(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let (events, bytes) = weight(&delivery);
            self.events += events;
            self.bytes += bytes;
            self.deliveries.push_back(delivery);
        }
    }

    /// Whether a full bulk waits, so that nothing more needs to be read for now.
    pub fn is_full(&self, limits: BulkLimits) -> bool {
        self.events >= limits.events || self.bytes >= limits.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// The next bulk, when one is due: what is there when none is in flight, or, if it is worth a
    /// bulk, while fewer than `limits.eager` are; a full one while fewer than `limits.in_flight`
    /// are.
    pub fn next(&mut self, limits: BulkLimits, in_flight: usize) -> Option<Vec<Delivery>> {
        let due = in_flight == 0
            || (in_flight < limits.eager && self.events >= limits.eager_events)
            || (in_flight < limits.in_flight && self.is_full(limits));
        if !due || self.is_empty() {
            return None;
        }
        let mut bulk = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(next) = self.deliveries.front() {
            let (more_events, more_bytes) = weight(next);
            let fits = events + more_events <= limits.events && bytes + more_bytes <= limits.bytes;
            if !fits && !bulk.is_empty() {
                break;
            }
            events += more_events;
            bytes += more_bytes;
            bulk.extend(self.deliveries.pop_front());
        }
        self.events -= events;
        self.bytes -= bytes;
        Some(bulk)
    }
}

/// What a delivery weighs: what it claims, but an entry and its bytes at least, for one that does
/// not decode claims nothing and takes its room all the same.
fn weight(delivery: &Delivery) -> (usize, usize) {
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
mod tests {
    use bytes::Bytes;
    use evp_shared::stream::{Entry, EntryId, Life};

    use super::*;

    const LIMITS: BulkLimits = BulkLimits {
        events: 10,
        bytes: 1_000,
        eager: 2,
        eager_events: 3,
        in_flight: 4,
    };

    fn deliveries(sizes: &[(u32, u32)]) -> Vec<Delivery> {
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

    fn queue(sizes: &[(u32, u32)]) -> Queue {
        let mut queue = Queue::default();
        queue.extend(deliveries(sizes));
        queue
    }

    #[test]
    fn a_bulk_ends_before_it_would_be_too_large() {
        let mut by_events = queue(&[(4, 1), (6, 1), (1, 1)]);
        assert_eq!(by_events.next(LIMITS, 0).map(|bulk| bulk.len()), Some(2));
        assert_eq!(by_events.next(LIMITS, 0).map(|bulk| bulk.len()), Some(1));
        assert!(by_events.next(LIMITS, 0).is_none());
        let mut by_bytes = queue(&[(1, 600), (1, 600)]);
        assert_eq!(by_bytes.next(LIMITS, 0).map(|bulk| bulk.len()), Some(1));
    }

    #[test]
    fn a_frame_larger_than_a_bulk_is_one_of_its_own() {
        let mut queue = queue(&[(50, 5_000), (1, 1)]);
        assert_eq!(queue.next(LIMITS, 0).map(|bulk| bulk.len()), Some(1));
        assert_eq!(queue.next(LIMITS, 0).map(|bulk| bulk.len()), Some(1));
    }

    #[test]
    fn small_bulks_go_alone_and_beyond_the_eager_ones_only_full_ones_go() {
        let mut small = queue(&[(1, 1)]);
        assert!(small.next(LIMITS, 1).is_none());
        assert!(small.next(LIMITS, 0).is_some());
        let mut worth_a_bulk = queue(&[(3, 1)]);
        assert!(worth_a_bulk.next(LIMITS, 2).is_none());
        assert!(worth_a_bulk.next(LIMITS, 1).is_some());
        let mut full = queue(&[(10, 1)]);
        assert!(full.is_full(LIMITS));
        assert!(full.next(LIMITS, 4).is_none());
        assert!(full.next(LIMITS, 3).is_some());
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

    #[test]
    fn halving_and_doubling_stay_inside_their_bounds() {
        let half = LIMITS.halved();
        assert_eq!((half.events, half.bytes), (5, 500));
        assert_eq!(half.doubled_up_to(LIMITS), LIMITS);
        assert_eq!(LIMITS.doubled_up_to(LIMITS), LIMITS);
        let least = (0..20).fold(LIMITS, |limits, _| limits.halved());
        assert_eq!((least.events, least.bytes), (1, 1));
    }
}
