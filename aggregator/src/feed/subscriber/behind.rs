//! A client that was away: through the kept window until it is where the feed is.

use std::collections::VecDeque;
use std::sync::Arc;

use evp_shared::stream::{EntryId, FollowLimits};

use super::Subscriber;
use super::message::Reset;
use crate::feed::item::FrameItem;
use crate::feed::reader::{follow, frame_of};

/// One read of the kept window; a client that stands still holds it.
const READ: FollowLimits = FollowLimits {
    entries: 250,
    bytes: 128 * 1024,
};

/// A client that was away.
#[derive(Debug, Default)]
pub(super) struct Behind {
    page: VecDeque<FrameItem>,
    /// Once the page is through: the place it was read to.
    end: Option<(u16, EntryId)>,
}

impl Subscriber {
    /// Shows one frame of the window, or reads on.
    pub(super) async fn follow_window(&mut self) {
        let Some(behind) = &mut self.behind else {
            return;
        };
        if let Some(frame) = behind.page.pop_front() {
            if !self.take(&frame)
                && let Some(behind) = &mut self.behind
            {
                behind.page.push_front(frame);
            }
            return;
        }
        if let Some((partition, end)) = behind.end.take() {
            self.place.pass(partition, end);
        }
        if let Some(partition) = self.next_partition() {
            self.read_window(partition).await;
        }
    }

    /// The partition to read next; `None` when the client has changed to the ring, or starts anew.
    fn next_partition(&mut self) -> Option<u16> {
        let feed = Arc::clone(&self.presence.feed);
        let guard = feed.ring();
        let Some(ring) = guard.as_ref() else {
            self.is_over = true;
            return None;
        };
        if self.place.lives != ring.end.lives {
            drop(guard);
            self.reset(Reset::NewLife);
            return None;
        }
        let start = &ring.start;
        if self.place.part().is_none() && self.place.is_beyond(start) {
            (self.next, self.events) = (ring.first, ring.events_gone);
            self.behind = None;
            feed.metrics.resumed.increment(1);
            return None;
        }
        let is_behind = |of: &u16| self.place.entry(*of) < start.entry(*of);
        let mut all = 0..feed.stream.partitions();
        self.place.part().or_else(|| all.find(is_behind))
    }

    async fn read_window(&mut self, partition: u16) {
        let feed = Arc::clone(&self.presence.feed);
        let from = self.place.from(partition);
        // Closed only with the feed.
        let _slot = feed.catching_up.acquire().await;
        let Ok(found) = follow(&feed.stream, partition, from, READ).await else {
            self.is_over = true;
            return;
        };
        if found.is_torn(from) {
            return self.reset(Reset::LeftWindow);
        }
        let end = if found.may_be_more {
            found.entries.last().map(|last| (partition, last.id))
        } else {
            Some((partition, found.last.max(self.place.entry(partition))))
        };
        let page = found.entries.into_iter().filter_map(frame_of).collect();
        self.behind = Some(Box::new(Behind { page, end }));
    }
}
