//! What was acknowledged lately: the frames held for a Redis that forgets, and how many events
//! that may have cost. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use evp_shared::frame::Frame;
use evp_shared::stream::EntryId;

use super::frames::HeldLimits;

/// Seconds of acknowledged events that are remembered by number. A Redis that comes back older
/// than this was restored by hand, and what it lacks is `verify`'s to find.
const SECONDS_REMEMBERED: usize = 3_600;

/// How much of it one call of a replay appends.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayLimits {
    pub(super) frames: usize,
    /// Bytes as appended; one frame alone may be larger.
    pub(super) bytes: usize,
}

/// The acknowledged frames of one partition.
#[derive(Debug)]
pub(super) struct Held {
    limits: HeldLimits,
    frames: VecDeque<HeldFrame>,
    bytes: usize,
    /// Events by second of their entry ids, held or not.
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct HeldFrame {
    frame: Frame,
    entry: EntryId,
    since: Instant,
}

#[derive(Debug)]
struct Second {
    last: EntryId,
    events: u64,
}

impl Held {
    pub(super) fn new(limits: HeldLimits) -> Self {
        Self {
            limits,
            frames: VecDeque::new(),
            bytes: 0,
            seconds: VecDeque::new(),
        }
    }

    /// Notes an acknowledged frame.
    pub(super) fn add(&mut self, frame: &Frame, entry: EntryId, now: Instant) {
        count(&mut self.seconds, entry, frame.events);
        if !self.limits.age.is_zero() {
            self.bytes += size(frame);
            self.frames.push_back(HeldFrame {
                frame: frame.clone(),
                entry,
                since: now,
            });
        }
    }

    /// Lets go of what is too much, and of what was too old when Redis last showed that it lived.
    pub(super) fn let_go(&mut self, lived_at: Instant) {
        let limits = self.limits;
        while self.frames.front().is_some_and(|held| {
            self.bytes > limits.bytes || lived_at.saturating_duration_since(held.since) > limits.age
        }) {
            if let Some(held) = self.frames.pop_front() {
                self.bytes -= size(&held.frame);
            }
        }
    }

    /// The frames to append again in a new life, oldest first, after the first `done`: as many as
    /// one call takes, one at least. In the end all of them: repeating is harmless.
    pub(super) fn frames_after(&self, done: usize, limits: ReplayLimits) -> Vec<Frame> {
        let mut bytes = 0;
        let held = self.frames.iter().skip(done).take(limits.frames);
        held.map(|held| &held.frame)
            .take_while(|frame| {
                let is_first = bytes == 0;
                bytes += size(frame);
                is_first || bytes <= limits.bytes
            })
            .cloned()
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Enters a new life that begins after `cut`, with the held frames appended again under
    /// `entries`. Returns how many acknowledged events may be lost: those after the cut that were
    /// not held. It is an upper bound, by less than a second's events that are not held.
    pub(super) fn enter_life(&mut self, cut: EntryId, entries: &[EntryId], now: Instant) -> u64 {
        let mut forgotten = HashMap::new();
        self.seconds.retain(|second| {
            let stays = second.last <= cut;
            if !stays {
                forgotten.insert(second_of(second.last), second.events);
            }
            stays
        });
        // All of a second that is held is taken off, also what came before the cut: which events
        // of the second did is known of the held ones alone.
        for held in &self.frames {
            if let Some(events) = forgotten.get_mut(&second_of(held.entry)) {
                *events = events.saturating_sub(u64::from(held.frame.events));
            }
        }
        let lost = forgotten.into_values().sum();
        for (held, entry) in self.frames.iter_mut().zip(entries) {
            held.entry = *entry;
            // What was appended again may be forgotten again: the window begins anew.
            held.since = now;
            count(&mut self.seconds, *entry, held.frame.events);
        }
        lost
    }
}

fn count(seconds: &mut VecDeque<Second>, entry: EntryId, events: u32) {
    let events = u64::from(events);
    // Mostly the last one; but two answers may come in another order than their entries.
    let mut known = seconds.iter_mut().rev();
    match known.find(|second| second_of(second.last) == second_of(entry)) {
        Some(second) => {
            second.last = second.last.max(entry);
            second.events += events;
        }
        None => seconds.push_back(Second {
            last: entry,
            events,
        }),
    }
    if seconds.len() > SECONDS_REMEMBERED {
        seconds.pop_front();
    }
}

fn second_of(entry: EntryId) -> u64 {
    entry.ms / 1_000
}

fn size(frame: &Frame) -> usize {
    frame.meta.len() + frame.payload.len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use evp_shared::clock::Clock;
    use evp_shared::frame::{FrameId, ProducerId};

    use super::*;

    const WINDOW: HeldLimits = HeldLimits {
        age: Duration::from_secs(5),
        bytes: 1_000,
    };
    const NOTHING: HeldLimits = HeldLimits {
        age: Duration::ZERO,
        bytes: 1_000,
    };

    fn frame(number: u32, events: u32) -> Frame {
        Frame {
            id: FrameId::new(1, ProducerId::new(0, 1), number),
            events,
            bytes: 100,
            meta: Bytes::from_static(&[0; 50]),
            payload: Bytes::from_static(&[0; 50]),
        }
    }

    fn at(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    #[test]
    fn what_is_not_held_after_the_cut_may_be_lost() {
        let clock = Clock::manual(0);
        let cases = [
            // (window, cut, lost)
            (NOTHING, at(9_999), 0),
            (NOTHING, at(3_000), 0),
            (NOTHING, at(2_000), 4),
            (NOTHING, EntryId::ZERO, 7),
            (WINDOW, EntryId::ZERO, 0),
        ];
        for (limits, cut, lost) in cases {
            let mut held = Held::new(limits);
            for (number, ms) in [(1, 1_000), (2, 2_000), (4, 3_000)] {
                held.add(&frame(number, number), at(ms), clock.now());
            }
            let entries: Vec<_> = (0..3).map(|n| at(20_000 + n)).collect();
            assert_eq!(
                held.enter_life(cut, &entries, clock.now()),
                lost,
                "{limits:?} {cut}"
            );
            // Told once: the next life begins after everything that is remembered.
            assert_eq!(held.enter_life(at(30_000), &entries, clock.now()), 0);
        }
    }

    #[test]
    fn what_is_held_is_not_reported_wherever_in_its_second_the_cut_lies() {
        let clock = Clock::manual(0);
        for (limits, lost) in [(WINDOW, 0), (NOTHING, 7)] {
            let mut held = Held::new(limits);
            for (number, ms) in [(1, 1_900), (4, 1_100), (2, 1_500)] {
                held.add(&frame(number, number), at(ms), clock.now());
            }
            assert_eq!(
                held.enter_life(at(1_500), &[at(9_000); 3], clock.now()),
                lost
            );
        }
    }

    #[test]
    fn answers_out_of_order_are_counted_by_their_seconds() {
        let clock = Clock::manual(0);
        let mut held = Held::new(NOTHING);
        for (number, ms) in [(1, 1_000), (2, 2_000), (4, 1_500)] {
            held.add(&frame(number, number), at(ms), clock.now());
        }
        assert_eq!(held.enter_life(at(1_900), &[], clock.now()), 2);
    }

    #[test]
    fn frames_leave_by_age_and_by_bytes() {
        let clock = Clock::manual(0);
        let mut held = Held::new(WINDOW);
        for number in 0..12 {
            held.add(&frame(number, 1), at(u64::from(number)), clock.now());
        }
        held.let_go(clock.now());
        assert_eq!(held.frames.len(), 10, "ten of a hundred bytes fit");
        // What left the window is what may be lost.
        assert_eq!(
            held.enter_life(EntryId::ZERO, &[at(50); 10], clock.now()),
            2
        );
        clock.advance(Duration::from_secs(6));
        held.let_go(clock.now());
        assert!(held.frames.is_empty());
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn a_replay_takes_what_a_call_takes_until_it_has_all() {
        let clock = Clock::manual(0);
        let mut held = Held::new(WINDOW);
        for number in 0..5 {
            held.add(&frame(number, 1), at(u64::from(number)), clock.now());
        }
        let cases = [
            // (done, frames, bytes, taken)
            (0, 16, 1_000, 5),
            (0, 3, 1_000, 3),
            (0, 16, 299, 2),
            (0, 16, 1, 1),
            (4, 16, 1_000, 1),
            (5, 16, 1_000, 0),
        ];
        for (done, frames, bytes, taken) in cases {
            let again = held.frames_after(done, ReplayLimits { frames, bytes });
            assert_eq!(again.len(), taken, "{done} {frames} {bytes}");
            let numbers: Vec<_> = again.iter().map(|frame| frame.id).collect();
            let expected: Vec<_> = (0..5).map(|number| frame(number, 1).id).collect();
            assert_eq!(numbers, expected[done..done + taken]);
        }
    }

    #[test]
    fn frames_appended_again_are_known_by_their_new_entries() {
        let clock = Clock::manual(0);
        let mut held = Held::new(WINDOW);
        held.add(&frame(0, 5), at(1_000), clock.now());
        assert_eq!(held.enter_life(EntryId::ZERO, &[at(2_000)], clock.now()), 0);
        clock.advance(Duration::from_secs(6));
        held.let_go(clock.now());
        assert_eq!(held.enter_life(at(1_999), &[], clock.now()), 5);
    }
}
