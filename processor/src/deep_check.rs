//! The deep check that nobody has to ask for: a day after Redis began a new life, what that life
//! may lack is looked for in the events themselves.
//!
//! It finds what nothing else can: events that are stored, whose processor died before it wrote
//! the receipt, and whose entry Redis forgot, so that it never came again. It writes the receipts
//! that are missing, and counts them. It takes nothing away: where a receipt says more than is
//! stored, somebody has erased events, which is for an operator to judge (`verify --deep`).
//!
//! # Shape
//! One document of the collection `meta`: `{_id: "deep_check", done: <Unix second>, until:
//! <date>}`. All frames received before `done` that were to be looked at have been; until `until`
//! one processor is at it.

mod plan;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Document, doc};
use evp_shared::counters::CountRow;
use evp_shared::shutdown::Shutdown;
use evp_shared::store::META;
use evp_shared::stream::Settle;
use futures::TryStreamExt as _;
use mongodb::Collection;
use mongodb::options::ReturnDocument;
use tracing::{info, warn};

use crate::commit::commit_all;
use crate::context::Context;
use crate::insert::StoreFailure;
use crate::pipeline::BulkFailure;
use crate::receipt::{Receipt, first_of};
use crate::verify::deep::{counts_of, frame_of, stored_frames};
use crate::verify::{DAY, old_before};
pub use plan::Plan;

const ID: &str = "deep_check";

/// From the end of one look to the next: a look may be a scan of all events, and MongoDB has other
/// work.
const PAUSE: Duration = Duration::from_secs(600);

/// Longest scan. One that always takes longer is tried a few times, and `verify --deep` is left.
const SCAN_MAX: Duration = Duration::from_secs(3_600);

/// A processor that has been at it for longer is gone, or has failed.
const LEASE_MS: u64 = 4 * 3_600 * 1_000;

/// Frames whose receipts are looked up at once.
const PAGE: usize = 500;

/// Looks for one processor until the shutdown.
#[derive(Debug)]
pub struct DeepCheckLoop {
    /// What the loops share.
    pub context: Arc<Context>,
}

/// What was missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mended {
    receipts: usize,
    events: u64,
}

impl DeepCheckLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut done = 0;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = shutdown.triggered() => return Ok(()),
            }
            let looked = tokio::select! {
                looked = self.look(done) => looked,
                // The slice is not done, so another look begins it again.
                () = shutdown.triggered() => return Ok(()),
            };
            match looked {
                Ok(second) => done = second,
                Err(error) => warn!(%error, "deep check stopped, and is tried again"),
            }
        }
    }

    /// Looks at the next frames that are due, if any are. `done` is what the last look returned:
    /// the Unix second up to which all has been looked at.
    ///
    /// # Errors
    /// [`BulkFailure`]; repeating is harmless.
    pub async fn look(&self, done: u64) -> Result<u64, BulkFailure> {
        let context = &*self.context;
        let now_ms = context.clock.now_ms();
        let plan = context.lives.plan();
        if plan.due(done, now_ms / 1_000).is_none() {
            return Ok(done);
        }
        // Another processor may have been at it.
        let done = self.done().await?;
        let Some(slice) = plan.due(done, now_ms / 1_000) else {
            return Ok(done);
        };
        if !self.is_old(slice.end).await? || !self.take(now_ms).await? {
            return Ok(done);
        }
        // What fails is not given back: it may take long each time, and waits for the lease to end.
        let Mended { receipts, events } = mend(context, slice.clone()).await?;
        self.give_back(slice.end).await?;
        info!(receipts, events, "deep check: what was missing is written");
        context.metrics.reconciled.increment(events);
        Ok(slice.end)
    }

    /// Whether nothing received before `second` is still to be delivered on any partition.
    async fn is_old(&self, second: u64) -> Result<bool, BulkFailure> {
        for partition in 0..self.context.stream.partitions() {
            if old_before(&self.context, partition).await? < second {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn done(&self) -> Result<u64, StoreFailure> {
        let meta = self.meta();
        let read = async move {
            let first = doc! { "$setOnInsert": { "done": 0_i64 } };
            meta.find_one_and_update(doc! { "_id": ID }, first)
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await
        };
        let found = self.context.inserter.within(read).await??;
        let done = found.and_then(|found| found.get_i64("done").ok());
        Ok(done.and_then(|done| u64::try_from(done).ok()).unwrap_or(0))
    }

    /// Takes it on, unless another processor has.
    async fn take(&self, now_ms: u64) -> Result<bool, StoreFailure> {
        let free = doc! { "_id": ID, "$or": [
            { "until": { "$exists": false } },
            { "until": { "$lt": time(now_ms) } },
        ] };
        let until = time(now_ms + LEASE_MS);
        let taken = self.change(free, doc! { "$set": { "until": until } });
        taken.await
    }

    async fn give_back(&self, done: u64) -> Result<(), StoreFailure> {
        let done = i64::try_from(done).unwrap_or(i64::MAX);
        let free = doc! { "$max": { "done": done }, "$unset": { "until": "" } };
        self.change(doc! { "_id": ID }, free).await.map(drop)
    }

    async fn change(&self, what: Document, to: Document) -> Result<bool, StoreFailure> {
        let meta = self.meta();
        let change = async move { meta.update_one(what, to).await };
        let changed = self.context.inserter.within(change).await??;
        Ok(changed.matched_count > 0)
    }

    fn meta(&self) -> Collection<Document> {
        self.context.inserter.database().collection(META)
    }
}

/// Writes and counts the receipts that are missing of the frames received in the Unix seconds
/// `seconds`.
async fn mend(context: &Context, seconds: Range<u64>) -> Result<Mended, BulkFailure> {
    let first = |second: u64| first_of(u32::try_from(second).unwrap_or(u32::MAX));
    let frames = first(seconds.start)..first(seconds.end);
    let stored = stored_frames(context.inserter.database(), frames, Some(SCAN_MAX)).await;
    let stored = stored.map_err(StoreFailure::from)?;
    let mut pages = stored.map_err(StoreFailure::from).try_chunks(PAGE);
    let mut mended = Mended::default();
    while let Some(page) = pages.try_next().await.map_err(|error| error.1)? {
        let page = mend_page(context, &page).await?;
        mended.receipts += page.receipts;
        mended.events += page.events;
    }
    Ok(mended)
}

async fn mend_page(context: &Context, page: &[Document]) -> Result<Mended, BulkFailure> {
    let stored: Vec<Receipt> = page.iter().filter_map(receipt_of).collect();
    let frames: Vec<_> = stored.iter().map(|receipt| receipt.frame).collect();
    let found = context.inserter.find_receipts(&frames).await?;
    let is_missing = |receipt: &Receipt| !found.contains_key(&receipt.frame);
    let missing: Vec<Receipt> = stored.into_iter().filter(is_missing).collect();
    let receipts = missing.len();
    let now_ms = context.clock.now_ms();
    let written = context.inserter.write_receipts(missing, now_ms).await?;
    // One as young as this, of a frame so old, may be of a look that ended before it was counted.
    let is_young = |settle: &Settle| settle.receipt_at_ms + DAY * 1_000 > now_ms;
    let young = found.into_values().filter(is_young);
    let mut settles: BTreeMap<u16, Vec<Settle>> = BTreeMap::new();
    for settle in written.settles().iter().cloned().chain(young) {
        let partition = settle.frame.producer().partition();
        settles.entry(partition).or_default().push(settle);
    }
    let mut events = 0;
    for (partition, settles) in settles {
        // One that is configured no more has no counters either.
        if partition < context.stream.partitions() {
            let life = context.lives.known(partition);
            let done = commit_all(context, partition, life, (&[], &settles)).await?;
            events += done.counted;
        }
    }
    Ok(Mended { receipts, events })
}

/// The receipt that is owed for what is stored of a frame. What became of duplicates and dead
/// letters is not known any more, and no counter needs it.
fn receipt_of(stored: &Document) -> Option<Receipt> {
    let counts = counts_of(stored).into_iter();
    let row = |((tenant, event_type), count): ((String, String), i64)| CountRow {
        tenant: tenant.into(),
        event_type: event_type.into(),
        count: u32::try_from(count).unwrap_or(u32::MAX),
    };
    Some(Receipt {
        frame: frame_of(stored)?,
        counts: counts.map(row).collect(),
        duplicates: 0,
        dead_letters: 0,
    })
}

fn time(ms: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}
