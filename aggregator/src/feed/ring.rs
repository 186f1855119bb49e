//! The newest part of the feed, shared by all who follow it. Pure.
//!
//! Whoever follows holds a number and no queue: one who stands still costs nothing here, and finds
//! out how much it missed when it goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use evp_shared::stream::EntryId;
use tokio::sync::OnceCell;

use super::item::FrameItem;
use super::place::Place;
use super::seen::Seen;

/// The newest items, by number: a frame, or `None` where something is missing and whoever follows
/// starts anew.
#[derive(Debug)]
pub struct Ring {
    items: VecDeque<Option<Arc<FrameItem>>>,
    /// The number of its first item.
    pub first: u64,
    bytes: usize,
    limit: usize,
    /// Events that have left it so far.
    pub events_gone: u64,
    /// Events that ever were in it.
    pub events: u64,
    /// Before its first item.
    pub start: Place,
    /// After its last item.
    pub end: Place,
    /// The frames it knows of.
    pub seen: Seen,
    /// Set once those from before the ring are among them.
    pub looked_back: Arc<OnceCell<()>>,
}

/// What is there under a number.
#[derive(Debug)]
pub enum Seek {
    /// This.
    Here(Arc<FrameItem>),
    /// Something is missing: whoever follows starts anew.
    Torn,
    /// It has left.
    Gone,
    /// It has not come yet.
    NotYet,
}

impl Ring {
    /// Empty, of up to `limit` bytes, beginning after `place`.
    pub fn new(limit: usize, place: Place) -> Self {
        Self {
            items: VecDeque::new(),
            first: 0,
            bytes: 0,
            limit,
            events_gone: 0,
            events: 0,
            start: place.clone(),
            end: place,
            seen: Seen::default(),
            looked_back: Arc::default(),
        }
    }

    /// Adds a frame, unless it was appended before, and lets the oldest items leave until all fit.
    pub fn push(&mut self, frame: FrameItem) {
        if !self.seen.note(frame.header.id, frame.entry) {
            return self.skip(frame.partition, frame.entry);
        }
        self.end.pass(frame.partition, frame.entry);
        self.events += frame.events();
        self.bytes += frame.weight();
        self.items.push_back(Some(Arc::new(frame)));
        // The newest one stays however large it is.
        while self.bytes > self.limit && self.items.len() > 1 {
            self.first += 1;
            if let Some(Some(left)) = self.items.pop_front() {
                self.bytes -= left.weight();
                self.start.pass(left.partition, left.entry);
                self.events_gone += left.events();
            }
        }
    }

    /// Notes that `partition` was read up to `entry`, without a frame to show for it.
    pub fn skip(&mut self, partition: u16, entry: EntryId) {
        self.end.pass(partition, entry);
        if self.items.is_empty() {
            self.start = self.end.clone();
        }
    }

    /// Forgets everything and says to all that something is missing before `place`, from where the
    /// feed goes on; numbers are not used again.
    pub fn tear(&mut self, place: Place) {
        *self = Self {
            items: VecDeque::from([None]),
            first: self.next(),
            events_gone: self.events,
            events: self.events,
            ..Self::new(self.limit, place)
        };
    }

    /// What is there under `number`.
    pub fn seek(&self, number: u64) -> Seek {
        let Some(at) = number.checked_sub(self.first) else {
            return Seek::Gone;
        };
        match self.items.get(usize::try_from(at).unwrap_or(usize::MAX)) {
            Some(Some(frame)) => Seek::Here(Arc::clone(frame)),
            Some(None) => Seek::Torn,
            None => Seek::NotYet,
        }
    }

    /// The number of the next item to come.
    pub fn next(&self) -> u64 {
        self.first + self.items.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::{ProducerId, RawFrame};
    use evp_shared::stream::Life;
    use evp_shared::testing::events::frame;

    use super::*;

    fn entry(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    fn item(ms: u64) -> FrameItem {
        let frame = frame(
            ProducerId::new(0, 1),
            u32::try_from(ms).unwrap(),
            1_000,
            &[("a", "click"), ("b", "view")],
        );
        FrameItem::new(0, entry(ms), RawFrame::from(&frame)).unwrap()
    }

    fn ring(items: usize) -> Ring {
        let place = Place::new(&[Life(1)], vec![entry(1)]);
        Ring::new(items * item(1).weight(), place)
    }

    #[test]
    fn what_does_not_fit_leaves_and_is_counted() {
        let mut ring = ring(2);
        for ms in 2..=5 {
            ring.push(item(ms));
        }
        assert!(matches!(ring.seek(1), Seek::Gone) && ring.first == 2);
        assert!(matches!(ring.seek(3), Seek::Here(_)));
        assert!(matches!(ring.seek(4), Seek::NotYet));
        assert_eq!((ring.events_gone, ring.events), (4, 8));
        assert_eq!(ring.start.entry(0), entry(3));
        assert_eq!(ring.end.entry(0), entry(5));
    }

    #[test]
    fn one_that_is_too_large_is_still_shown() {
        let mut ring = ring(0);
        ring.push(item(2));
        assert!(matches!(ring.seek(0), Seek::Here(_)));
        ring.push(item(3));
        assert!(matches!(ring.seek(0), Seek::Gone) && ring.first == 1);
    }

    #[test]
    fn after_a_tear_everybody_starts_anew() {
        let mut ring = ring(9);
        ring.push(item(2));
        let place = Place::new(&[Life(2)], vec![entry(9)]);
        ring.tear(place.clone());
        assert!(matches!(ring.seek(0), Seek::Gone));
        assert!(matches!(ring.seek(ring.first), Seek::Torn));
        assert_eq!(ring.start, place);
        assert_eq!(ring.end, place);
        ring.skip(0, entry(12));
        assert_eq!(ring.end.entry(0), entry(12));
        assert_eq!(ring.start.entry(0), entry(9));
    }
}
