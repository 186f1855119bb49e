//! The live feed: one reader of the streams for everybody who watches.
//!
//! While somebody watches, the [`reader`] follows the streams over the kept window, as no member of
//! the consumer group, and puts what comes into the [`ring`]. Each [`subscriber`] looks there for
//! what it [`wanted`], and holds nothing but its [`place`]: so a client that stands still costs its
//! connection and no more. Nothing is read while nobody watches.

pub mod item;
pub mod minute;
pub mod place;
pub mod reader;
pub mod ring;
pub mod seen;
pub mod subscriber;
pub mod wanted;

use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{Stream, StreamError};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, watch};

use self::minute::Minute;
use self::ring::Ring;
use self::subscriber::Subscriber;
use self::wanted::Wanted;
use crate::error::QueryError;
use crate::metrics::FeedMetrics;
use crate::slots::{Slot, Slots};

/// Longest a first client waits for the reader to find its place.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Clients that read the kept window at the same time; more wait.
const CATCHING_UP: usize = 8;

/// The live feed.
#[derive(Debug)]
pub struct Feed {
    stream: Stream,
    clock: Clock,
    shutdown: Shutdown,
    buffer_bytes: usize,
    /// The ring; `None` while nobody reads.
    ring: Mutex<Option<Ring>>,
    /// Changes when the ring has.
    changed: watch::Sender<()>,
    /// How many clients there are.
    crowd: watch::Sender<usize>,
    minute: watch::Sender<Option<Arc<Minute>>>,
    places: Slots,
    catching_up: Semaphore,
    users: RandomState,
    metrics: FeedMetrics,
}

impl Feed {
    /// The feed of `stream`, which ends with `shutdown`, for as many clients as there are `places`, over
    /// a ring of `buffer_bytes`.
    pub fn new(
        stream: Stream,
        clock: Clock,
        shutdown: Shutdown,
        places: Slots,
        buffer_bytes: usize,
    ) -> Self {
        Self {
            stream,
            clock,
            shutdown,
            buffer_bytes,
            ring: Mutex::new(None),
            changed: watch::Sender::new(()),
            crowd: watch::Sender::new(0),
            minute: watch::Sender::new(None),
            places,
            catching_up: Semaphore::new(CATCHING_UP),
            users: RandomState::new(),
            metrics: FeedMetrics::resolve(),
        }
    }

    /// Lets a client in, which goes on after `last_event_id`, or begins with what comes next.
    ///
    /// # Errors
    /// [`QueryError::Busy`] when there are too many, [`QueryError::TenantBusy`] of one tenant, [`QueryError::Counters`] when Redis does not
    /// answer.
    pub async fn subscribe(
        self: &Arc<Self>,
        wanted: Wanted,
        last_event_id: Option<&str>,
    ) -> Result<Subscriber, QueryError> {
        let slot = self.places.try_take(&wanted.tenant)?;
        let mut changed = self.changed.subscribe();
        let presence = Presence::new(Arc::clone(self), slot);
        let ready = async {
            while self.ring().is_none() {
                // Fails only when the feed is gone, which this holds.
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(READY_WITHIN, ready).await.is_err() {
            return Err(QueryError::Counters { source: None });
        }
        if last_event_id.is_some() {
            self.look_back().await?;
        }
        Ok(Subscriber::new(presence, wanted, last_event_id))
    }

    /// Learns the frames of the kept window, once for all who come back: what one of them was shown
    /// before it left may have been appended again since.
    async fn look_back(&self) -> Result<(), StreamError> {
        let known = |ring: &Ring| (Arc::clone(&ring.looked_back), ring.end.clone());
        let Some((looked_back, end)) = self.ring().as_ref().map(known) else {
            return Ok(());
        };
        let look = async {
            let older = reader::look_back(&self.stream, &end).await?;
            if let Some(ring) = self.ring().as_mut()
                && Arc::ptr_eq(&ring.looked_back, &looked_back)
            {
                ring.seen.prepend(older);
            }
            Ok(())
        };
        looked_back.get_or_try_init(|| look).await.copied()
    }

    /// The ring; never held across an await.
    fn ring(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock()
    }
}

/// A client that is there.
#[derive(Debug)]
struct Presence {
    feed: Arc<Feed>,
    _slot: Slot,
}

impl Presence {
    fn new(feed: Arc<Feed>, slot: Slot) -> Self {
        feed.crowd.send_modify(|clients| *clients += 1);
        feed.metrics.subscribers.increment(1.0);
        Self { feed, _slot: slot }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.feed.crowd.send_modify(|clients| *clients -= 1);
        self.feed.metrics.subscribers.decrement(1.0);
    }
}
