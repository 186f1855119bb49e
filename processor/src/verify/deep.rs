//! The deep check: compares receipts with the events themselves, by a full scan of both.
//!
//! Both are read in the order of frame ids and merged, so memory stays bounded whatever their
//! number. Only frames are looked at that nothing will be delivered of again, and of which nothing
//! lay in a span that was dropped: a receipt says by `o` how far back its frame reaches. It runs
//! under the lease, so that no span is dropped meanwhile, and nobody erases.

mod mend;
mod stored;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use evp_shared::frame::FrameId;
use evp_shared::store::{Marks, RECEIPTS, durable, spans};
use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::error::Error as MongoError;

use self::mend::mend;
use self::stored::{Stored, StoredFrames};
use crate::store::receipt::{first_of, parse};

/// Events by tenant and type.
pub type Counts = BTreeMap<(String, String), i64>;

/// A frame whose receipt does not say what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingFrame {
    /// Which frame.
    pub frame: FrameId,
    /// What its receipt says was counted; `None` without a receipt.
    pub receipt: Option<Counts>,
    /// What is stored of it.
    pub stored: Counts,
    /// What its receipt says was erased of it.
    pub erased: Counts,
    /// Unix ms at which the oldest dated span begins that holds some of it.
    pub lowest_ms: Option<u64>,
}

/// What a deep check found.
#[derive(Debug, Default)]
pub struct Deep {
    /// Frames compared.
    pub frames: u64,
    /// Frames not compared, because some of their events have ended with their span.
    pub ended_frames: u64,
    /// Those that differ, at most [`SHOWN_MAX`] of them.
    pub differing: Vec<DifferingFrame>,
    /// How many differ.
    pub differing_frames: u64,
    /// Receipts corrected or written.
    pub mended: u64,
}

/// Differing frames that are kept to be shown.
pub const SHOWN_MAX: usize = 1_000;

/// Compares the receipts of all frames received before the Unix second `before[partition]` with
/// the events stored; where `mends`, the receipts are corrected or written. To be called under the
/// lease.
///
/// A receipt that is written has no duplicates, no dead letters and no expired events: what became
/// of those is not known any more, and no counter needs it.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn deep(
    database: &Database,
    before: &BTreeMap<u16, u64>,
    mends: bool,
) -> Result<Deep, MongoError> {
    let latest = before.values().copied().max().unwrap_or(0);
    let latest = first_of(u32::try_from(latest).unwrap_or(u32::MAX));
    let mut stored = StoredFrames::group(database, latest).await?;
    let receipts = durable(database, RECEIPTS);
    let mut receipted = receipts
        .find(doc! { "_id": { "$lt": latest } })
        .sort(doc! { "_id": 1 })
        .await?;
    let scope = Scope {
        before,
        // After the spans were read: what was dropped before that lies below it.
        marks: spans::marks(database).await?,
    };
    let mut deep = Deep::default();
    let (mut left, mut right) = (stored.next().await?, receipted.try_next().await?);
    loop {
        let order = match (&left, &right) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(events), Some(receipt)) => Some(events.frame).cmp(&frame_of(receipt)),
        };
        let (mut events, mut receipt) = (None, None);
        if order.is_le() {
            events = std::mem::replace(&mut left, stored.next().await?);
        }
        if order.is_ge() {
            receipt = std::mem::replace(&mut right, receipted.try_next().await?);
        }
        let Some(differing) = scope.judge(events, receipt.as_ref(), &mut deep) else {
            continue;
        };
        if mends {
            // A write, so that it is not answered by one who does not know that he was deposed.
            let marks = spans::raise_marks(database, Marks::default()).await?;
            if has_ended(receipt.as_ref(), marks) {
                deep.ended_frames += 1;
                continue;
            }
            deep.mended += mend(&receipts, &differing, receipt.as_ref()).await?;
        }
        deep.differing_frames += 1;
        if deep.differing.len() < SHOWN_MAX {
            deep.differing.push(differing);
        }
    }
    stored::forget(database).await?;
    Ok(deep)
}

fn frame_of(receipt: &Document) -> Option<FrameId> {
    let id = receipt.get_object_id("_id").ok()?;
    Some(FrameId::from_bytes(id.bytes()))
}

/// Whether some of what `receipt` counts has ended with its span, or may end any moment.
fn has_ended(receipt: Option<&Document>, marks: Marks) -> bool {
    let lowest = receipt.and_then(|receipt| receipt.get_datetime("o").ok());
    let lowest = lowest.map(|at| u64::try_from(at.timestamp_millis()).unwrap_or(0));
    lowest.is_some_and(|lowest| lowest < marks.gone_ms)
}

/// Which frames are compared.
#[derive(Debug)]
struct Scope<'b> {
    before: &'b BTreeMap<u16, u64>,
    marks: Marks,
}

impl Scope<'_> {
    /// Compares one frame, if it is old enough on its partition and all of it must be there.
    fn judge(
        &self,
        events: Option<Stored>,
        receipt: Option<&Document>,
        deep: &mut Deep,
    ) -> Option<DifferingFrame> {
        let events_frame = events.as_ref().map(|events| events.frame);
        let frame = events_frame.or_else(|| frame_of(receipt?))?;
        let limit = self.before.get(&frame.producer().partition())?;
        if u64::from(frame.second()) >= *limit {
            return None;
        }
        if has_ended(receipt, self.marks) {
            deep.ended_frames += 1;
            return None;
        }
        deep.frames += 1;
        let lowest_ms = events.as_ref().and_then(|events| events.lowest_ms);
        let stored = events.map(|events| events.counts).unwrap_or_default();
        let erased = receipt.map(|receipt| counts_of(receipt, "g"));
        let erased = erased.unwrap_or_default();
        let receipt = receipt.map(|receipt| parse(receipt).map(|_| counts_of(receipt, "n")));
        // A receipt that does not parse is as wrong as one can be.
        let receipt = receipt.map(Option::unwrap_or_default);
        let mut counted = stored.clone();
        for (kind, count) in &erased {
            *counted.entry(kind.clone()).or_default() += count;
        }
        (receipt.as_ref() != Some(&counted)).then_some(DifferingFrame {
            frame,
            receipt,
            stored,
            erased,
            lowest_ms,
        })
    }
}

/// The rows `field` of a receipt, or of what is stored in the same form.
fn counts_of(document: &Document, field: &str) -> Counts {
    let mut counts = Counts::new();
    for row in document.get_array(field).into_iter().flatten() {
        let row = row.as_array().map(Vec::as_slice).unwrap_or_default();
        if let [Bson::String(tenant), Bson::String(kind), Bson::Int64(count)] = row {
            *counts.entry((tenant.clone(), kind.clone())).or_default() += count;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use bson::{DateTime, Timestamp, bson};
    use evp_shared::frame::ProducerId;

    use super::*;

    fn stored(frame: FrameId, rows: &[(&str, i64)]) -> Stored {
        let count = |(kind, count): &(&str, i64)| (("t".to_owned(), (*kind).to_owned()), *count);
        Stored {
            frame,
            counts: rows.iter().map(count).collect(),
            lowest_ms: None,
        }
    }

    fn receipt(frame: FrameId, rows: &[(&str, i64)]) -> Document {
        doc! {
            "_id": ObjectId::from_bytes(frame.bytes()), "p": 0, "n": bson_rows(rows),
            "d": 0_i64, "x": 0_i64, "e": 0_i64, "at": Timestamp { time: 1, increment: 1 },
        }
    }

    fn bson_rows(rows: &[(&str, i64)]) -> Vec<Bson> {
        let row = |(kind, count): &(&str, i64)| bson!(["t", *kind, *count]);
        rows.iter().map(row).collect()
    }

    #[test]
    fn a_frame_differs_when_receipt_and_events_do() {
        let frame = FrameId::new(100, ProducerId::new(0, 1), 1);
        let before = BTreeMap::from([(0, 200)]);
        let scope = Scope {
            before: &before,
            marks: Marks {
                floor_ms: 0,
                gone_ms: 50,
            },
        };
        let differs = |events: Option<&Stored>, receipt: Option<&Document>| {
            let judged = scope.judge(events.cloned(), receipt, &mut Deep::default());
            judged.is_some()
        };
        let two = stored(frame, &[("a", 1), ("b", 1)]);
        let swapped = receipt(frame, &[("b", 1), ("a", 1)]);
        let one = receipt(frame, &[("a", 1)]);
        let none = receipt(frame, &[]);
        assert!(!differs(Some(&two), Some(&swapped)));
        assert!(differs(Some(&two), Some(&one)));
        assert!(differs(Some(&two), None));
        assert!(differs(None, Some(&one)));
        assert!(!differs(None, Some(&none)));

        let mut erased = one.clone();
        erased.insert("g", bson_rows(&[("a", 1)]));
        assert!(!differs(None, Some(&erased)));
        assert!(differs(Some(&two), Some(&erased)));

        let mut ended = one.clone();
        ended.insert("o", DateTime::from_millis(49));
        assert!(!differs(None, Some(&ended)));
        ended.insert("o", DateTime::from_millis(50));
        assert!(differs(None, Some(&ended)));

        let still = BTreeMap::from([(0, 100)]);
        let scope = Scope {
            before: &still,
            ..scope
        };
        let mut young = Deep::default();
        assert!(scope.judge(Some(two), None, &mut young).is_none());
        assert_eq!(young.frames, 0);
    }
}
