//! The newest part of the feed, shared by all who follow it. Pure.
//!
//! Whoever follows holds a number and no queue: one who stands still costs nothing here, and finds
//! out how much it missed when it goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use evp_shared::frame::FrameId;
use evp_shared::stream::EntryId;
use tokio::sync::OnceCell;

use super::item::{FrameItem, Item};
use super::place::Place;
use super::seen::Seen;

/// The newest items, by number.
#[derive(Debug)]
pub struct Ring {
    items: VecDeque<(Arc<Item>, usize)>,
    first: u64,
    bytes: usize,
    limit: usize,
    /// Events of all items that ever were in it, up to its first one.
    events_before: u64,
    events: u64,
    /// Before its first item.
    start: Place,
    /// After its last item.
    end: Place,
    memory: Memory,
}

/// The frames a ring knows of.
#[derive(Debug, Default)]
struct Memory {
    seen: Seen,
    /// Set once those from before the ring are among them.
    looked_back: Arc<OnceCell<()>>,
}

/// What is there under a number.
#[derive(Debug)]
pub enum Seek {
    /// This.
    Here(Arc<Item>),
    /// It has left; the first that is there has this number.
    Gone(u64),
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
            events_before: 0,
            events: 0,
            start: place.clone(),
            end: place,
            memory: Memory::default(),
        }
    }

    /// Adds a frame, unless it was appended before, and lets the oldest items leave until all fit.
    pub fn push(&mut self, frame: FrameItem) {
        if !self.memory.seen.note(frame.header.id, frame.entry) {
            return self.skip(frame.partition, frame.entry);
        }
        self.end.pass(frame.partition, frame.entry);
        self.events += frame.events();
        let weight = frame.weight();
        self.bytes += weight;
        self.items
            .push_back((Arc::new(Item::Frame(Box::new(frame))), weight));
        // The newest one stays however large it is.
        while self.bytes > self.limit && self.items.len() > 1 {
            if let Some((left, weight)) = self.items.pop_front() {
                self.bytes -= weight;
                self.first += 1;
                if let Item::Frame(frame) = &*left {
                    self.start.pass(frame.partition, frame.entry);
                    self.events_before += frame.events();
                }
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

    /// Whether what lies at `entry` was appended before.
    pub fn is_repeat(&self, frame: FrameId, entry: EntryId) -> bool {
        self.memory.seen.is_repeat(frame, entry)
    }

    /// Whoever sets it has looked for the frames from before the ring.
    pub fn looked_back(&self) -> &Arc<OnceCell<()>> {
        &self.memory.looked_back
    }

    /// Takes over the frames from before the ring.
    pub fn remember(&mut self, older: Seen) {
        self.memory.seen.prepend(older);
    }

    /// Forgets everything and says to all that something is missing before `place`, from where the
    /// feed goes on; numbers are not used again.
    pub fn tear(&mut self, place: Place) {
        self.first = self.next();
        self.events_before = self.events;
        self.items = VecDeque::from([(Arc::new(Item::Torn), 0)]);
        self.bytes = 0;
        self.start = place.clone();
        self.end = place;
        self.memory = Memory::default();
    }

    /// What is there under `number`.
    pub fn seek(&self, number: u64) -> Seek {
        let Some(at) = number.checked_sub(self.first) else {
            return Seek::Gone(self.first);
        };
        let at = usize::try_from(at).ok().and_then(|at| self.items.get(at));
        at.map_or(Seek::NotYet, |(item, _)| Seek::Here(Arc::clone(item)))
    }

    /// The number of the next item to come.
    pub fn next(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// The number of its first item.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Events that have left it so far.
    pub fn events_gone(&self) -> u64 {
        self.events_before
    }

    /// Events that ever were in it.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Before its first item.
    pub fn start(&self) -> &Place {
        &self.start
    }

    /// After its last item.
    pub fn end(&self) -> &Place {
        &self.end
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
        assert!(matches!(ring.seek(1), Seek::Gone(2)));
        assert!(matches!(ring.seek(3), Seek::Here(_)));
        assert!(matches!(ring.seek(4), Seek::NotYet));
        assert_eq!((ring.events_gone(), ring.events()), (4, 8));
        assert_eq!(ring.start().entry(0), entry(3));
        assert_eq!(ring.end().entry(0), entry(5));
    }

    #[test]
    fn one_that_is_too_large_is_still_shown() {
        let mut ring = ring(0);
        ring.push(item(2));
        assert!(matches!(ring.seek(0), Seek::Here(_)));
        ring.push(item(3));
        assert!(matches!(ring.seek(0), Seek::Gone(1)));
    }

    #[test]
    fn after_a_tear_everybody_starts_anew() {
        let mut ring = ring(9);
        ring.push(item(2));
        let place = Place::new(&[Life(2)], vec![entry(9)]);
        ring.tear(place.clone());
        let Seek::Gone(next) = ring.seek(0) else {
            panic!("still there");
        };
        let Seek::Here(torn) = ring.seek(next) else {
            panic!("no tear");
        };
        assert!(matches!(&*torn, Item::Torn));
        assert_eq!(ring.start(), &place);
        assert_eq!(ring.end(), &place);
        ring.skip(0, entry(12));
        assert_eq!(ring.end().entry(0), entry(12));
        assert_eq!(ring.start().entry(0), entry(9));
    }
}
