//! A client that was away: through the kept window until it is where the feed is.

use std::collections::VecDeque;
use std::sync::Arc;

use evp_shared::stream::EntryId;

use super::message::Reset;
use super::{Subscriber, Way};
use crate::feed::item::FrameItem;
use crate::feed::reader::{PageSize, follow, frame_of};

/// Bytes one read of the kept window is to come to; a client that stands still holds them.
const READ_BYTES: usize = 128 * 1024;

/// A client that was away.
#[derive(Debug)]
pub(super) struct Behind {
    page: VecDeque<FrameItem>,
    /// Once the page is through: the place it was read to.
    end: Option<(u16, EntryId)>,
    size: PageSize,
}

impl Default for Behind {
    fn default() -> Self {
        Self {
            page: VecDeque::new(),
            end: None,
            size: PageSize::new(READ_BYTES),
        }
    }
}

impl Subscriber {
    /// Shows one frame of the window, or reads on.
    pub(super) async fn follow_window(&mut self) {
        let Way::Behind(behind) = &mut self.way else {
            return;
        };
        if let Some(frame) = behind.page.pop_front() {
            if !self.take(&frame)
                && let Way::Behind(behind) = &mut self.way
            {
                behind.page.push_front(frame);
            }
            return;
        }
        if let Some((partition, end)) = behind.end.take() {
            self.place.pass(partition, end);
        }
        let Some(partition) = self.next_partition() else {
            return;
        };
        self.read_window(partition).await;
    }

    /// The partition to read next; `None` when the client has changed to the ring, or starts anew.
    fn next_partition(&mut self) -> Option<u16> {
        let feed = Arc::clone(&self.presence.feed);
        let guard = feed.ring();
        let Some(ring) = guard.as_ref() else {
            self.is_over = true;
            return None;
        };
        if self.place.lives != ring.end().lives {
            drop(guard);
            self.reset(Reset::NewLife);
            return None;
        }
        let start = ring.start();
        if self.place.part().is_none() && self.place.is_beyond(start) {
            self.way = Way::Live {
                next: ring.first(),
                events: ring.events_gone(),
            };
            feed.metrics.resumed.increment(1);
            return None;
        }
        let is_behind = |of: &u16| self.place.entry(*of) < start.entry(*of);
        let mut all = 0..feed.stream.partitions();
        self.place.part().or_else(|| all.find(is_behind))
    }

    async fn read_window(&mut self, partition: u16) {
        let feed = Arc::clone(&self.presence.feed);
        let Way::Behind(behind) = &mut self.way else {
            return;
        };
        let (from, count) = (self.place.from(partition), behind.size.entries);
        // Closed only with the feed.
        let _slot = feed.catching_up.acquire().await;
        let Ok(found) = follow(&feed.stream, partition, from, count).await else {
            self.is_over = true;
            return;
        };
        if found.is_torn(from) {
            return self.reset(Reset::LeftWindow);
        }
        if (found.entries.len() as u64) < count {
            behind.end = Some((partition, found.last.max(self.place.entry(partition))));
        } else {
            behind.end = found.entries.last().map(|last| (partition, last.id));
        }
        behind.size.learn(&found.entries);
        behind.page = found.entries.into_iter().filter_map(frame_of).collect();
    }
}
