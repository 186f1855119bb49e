//! Which frames lie where, so that one that was appended twice is shown once. Pure.

use std::collections::{HashMap, VecDeque};

use evp_shared::frame::FrameId;
use evp_shared::stream::EntryId;

/// Frames that are remembered, in 4 MB: 30 s of 2,000 a second. Beyond it a client that comes back
/// after long may be shown one again; to those who follow, a repetition comes within seconds.
const REMEMBERED: usize = 65_536;

/// Where the frames that came last were seen first.
#[derive(Debug, Default)]
pub struct Seen {
    first: HashMap<FrameId, EntryId>,
    order: VecDeque<FrameId>,
}

impl Seen {
    /// Notes where a frame lies; `false` when it lies elsewhere, too, and was noted there.
    pub fn note(&mut self, frame: FrameId, entry: EntryId) -> bool {
        if let Some(first) = self.first.get(&frame) {
            return *first == entry;
        }
        self.first.insert(frame, entry);
        self.order.push_back(frame);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
        true
    }

    /// Whether what lies at `entry` repeats a frame.
    pub fn is_repeat(&self, frame: FrameId, entry: EntryId) -> bool {
        self.first.get(&frame).is_some_and(|first| *first < entry)
    }

    /// Puts what came before these in front of them.
    pub fn prepend(&mut self, mut older: Self) {
        for frame in &self.order {
            if let Some(entry) = self.first.get(frame) {
                older.note(*frame, *entry);
            }
        }
        *self = older;
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::ProducerId;

    use super::*;

    fn frame(number: u32) -> FrameId {
        FrameId::new(1, ProducerId::new(0, 1), number)
    }

    fn entry(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    #[test]
    fn a_frame_is_seen_once_and_not_remembered_for_ever() {
        let mut seen = Seen::default();
        assert!(seen.note(frame(0), entry(1)));
        assert!(seen.note(frame(0), entry(1)), "the same entry again");
        assert!(!seen.note(frame(0), entry(2)));
        for number in 1..=u32::try_from(REMEMBERED).unwrap() {
            assert!(seen.note(frame(number), entry(3)));
        }
        assert!(seen.note(frame(0), entry(4)));
        assert_eq!(
            (seen.first.len(), seen.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }

    #[test]
    fn what_came_before_makes_a_repeat_of_what_was_seen_first() {
        let mut seen = Seen::default();
        seen.note(frame(0), entry(7));
        seen.note(frame(1), entry(8));
        assert!(!seen.is_repeat(frame(0), entry(7)));
        let mut older = Seen::default();
        older.note(frame(0), entry(5));
        seen.prepend(older);
        let repeats = [(0, 5), (0, 7), (1, 8), (1, 9), (2, 9)];
        let repeats = repeats.map(|(number, ms)| seen.is_repeat(frame(number), entry(ms)));
        assert_eq!(repeats, [false, true, false, true, false]);
    }
}
