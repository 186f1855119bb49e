//! The acknowledged frames that are held for a Redis that forgets, and how many events that may
//! have cost.

use std::collections::VecDeque;
use std::rc::Rc;

use evp_shared::stream::EntryId;

use crate::sim::redis::Frame;

#[derive(Debug)]
pub(super) struct Held {
    window_ms: u64,
    frames: VecDeque<(Rc<Frame>, EntryId, u64)>,
    /// Everything acknowledged: entry and events.
    acknowledged: Vec<(EntryId, u64)>,
}

impl Held {
    pub(super) fn new(window_ms: u64) -> Self {
        Self {
            window_ms,
            frames: VecDeque::new(),
            acknowledged: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, frame: &Rc<Frame>, id: EntryId, now_ms: u64) {
        self.acknowledged.push((id, frame.events.len() as u64));
        if self.window_ms > 0 {
            self.frames.push_back((frame.clone(), id, now_ms));
        }
    }

    pub(super) fn let_go(&mut self, now_ms: u64) {
        let window_ms = self.window_ms;
        let is_old = |since_ms: u64| now_ms.saturating_sub(since_ms) > window_ms;
        while self
            .frames
            .front()
            .is_some_and(|(_, _, since_ms)| is_old(*since_ms))
        {
            self.frames.pop_front();
        }
    }

    pub(super) fn frames(&self) -> Vec<Rc<Frame>> {
        self.frames
            .iter()
            .map(|(frame, ..)| frame.clone())
            .collect()
    }

    /// Enters a life that begins after `cut`, with the frames appended again under `ids`; returns
    /// how many acknowledged events may be lost. Those frames are as young as if they were new:
    /// `now_ms` is their age, unless they keep their own.
    pub(super) fn enter_life(&mut self, cut: EntryId, ids: &[EntryId], now_ms: Option<u64>) -> u64 {
        let events = |frame: &Rc<Frame>| frame.events.len() as u64;
        let is_after = |id: EntryId| id > cut;
        let held: u64 = self
            .frames
            .iter()
            .filter(|(_, id, _)| is_after(*id))
            .map(|(frame, ..)| events(frame))
            .sum();
        let all: u64 = self
            .acknowledged
            .iter()
            .filter(|(id, _)| is_after(*id))
            .map(|(_, events)| events)
            .sum();
        self.acknowledged.retain(|(id, _)| !is_after(*id));
        for ((frame, id, since_ms), again) in self.frames.iter_mut().zip(ids) {
            *id = *again;
            *since_ms = now_ms.unwrap_or(*since_ms);
            self.acknowledged.push((*again, events(frame)));
        }
        all.saturating_sub(held)
    }
}
