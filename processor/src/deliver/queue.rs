//! The queue: which deliveries go into one insert command.
//!
//! Hot path: moves deliveries, looks at no event.

use std::collections::VecDeque;

use crate::config::BulkLimits;
use crate::entry::{Delivery, weight};

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
    /// are. What `is_apart` says of is a bulk of its own.
    pub fn next(
        &mut self,
        limits: BulkLimits,
        in_flight: usize,
        is_apart: impl Fn(&Delivery) -> bool,
    ) -> Option<Vec<Delivery>> {
        let due = in_flight == 0
            || (in_flight < limits.eager && self.events >= limits.eager_events)
            || (in_flight < limits.in_flight && self.is_full(limits));
        if !due || self.is_empty() {
            return None;
        }
        let mut bulk = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        let mut ends = false;
        while let Some(next) = self.deliveries.front() {
            let (more_events, more_bytes) = weight(next);
            let fits = events + more_events <= limits.events && bytes + more_bytes <= limits.bytes;
            let own = is_apart(next);
            if !bulk.is_empty() && (!fits || own || ends) {
                break;
            }
            ends = own;
            events += more_events;
            bytes += more_bytes;
            bulk.extend(self.deliveries.pop_front());
        }
        self.events -= events;
        self.bytes -= bytes;
        Some(bulk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::tests::LIMITS;
    use crate::entry::tests::deliveries;

    fn none(_: &Delivery) -> bool {
        false
    }

    fn queue(sizes: &[(u32, u32)]) -> Queue {
        let mut queue = Queue::default();
        queue.extend(deliveries(sizes));
        queue
    }

    #[test]
    fn a_bulk_ends_before_it_would_be_too_large() {
        let mut by_events = queue(&[(4, 1), (6, 1), (1, 1)]);
        assert_eq!(
            by_events.next(LIMITS, 0, none).map(|bulk| bulk.len()),
            Some(2)
        );
        assert_eq!(
            by_events.next(LIMITS, 0, none).map(|bulk| bulk.len()),
            Some(1)
        );
        assert!(by_events.next(LIMITS, 0, none).is_none());
        let mut by_bytes = queue(&[(1, 600), (1, 600)]);
        assert_eq!(
            by_bytes.next(LIMITS, 0, none).map(|bulk| bulk.len()),
            Some(1)
        );
    }

    #[test]
    fn a_frame_larger_than_a_bulk_is_one_of_its_own() {
        let mut queue = queue(&[(50, 5_000), (1, 1)]);
        assert_eq!(queue.next(LIMITS, 0, none).map(|bulk| bulk.len()), Some(1));
        assert_eq!(queue.next(LIMITS, 0, none).map(|bulk| bulk.len()), Some(1));
    }

    #[test]
    fn what_is_apart_is_a_bulk_of_its_own() {
        let mut queue = queue(&[(1, 1), (2, 1), (1, 1), (1, 1)]);
        let two = |one: &Delivery| weight(one).0 == 2;
        let mut sizes = Vec::new();
        while let Some(bulk) = queue.next(LIMITS, 0, two) {
            sizes.push(bulk.len());
        }
        assert_eq!(sizes, [1, 1, 2]);
    }

    #[test]
    fn small_bulks_go_alone_and_beyond_the_eager_ones_only_full_ones_go() {
        let mut small = queue(&[(1, 1)]);
        assert!(small.next(LIMITS, 1, none).is_none());
        assert!(small.next(LIMITS, 0, none).is_some());
        let mut worth_a_bulk = queue(&[(3, 1)]);
        assert!(worth_a_bulk.next(LIMITS, 2, none).is_none());
        assert!(worth_a_bulk.next(LIMITS, 1, none).is_some());
        let mut full = queue(&[(10, 1)]);
        assert!(full.is_full(LIMITS));
        assert!(full.next(LIMITS, 4, none).is_none());
        assert!(full.next(LIMITS, 3, none).is_some());
    }
}
