//! The deep check: compares receipts with the events themselves, by a full scan of both.
//!
//! Both are read in the order of frame ids and merged, so memory stays bounded whatever their
//! number. Only frames are looked at that nothing will be delivered of again.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bson::{Bson, Document, Timestamp, bson, doc, oid::ObjectId};
use evp_shared::frame::FrameId;
use evp_shared::store::{EVENTS, RECEIPTS};
use futures::TryStreamExt as _;
use mongodb::Cursor;
use mongodb::error::Error as MongoError;
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::{Collection, Database};

use crate::store::receipt::{first_of, parse};

/// Events by tenant and type.
pub type Counts = BTreeMap<(String, String), i64>;

/// A frame whose receipt does not say what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingFrame {
    /// Which frame.
    pub frame: FrameId,
    /// What its receipt says; `None` without a receipt.
    pub receipt: Option<Counts>,
    /// What is stored of it.
    pub stored: Counts,
}

/// What a deep check found.
#[derive(Debug, Default)]
pub struct Deep {
    /// Frames compared.
    pub frames: u64,
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
/// the events stored; where `mend`, the receipts are corrected or written.
///
/// A receipt that is written has no duplicates and no dead letters: what became of those is not
/// known any more, and no counter needs it.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn deep(
    database: &Database,
    before: &BTreeMap<u16, u64>,
    mend: bool,
) -> Result<Deep, MongoError> {
    let latest = before.values().copied().max().unwrap_or(0);
    let latest = first_of(u32::try_from(latest).unwrap_or(u32::MAX));
    let mut stored = stored_frames(database, latest).await?;
    let receipts = journaled(database, RECEIPTS);
    let mut receipted = receipts
        .find(doc! { "_id": { "$lt": latest } })
        .sort(doc! { "_id": 1 })
        .await?;
    let mut deep = Deep::default();
    let (mut left, mut right) = (stored.try_next().await?, receipted.try_next().await?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(deep),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(events), Some(receipt)) => frame_of(events).cmp(&frame_of(receipt)),
        };
        let (mut events, mut receipt) = (None, None);
        if order.is_le() {
            events = std::mem::replace(&mut left, stored.try_next().await?);
        }
        if order.is_ge() {
            receipt = std::mem::replace(&mut right, receipted.try_next().await?);
        }
        if let Some(differing) = judge(events.as_ref(), receipt.as_ref(), before, &mut deep) {
            deep.differing_frames += 1;
            if mend {
                deep.mended += mend_one(&receipts, &differing, receipt.as_ref()).await?;
            }
            if deep.differing.len() < SHOWN_MAX {
                deep.differing.push(differing);
            }
        }
    }
}

/// What is stored of each frame before `latest`, in the order of frame ids.
async fn stored_frames(
    database: &Database,
    latest: ObjectId,
) -> Result<Cursor<Document>, MongoError> {
    let pipeline = [
        doc! { "$match": { "f": { "$lt": latest } } },
        doc! { "$group": {
            "_id": { "f": "$f", "t": "$tenant", "e": "$eventType" },
            "n": { "$sum": 1_i64 },
        } },
        doc! { "$project": { "row": ["$_id.t", "$_id.e", "$n"] } },
        doc! { "$group": { "_id": "$_id.f", "n": { "$push": "$row" } } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let events = database.collection::<Document>(EVENTS);
    events.aggregate(pipeline).allow_disk_use(true).await
}

fn frame_of(document: &Document) -> Option<FrameId> {
    let id = document.get_object_id("_id").ok()?;
    Some(FrameId::from_bytes(id.bytes()))
}

/// Compares one frame, if it is old enough on its partition.
fn judge(
    events: Option<&Document>,
    receipt: Option<&Document>,
    before: &BTreeMap<u16, u64>,
    deep: &mut Deep,
) -> Option<DifferingFrame> {
    let frame = frame_of(events.or(receipt)?)?;
    let limit = before.get(&frame.producer().partition())?;
    if u64::from(frame.second()) >= *limit {
        return None;
    }
    deep.frames += 1;
    let stored = events.map(counts_of).unwrap_or_default();
    let receipt = receipt.map(|receipt| parse(receipt).map(|_| counts_of(receipt)));
    // A receipt that does not parse is as wrong as one can be.
    let receipt = receipt.map(Option::unwrap_or_default);
    (receipt.as_ref() != Some(&stored)).then_some(DifferingFrame {
        frame,
        receipt,
        stored,
    })
}

/// The rows `n` of a receipt, or of the stored events in the same form.
fn counts_of(document: &Document) -> Counts {
    let mut counts = Counts::new();
    for row in document.get_array("n").into_iter().flatten() {
        let row = row.as_array().map(Vec::as_slice).unwrap_or_default();
        if let [Bson::String(tenant), Bson::String(kind), Bson::Int64(count)] = row {
            *counts.entry((tenant.clone(), kind.clone())).or_default() += count;
        }
    }
    counts
}

async fn mend_one(
    receipts: &Collection<Document>,
    differing: &DifferingFrame,
    receipt: Option<&Document>,
) -> Result<u64, MongoError> {
    let stored = differing.stored.iter();
    let rows =
        stored.map(|((tenant, kind), count)| bson!([tenant.as_str(), kind.as_str(), *count]));
    let rows: Vec<Bson> = rows.collect();
    let id = ObjectId::from_bytes(differing.frame.bytes());
    // The server writes its own time there.
    let now = Bson::Timestamp(Timestamp {
        time: 0,
        increment: 0,
    });
    let Some(receipt) = receipt else {
        let partition = i32::from(differing.frame.producer().partition());
        let written = doc! {
            "_id": id, "p": partition, "at": now, "n": rows, "d": 0_i64, "x": 0_i64,
            "by": "verify",
        };
        receipts.insert_one(written).await?;
        return Ok(1);
    };
    let was = receipt.get("n").cloned().unwrap_or(Bson::Null);
    // Whoever corrected it since has seen what is stored as well.
    let unchanged = doc! { "_id": id, "n": &was };
    let correction = doc! {
        "$set": { "n": rows, "corrected.by": "verify", "corrected.was": was },
        "$currentDate": { "corrected.at": true },
    };
    let updated = receipts.update_one(unchanged, correction).await?;
    Ok(updated.modified_count)
}

fn journaled(database: &Database, name: &str) -> Collection<Document> {
    let concern = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    let options = CollectionOptions::builder().write_concern(concern).build();
    database.collection_with_options(name, options)
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::ProducerId;

    use super::*;

    fn document(frame: FrameId, rows: &[(&str, i64)]) -> Document {
        let rows: Vec<Bson> = rows
            .iter()
            .map(|(kind, count)| {
                Bson::from(vec![Bson::from("t"), Bson::from(*kind), Bson::from(*count)])
            })
            .collect();
        doc! {
            "_id": ObjectId::from_bytes(frame.bytes()), "p": 0, "n": rows, "d": 0_i64, "x": 0_i64,
            "at": Timestamp { time: 1, increment: 1 },
        }
    }

    #[test]
    fn a_frame_differs_when_receipt_and_events_do() {
        let frame = FrameId::new(100, ProducerId::new(0, 1), 1);
        let before = BTreeMap::from([(0, 200)]);
        let differs = |stored: Option<&Document>, receipt: Option<&Document>| {
            judge(stored, receipt, &before, &mut Deep::default()).is_some()
        };
        let two = document(frame, &[("a", 1), ("b", 1)]);
        let swapped = document(frame, &[("b", 1), ("a", 1)]);
        let one = document(frame, &[("a", 1)]);
        let none = document(frame, &[]);
        assert!(!differs(Some(&two), Some(&swapped)));
        assert!(differs(Some(&two), Some(&one)));
        assert!(differs(Some(&two), None));
        assert!(differs(None, Some(&one)));
        assert!(!differs(None, Some(&none)));
        let mut young = Deep::default();
        let still = BTreeMap::from([(0, 100)]);
        assert!(judge(Some(&two), None, &still, &mut young).is_none());
        assert_eq!(young.frames, 0);
    }
}
