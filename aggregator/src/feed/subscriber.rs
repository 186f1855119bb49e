//! One client of the feed: from its place, through the kept window if it was away, to what comes.

mod behind;
mod message;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use tokio::sync::watch;

use self::behind::Behind;
use self::message::{COMMENT, HEARTBEAT, RETRY, Reset, write};
use super::Presence;
use super::item::{FrameItem, digest};
use super::minute::Minute;
use super::place::Place;
use super::ring::{Ring, Seek};
use super::wanted::{Allowance, Wanted};

/// Bytes after which what was written is sent, before more is looked for.
const CHUNK_BYTES: usize = 16 * 1024;

/// One client of the feed.
#[derive(Debug)]
pub struct Subscriber {
    presence: Presence,
    wanted: Wanted,
    /// Digest of the user it wants.
    user: Option<u64>,
    allowance: Allowance,
    changed: watch::Receiver<()>,
    minute: watch::Receiver<Option<Arc<Minute>>>,
    place: Place,
    /// The number of the ring's item it comes to next.
    next: u64,
    /// Events of all items before that.
    events: u64,
    /// While it is behind the ring, its events come out of the kept window.
    behind: Option<Box<Behind>>,
    out: BytesMut,
    /// Events it did not get and was not told of.
    dropped: u64,
    written: Instant,
    is_over: bool,
}

impl Subscriber {
    /// Begins after `last_event_id`, or with what comes next.
    pub(super) fn new(presence: Presence, wanted: Wanted, last_event_id: Option<&str>) -> Self {
        let feed = Arc::clone(&presence.feed);
        let now = feed.clock.now();
        let mut minute = feed.minute.subscribe();
        minute.mark_changed();
        let partitions = feed.stream.partitions();
        let mut subscriber = Self {
            user: wanted.user.as_deref().map(|user| digest(&feed.users, user)),
            allowance: wanted.allowance(now),
            changed: feed.changed.subscribe(),
            minute,
            place: Place::new(&[], Vec::new()),
            next: 0,
            events: 0,
            behind: None,
            out: BytesMut::from(RETRY),
            dropped: 0,
            written: now,
            is_over: false,
            presence,
            wanted,
        };
        subscriber.begin();
        if let Some(text) = last_event_id {
            match Place::decode(text, partitions) {
                None => subscriber.reset(Reset::UnknownId),
                Some(place) => subscriber.resume(place),
            }
        }
        subscriber
    }

    /// Takes the place where the feed goes on.
    fn begin(&mut self) {
        let feed = Arc::clone(&self.presence.feed);
        if let Some(ring) = feed.ring().as_ref() {
            self.place = ring.end.clone();
            (self.next, self.events) = (ring.next(), ring.events);
            self.behind = None;
        } else {
            self.is_over = true;
        }
    }

    fn resume(&mut self, place: Place) {
        if place.lives != self.place.lives {
            return self.reset(Reset::NewLife);
        }
        let now_ms = self.presence.feed.clock.now_ms();
        let absence = Duration::from_millis(now_ms.saturating_sub(place.ms()));
        self.allowance.grant_absence(absence);
        self.place = place;
        self.behind = Some(Box::default());
    }

    fn reset(&mut self, reason: Reset) {
        self.presence.feed.metrics.reset.increment(1);
        self.begin();
        let id = self.place.encode();
        let data = json!({ "reason": reason }).to_string();
        write(&mut self.out, "reset", Some(&id), data.as_bytes());
    }

    /// The next bytes to send; `None` when it is over: the client comes back with its id.
    pub async fn next_chunk(&mut self) -> Option<Bytes> {
        let feed = Arc::clone(&self.presence.feed);
        loop {
            if self.is_over || feed.shutdown.is_triggered() {
                return None;
            }
            let now = feed.clock.now();
            self.allowance.refill(now);
            match self.behind {
                None => self.follow_ring(),
                Some(_) => self.follow_window().await,
            }
            if self.minute.has_changed().unwrap_or(false) {
                self.tell_minute();
            }
            if !self.out.is_empty() {
                self.written = now;
                return Some(std::mem::take(&mut self.out).freeze());
            }
            if self.behind.is_none() && !self.is_over {
                self.wait().await;
            }
        }
    }

    /// Waits for something to tell.
    async fn wait(&mut self) {
        let feed = &self.presence.feed;
        let silence = feed.clock.now() - self.written;
        tokio::select! {
            _ = self.changed.changed() => {}
            _ = self.minute.changed() => self.minute.mark_changed(),
            () = feed.shutdown.triggered() => {}
            () = tokio::time::sleep(HEARTBEAT.saturating_sub(silence)) => {
                self.out.put_slice(COMMENT);
            }
        }
    }

    /// What has come since, and the last minute; and how far this client is, so that one that has
    /// seen nothing for long does not go on from long ago.
    fn tell_minute(&mut self) {
        let minute = self.minute.borrow_and_update().clone();
        if self.dropped > 0 {
            let data = json!({ "count": self.dropped }).to_string();
            write(&mut self.out, "dropped", None, data.as_bytes());
            self.presence.feed.metrics.dropped.increment(self.dropped);
            self.dropped = 0;
        }
        let text = minute.as_deref();
        if let Some(text) = text.and_then(|minute| minute.text(&self.wanted.tenant)) {
            let id = self.place.encode();
            write(&mut self.out, "metrics", Some(&id), text);
        }
    }

    fn follow_ring(&mut self) {
        let feed = Arc::clone(&self.presence.feed);
        loop {
            let seek = {
                let guard = feed.ring();
                let Some(ring) = guard.as_ref() else {
                    self.is_over = true;
                    return;
                };
                let seek = ring.seek(self.next);
                if matches!(seek, Seek::Gone) {
                    self.dropped += ring.events_gone.saturating_sub(self.events);
                    self.place.advance(&ring.start);
                    (self.next, self.events) = (ring.first, ring.events_gone);
                }
                seek
            };
            match seek {
                Seek::Gone => {}
                Seek::NotYet => return,
                Seek::Torn => self.reset(Reset::Torn),
                Seek::Here(frame) => {
                    if !self.take(&frame) {
                        return;
                    }
                    self.next += 1;
                    self.events += frame.events();
                }
            }
        }
    }

    /// Writes what is wanted of a frame; `false` when the rest of it has to wait.
    fn take(&mut self, frame: &FrameItem) -> bool {
        let feed = Arc::clone(&self.presence.feed);
        let (partition, entry) = (frame.partition, frame.entry);
        let Some(seen) = self.place.seen_of(partition, entry) else {
            return true;
        };
        let is_repeat = |ring: &Ring| ring.seen.is_repeat(frame.header.id, entry);
        let likely = self.wanted.count_in(&frame.header);
        if likely == 0 || feed.ring().as_ref().is_some_and(is_repeat) {
            // There is nothing in it to show.
        } else if self.user.is_none() && self.allowance.is_used_up() {
            // Without a look inside: at full speed that is what most frames come to.
            self.dropped += self.wanted.sampled(likely.saturating_sub(u64::from(seen)));
        } else if let Some(opened) = frame.open(&feed.users) {
            let rows = &opened.rows;
            for (index, row) in (0_u32..).zip(rows).skip(seen as usize) {
                if self.out.len() >= CHUNK_BYTES {
                    self.place.pass_part(partition, entry, index);
                    return false;
                }
                if !self.wanted.wants(&frame.header, row, self.user) {
                    continue;
                }
                let Some(text) = opened.text(row) else {
                    continue;
                };
                if !self.allowance.take() {
                    self.dropped += 1;
                    continue;
                }
                if index as usize + 1 == rows.len() {
                    self.place.pass(partition, entry);
                } else {
                    self.place.pass_part(partition, entry, index + 1);
                }
                write(&mut self.out, "event", Some(&self.place.encode()), &text);
                feed.metrics.sent.increment(1);
            }
        }
        self.place.pass(partition, entry);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what `make` makes.
    fn size<F>(_: impl Fn(&'static mut Subscriber) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_is_small_whatever_it_is_doing() {
        // Thousands of them wait at the same time.
        let sizes = (size_of::<Subscriber>(), size(|one| one.next_chunk()));
        assert!(sizes.0 <= 512 && sizes.1 <= 1_536, "{sizes:?}");
    }
}
