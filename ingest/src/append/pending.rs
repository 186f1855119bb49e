//! Which requests travel together: frames and calls in the making. Pure.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use evp_shared::document::EventBatch;
use evp_shared::frame::FrameDraft;

use super::frames::FrameLimits;
use super::submission::Call;

/// The calls that wait for their turn, in order of arrival.
///
/// # Invariant
/// A request lies in one frame, or in frames of its own inside one call: it is appended whole or
/// not at all.
#[derive(Debug)]
pub(crate) struct Pending<W> {
    limits: FrameLimits,
    calls: VecDeque<Call<W>>,
}

impl<W> Pending<W> {
    pub(crate) fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            calls: VecDeque::new(),
        }
    }

    /// Adds a request with at least one event.
    pub(crate) fn add(&mut self, tenant: &Arc<str>, batch: &EventBatch, waiter: W, now: Instant) {
        let (events, bytes) = (batch.events.len(), batch.documents.len());
        let limits = self.limits;
        let has_room = |call: &Call<W>| call.bytes + bytes <= limits.call_bytes;
        if !self.calls.back().is_some_and(has_room) {
            self.calls.push_back(Call::new(now));
        }
        let Some(call) = self.calls.back_mut() else {
            return;
        };
        call.bytes += bytes;
        call.waiters.push(waiter);
        if events > limits.events || bytes > limits.bytes {
            for range in split(batch, &limits) {
                let mut frame = FrameDraft::new();
                frame.push(tenant, batch, range);
                call.frames.push(frame);
            }
            call.is_open = false;
            return;
        }
        let has_room = |frame: &FrameDraft| {
            frame.events() + events <= limits.events && frame.bytes() + bytes <= limits.bytes
        };
        if !(call.is_open && call.frames.last().is_some_and(has_room)) {
            call.frames.push(FrameDraft::new());
            call.is_open = true;
        }
        if let Some(frame) = call.frames.last_mut() {
            frame.push(tenant, batch, 0..events);
        }
    }

    /// Takes the call whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Call<W>> {
        self.calls.pop_front()
    }

    /// When the oldest waiting request came.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.calls.front().map(|call| call.opened)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

/// Cuts a request into runs of events that fit a frame each.
fn split(batch: &EventBatch, limits: &FrameLimits) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut first, mut begin, mut end) = (0, 0, 0);
    for (index, mark) in batch.events.iter().enumerate() {
        let next = mark.end as usize;
        if index > first && (index - first >= limits.events || next - begin > limits.bytes) {
            runs.push(first..index);
            (first, begin) = (index, end);
        }
        end = next;
    }
    runs.push(first..batch.events.len());
    runs
}

#[cfg(test)]
mod tests {
    use evp_shared::clock::Clock;
    use evp_shared::document::EventMark;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        events: 10,
        bytes: 1_000,
        call_bytes: 2_500,
    };

    fn batch(sizes: &[usize]) -> EventBatch {
        let mut batch = EventBatch {
            types: vec!["a".into()],
            ..EventBatch::default()
        };
        for size in sizes {
            batch.documents.extend(std::iter::repeat_n(0, *size));
            let end = u32::try_from(batch.documents.len()).unwrap();
            batch.events.push(EventMark {
                end,
                type_index: 0,
                undated: false,
            });
        }
        batch
    }

    fn pending(requests: &[Vec<usize>]) -> Vec<Call<usize>> {
        let mut pending = Pending::new(LIMITS);
        let tenant = Arc::from("default");
        let now = Clock::manual(0).now();
        for (index, sizes) in requests.iter().enumerate() {
            pending.add(&tenant, &batch(sizes), index, now);
        }
        std::iter::from_fn(|| pending.pop()).collect()
    }

    fn shape(calls: &[Call<usize>]) -> Vec<(Vec<usize>, Vec<usize>)> {
        let events = |call: &Call<usize>| call.frames.iter().map(FrameDraft::events).collect();
        calls
            .iter()
            .map(|call| (events(call), call.waiters.clone()))
            .collect()
    }

    #[test]
    fn small_requests_join_one_frame() {
        let calls = pending(&[vec![100; 4], vec![100; 4], vec![100; 4]]);
        assert_eq!(shape(&calls), [(vec![8, 4], vec![0, 1, 2])]);
    }

    #[test]
    fn a_large_request_travels_whole_in_frames_of_its_own() {
        let calls = pending(&[vec![101], vec![100; 24], vec![101]]);
        assert_eq!(
            shape(&calls),
            [
                (vec![1], vec![0]),
                (vec![10, 10, 4], vec![1]),
                (vec![1], vec![2])
            ]
        );
        // One larger than a call still is one call.
        let calls = pending(&[vec![1], vec![900; 5]]);
        assert_eq!(shape(&calls), [(vec![1], vec![0]), (vec![1; 5], vec![1])]);
        // Nobody joins the last frame of a large request: it is that request's own.
        let calls = pending(&[vec![10; 11], vec![10]]);
        assert_eq!(shape(&calls), [(vec![10, 1, 1], vec![0, 1])]);
    }

    #[test]
    fn an_event_larger_than_a_frame_is_a_frame() {
        let calls = pending(&[vec![5_000]]);
        assert_eq!(shape(&calls), [(vec![1], vec![0])]);
    }

    proptest! {
        #[test]
        fn no_event_is_lost_and_bounds_hold(
            requests in prop::collection::vec(prop::collection::vec(70_usize..1_500, 1..30), 1..20),
        ) {
            let calls = pending(&requests);
            let events: usize = requests.iter().map(Vec::len).sum();
            let framed: usize =
                calls.iter().flat_map(|call| &call.frames).map(FrameDraft::events).sum();
            prop_assert_eq!(framed, events);
            let waiters: Vec<_> = calls.iter().flat_map(|call| call.waiters.clone()).collect();
            prop_assert_eq!(waiters, (0..requests.len()).collect::<Vec<_>>());
            for call in &calls {
                let bytes: usize = call.frames.iter().map(FrameDraft::bytes).sum();
                prop_assert!(bytes <= LIMITS.call_bytes || call.waiters.len() == 1);
                for frame in &call.frames {
                    prop_assert!((1..=LIMITS.events).contains(&frame.events()));
                    prop_assert!(frame.bytes() <= LIMITS.bytes || frame.events() == 1);
                }
            }
        }
    }
}
