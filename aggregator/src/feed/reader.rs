//! The one reader of the streams. It reads while somebody watches, and forgets all when nobody
//! does.

use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{Entry, EntryId, FollowLimits, Followed, Stream, StreamError};
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

/// Reads for `feed` until the shutdown.
///
/// # Errors
/// None: what fails is tried again.
pub async fn run(feed: Arc<Feed>, shutdown: Shutdown) -> Result<(), Infallible> {
    let mut crowd = feed.crowd.subscribe();
    loop {
        rest_if_alone(&feed);
        let somebody = crowd.wait_for(|clients| *clients > 0);
        tokio::select! {
            () = shutdown.triggered() => return Ok(()),
            _ = somebody => {}
        }
        let pause = Box::pin(round(&feed)).await.unwrap_or_else(|error| {
            // The probe reports a Redis that is away, once.
            tracing::debug!(error = &error as &dyn std::error::Error, "feed not read");
            POLL_DURING_OUTAGE
        });
        tokio::time::sleep(pause).await;
    }
}

/// Gives up the ring when nobody watches.
fn rest_if_alone(feed: &Feed) {
    let mut slot = feed.ring();
    // Looked at while the ring is held: whoever comes after that finds it gone, and waits.
    if *feed.crowd.borrow() == 0 {
        *slot = None;
    }
}

/// Begins a ring after what is there, or puts what has come since into it and wakes the clients;
/// and says how long to wait before the next round.
async fn round(feed: &Feed) -> Result<Duration, StreamError> {
    let place = feed.ring().as_ref().map(|ring| ring.end.clone());
    let found = read(feed, place.as_ref()).await?;
    let lives: Vec<_> = found.iter().map(|found| found.life).collect();
    let after = Place::new(&lives, found.iter().map(|found| found.last).collect());
    let is_more = place.is_none() || found.iter().any(|found| found.may_be_more);
    let pause = if is_more { Duration::ZERO } else { POLL };
    let mut slot = feed.ring();
    match (place, slot.as_mut()) {
        (None, _) => *slot = Some(Ring::new(feed.buffer_bytes, after)),
        (Some(place), Some(ring)) => {
            let mut each = (0..).zip(&found);
            if after.lives != place.lives || each.any(|(of, found)| found.is_torn(place.from(of))) {
                ring.tear(after);
            } else if found.iter().all(|found| found.entries.is_empty()) {
                return Ok(pause);
            } else {
                let entries = found.into_iter().flat_map(|found| found.entries);
                entries.for_each(|entry| add(ring, entry));
            }
        }
        (Some(_), None) => return Ok(pause),
    }
    drop(slot);
    feed.changed.send_replace(());
    Ok(pause)
}

fn add(ring: &mut Ring, entry: Entry) {
    let (partition, id) = (entry.partition, entry.id);
    match frame_of(entry) {
        Some(frame) => ring.push(frame),
        // Poison is the processor's to report.
        None => ring.skip(partition, id),
    }
}

/// Reads every partition on from `place`, or only where the streams are.
async fn read(feed: &Feed, place: Option<&Place>) -> Result<Vec<Followed>, StreamError> {
    let reads = (0..feed.stream.partitions()).map(|partition| match place {
        Some(place) => follow(&feed.stream, partition, place.from(partition), READ),
        None => follow(&feed.stream, partition, Bound::Unbounded, READ_NOTHING),
    });
    stream::iter(reads)
        .buffered(PARTITIONS_AT_ONCE)
        .try_collect()
        .await
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
