//! The one reader of the streams. It reads while somebody watches, and forgets all when nobody
//! does.

use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{Entry, EntryId, FollowLimits, Followed, Life, Stream, StreamError};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::Feed;
use super::item::FrameItem;
use super::place::Place;
use super::ring::Ring;
use super::seen::Seen;

/// Between two reads that find less than they ask for: how much later a client sees an event, and
/// how often per second all clients are woken.
const POLL: Duration = Duration::from_millis(50);

/// Between two attempts while Redis does not answer.
const POLL_DURING_OUTAGE: Duration = Duration::from_millis(250);

/// Longest a read waits for Redis.
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// One read of a partition: more than a poll finds at full speed, and 2 ms of Redis at most
/// (measured: 8 us for an entry of 1 KB).
const READ: FollowLimits = FollowLimits {
    entries: 250,
    bytes: 1024 * 1024,
};
/// Only where the stream is.
const READ_NOTHING: FollowLimits = FollowLimits {
    entries: 0,
    bytes: 0,
};

/// Partitions that are read at the same time.
const PARTITIONS_AT_ONCE: usize = 16;

/// Reads for a [`Feed`].
#[derive(Debug)]
pub struct Reader {
    feed: Arc<Feed>,
    lives: Vec<Life>,
}

/// How a round of reads ended.
enum Round {
    /// There may be more.
    More,
    /// Everything there is was read.
    AllRead,
}

impl Reader {
    /// Reads for `feed`.
    pub fn new(feed: Arc<Feed>) -> Self {
        Self {
            feed,
            lives: Vec::new(),
        }
    }

    /// Reads until the shutdown.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut crowd = self.feed.crowd.subscribe();
        loop {
            self.rest_if_alone();
            let somebody = crowd.wait_for(|clients| *clients > 0);
            tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                _ = somebody => {}
            }
            let pause = match Box::pin(self.round()).await {
                Ok(Round::More) => Duration::ZERO,
                Ok(Round::AllRead) => POLL,
                Err(error) => {
                    // The probe reports a Redis that is away, once.
                    tracing::debug!(error = &error as &dyn std::error::Error, "feed not read");
                    POLL_DURING_OUTAGE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&mut self) -> Result<Round, StreamError> {
        let place = self.feed.ring().as_ref().map(|ring| ring.end().clone());
        let Some(place) = place else {
            let found = self.read(|_| Bound::Unbounded, READ_NOTHING).await?;
            self.begin(&found);
            return Ok(Round::More);
        };
        let found = self.read(|partition| place.from(partition), READ).await?;
        let mut is_more = false;
        let mut is_torn = false;
        for (partition, found) in (0..).zip(&found) {
            is_more |= found.may_be_more;
            is_torn |= found.is_torn(place.from(partition))
                || self.lives.get(usize::from(partition)) != Some(&found.life);
        }
        self.publish(found, is_torn);
        Ok(if is_more { Round::More } else { Round::AllRead })
    }

    /// Begins after what is there.
    fn begin(&mut self, found: &[Followed]) {
        let place = self.place_after(found);
        let limit = self.feed.buffer_bytes;
        *self.feed.ring() = Some(Ring::new(limit, place));
        self.feed.changed.send_replace(());
    }

    fn place_after(&mut self, found: &[Followed]) -> Place {
        self.lives = found.iter().map(|found| found.life).collect();
        Place::new(&self.lives, found.iter().map(|found| found.last).collect())
    }

    /// Gives up the ring when nobody watches.
    fn rest_if_alone(&self) {
        let mut slot = self.feed.ring();
        // Looked at while the ring is held: whoever comes after that finds it gone, and waits.
        if *self.feed.crowd.borrow() == 0 {
            *slot = None;
        }
    }

    /// Puts what was read into the ring, and wakes the clients.
    fn publish(&mut self, found: Vec<Followed>, is_torn: bool) {
        let feed = Arc::clone(&self.feed);
        let torn_at = is_torn.then(|| self.place_after(&found));
        let mut slot = feed.ring();
        let Some(ring) = slot.as_mut() else {
            return;
        };
        if let Some(place) = torn_at {
            ring.tear(place);
        } else {
            let entries: Vec<Entry> = found.into_iter().flat_map(|found| found.entries).collect();
            if entries.is_empty() {
                return;
            }
            for entry in entries {
                let (partition, id) = (entry.partition, entry.id);
                match frame_of(entry) {
                    Some(frame) => ring.push(frame),
                    // Poison is the processor's to report.
                    None => ring.skip(partition, id),
                }
            }
        }
        drop(slot);
        feed.changed.send_replace(());
    }

    /// Reads every partition.
    async fn read(
        &self,
        from: impl Fn(u16) -> Bound<EntryId>,
        limits: FollowLimits,
    ) -> Result<Vec<Followed>, StreamError> {
        let stream = &self.feed.stream;
        let reads = (0..stream.partitions()).map(|partition| {
            let from = from(partition);
            async move { follow(stream, partition, from, limits).await }
        });
        stream::iter(reads)
            .buffered(PARTITIONS_AT_ONCE)
            .try_collect()
            .await
    }
}

/// The frames of the kept window up to `end`.
pub(super) async fn look_back(stream: &Stream, end: &Place) -> Result<Seen, StreamError> {
    let mut seen = Seen::default();
    for partition in 0..stream.partitions() {
        let mut from = Bound::Unbounded;
        loop {
            let found = follow(stream, partition, from, READ).await?;
            let last = found.entries.last().map(|last| last.id);
            let frames = found.entries.into_iter().filter_map(frame_of);
            for frame in frames.filter(|frame| frame.entry <= end.entry(partition)) {
                seen.note(frame.header.id, frame.entry);
            }
            match last {
                Some(last) if found.may_be_more && last < end.entry(partition) => {
                    from = Bound::Excluded(last);
                }
                _ => break,
            }
        }
    }
    Ok(seen)
}

/// As [`Stream::follow`], for a bounded time.
pub(super) async fn follow(
    stream: &Stream,
    partition: u16,
    from: Bound<EntryId>,
    limits: FollowLimits,
) -> Result<Followed, StreamError> {
    let read = Box::pin(stream.follow(partition, from, limits));
    match tokio::time::timeout(READ_DEADLINE, read).await {
        Ok(found) => found,
        Err(_) => Err(StreamError::Unknown { source: None }),
    }
}

/// The frame of an entry; `None` for poison.
pub(super) fn frame_of(entry: Entry) -> Option<FrameItem> {
    FrameItem::new(entry.partition, entry.id, entry.frame?).ok()
}
