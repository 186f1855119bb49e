//! Which life each partition is known to live, and which cuts are still to be reconciled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use evp_shared::stream::{EntryId, Life, Made, Stream, StreamError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

/// What this processor knows of the partitions' lives.
#[derive(Debug)]
pub struct Lives {
    stream: Stream,
    known: Box<[AtomicU64]>,
    cuts: Mutex<BTreeMap<u16, EntryId>>,
    news: Notify,
    lost_events: AtomicU64,
}

impl Lives {
    /// Knows nothing yet.
    pub fn new(stream: Stream) -> Self {
        Self {
            known: (0..stream.partitions()).map(|_| 0.into()).collect(),
            stream,
            cuts: Mutex::default(),
            news: Notify::new(),
            lost_events: 0.into(),
        }
    }

    /// The life `partition` is known to live. What is read afterwards is committed with this.
    pub fn known(&self, partition: u16) -> Life {
        let known = self.known.get(usize::from(partition));
        Life(known.map_or(0, |known| known.load(Ordering::SeqCst)))
    }

    /// Says hello to `partition`, and notes the cut of every life that was not known.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn greet(&self, partition: u16) -> Result<(), StreamError> {
        let known = self.known(partition);
        let hello = self.stream.hello(partition, known, None).await?;
        if let Some(cut) = hello.cut_since(known) {
            info!(partition, life = hello.life.0, %cut, "redis lives a life not known before");
            let mut cuts = self.cuts.lock();
            let lowest = cuts.entry(partition).or_insert(cut);
            *lowest = cut.min(*lowest);
            self.news.notify_one();
        }
        let (made, lost_events) = (hello.made, hello.lost_events);
        if made != Made::Nothing && (known != Life::UNKNOWN || lost_events != 0) {
            warn!(partition, ?made, lost_events, "stream or group was missing");
        }
        // Hello reports a loss once, so it is counted before anything else can fail.
        let lost = u64::try_from(lost_events).unwrap_or(0);
        self.lost_events.fetch_add(lost, Ordering::SeqCst);
        if let Some(slot) = self.known.get(usize::from(partition)) {
            slot.fetch_max(hello.life.0, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Events of backlogs that hello found missing since the last call.
    pub fn take_lost_events(&self) -> u64 {
        self.lost_events.swap(0, Ordering::SeqCst)
    }

    /// Says hello to every partition.
    ///
    /// # Errors
    /// The first [`StreamError`].
    pub async fn greet_all(&self) -> Result<(), StreamError> {
        for partition in 0..self.stream.partitions() {
            self.greet(partition).await?;
        }
        Ok(())
    }

    /// Waits for cuts to reconcile from, and takes them.
    ///
    /// # Cancel safety
    /// Safe: cuts are taken after the last await.
    pub async fn cuts(&self) -> BTreeMap<u16, EntryId> {
        self.news.notified().await;
        std::mem::take(&mut *self.cuts.lock())
    }
}
