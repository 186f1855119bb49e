//! What is stored of each frame, over all spans.
//!
//! Each span is grouped by frame into one scratch collection, a document per frame and span, which
//! is then read in the order of frame ids: so memory stays bounded, nothing is summed up by updates,
//! and a span that failed midway can be grouped again.
//!
//! # Shape
//! Collection `verify_deep`: `{_id: {f: <frame id>, s: <number of the span>}, n: [[tenant, type,
//! count], ...]}`. About as large as the receipts.

use bson::{Document, doc, oid::ObjectId};
use evp_shared::event::span::Span;
use evp_shared::frame::FrameId;
use evp_shared::store::spans;
use futures::TryStreamExt as _;
use mongodb::error::Error as MongoError;
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Cursor, Database};

use super::{Counts, counts_of};

/// The scratch collection. No name of a span, and nobody's between two runs.
const SCRATCH: &str = "verify_deep";

/// What is stored of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// Which frame.
    pub(super) frame: FrameId,
    /// Its events.
    pub(super) counts: Counts,
    /// Unix ms at which the oldest dated span begins that holds one of them.
    pub(super) lowest_ms: Option<u64>,
}

/// The frames of which something is stored, in the order of their ids.
#[derive(Debug)]
pub(super) struct StoredFrames {
    spans: Vec<Span>,
    found: Cursor<Document>,
    /// A part of the frame that comes next.
    next: Option<Stored>,
}

impl StoredFrames {
    /// Groups what is stored of the frames before `latest`.
    pub(super) async fn group(database: &Database, latest: ObjectId) -> Result<Self, MongoError> {
        forget(database).await?;
        let mut rows = spans::rows(database, std::time::Duration::ZERO).await?;
        // What is about to be dropped: of a frame that came too late for it, some may be there all the
        // same, and expired in its receipt.
        let marks = spans::marks(database).await?;
        rows.retain(|row| !marks.is_gone(&row.span));
        for (number, row) in (0_i32..).zip(&rows) {
            group_span(database, &row.name(), number, latest).await?;
        }
        let scratch = database.collection::<Document>(SCRATCH);
        let in_order = scratch.find(doc! {}).sort(doc! { "_id": 1 });
        let mut frames = Self {
            spans: rows.into_iter().map(|row| row.span).collect(),
            found: in_order.await?,
            next: None,
        };
        frames.next = frames.part().await?;
        Ok(frames)
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Result<Option<Stored>, MongoError> {
        let Some(mut stored) = self.next.take() else {
            return Ok(None);
        };
        while let Some(part) = self.part().await? {
            if part.frame != stored.frame {
                self.next = Some(part);
                break;
            }
            for (kind, count) in part.counts {
                *stored.counts.entry(kind).or_default() += count;
            }
            let lowest = stored.lowest_ms.into_iter().chain(part.lowest_ms).min();
            stored.lowest_ms = lowest;
        }
        Ok(Some(stored))
    }

    /// What one span holds of a frame.
    async fn part(&mut self) -> Result<Option<Stored>, MongoError> {
        while let Some(document) = self.found.try_next().await? {
            let part = self.parse(&document);
            if part.is_some() {
                return Ok(part);
            }
        }
        Ok(None)
    }

    fn parse(&self, document: &Document) -> Option<Stored> {
        let id = document.get_document("_id").ok()?;
        let number = usize::try_from(id.get_i32("s").ok()?).ok()?;
        let range = self.spans.get(number)?.range_ms();
        Some(Stored {
            frame: FrameId::from_bytes(id.get_object_id("f").ok()?.bytes()),
            counts: counts_of(document, "n"),
            lowest_ms: range.map(|range| range.start),
        })
    }
}

async fn group_span(
    database: &Database,
    name: &str,
    number: i32,
    latest: ObjectId,
) -> Result<(), MongoError> {
    let pipeline = [
        doc! { "$match": { "f": { "$lt": latest } } },
        doc! { "$group": {
            "_id": { "f": "$f", "t": "$tenant", "e": "$eventType" },
            "n": { "$sum": 1_i64 },
        } },
        doc! { "$project": { "row": ["$_id.t", "$_id.e", "$n"] } },
        doc! { "$group": { "_id": "$_id.f", "n": { "$push": "$row" } } },
        doc! { "$project": { "_id": { "f": "$_id", "s": { "$literal": number } }, "n": 1 } },
        doc! { "$merge": { "into": SCRATCH, "whenMatched": "replace" } },
    ];
    let span = database.collection::<Document>(name);
    let grouped = span.aggregate(pipeline).allow_disk_use(true);
    // What is lost of it by a crash is lost with the run.
    let grouped = grouped
        .write_concern(WriteConcern::from(Acknowledgment::Nodes(1)))
        .await?;
    grouped.try_collect::<Vec<_>>().await.map(drop)
}

/// Drops what this or an earlier run left.
pub(super) async fn forget(database: &Database) -> Result<(), MongoError> {
    database.collection::<Document>(SCRATCH).drop().await
}
