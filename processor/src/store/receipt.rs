//! Receipts: what each frame added, written once for ever.
//!
//! # Shape
//! Collection `receipts`: `{_id: <frame id>, p: <partition>, at: <server's time of writing>,
//! n: [[tenant, type, count], ...], d: <duplicates>, x: <dead letters>, e: <expired events>,
//! o: <lowest time among the dated ids that n counts, where there is one>}`.

use std::collections::HashMap;
use std::ops::Range;

use bson::raw::cstr;
use bson::{
    Bson, DateTime, Document, RawArrayBuf, RawDocumentBuf, Timestamp, doc, oid::ObjectId, rawbson,
    rawdoc,
};
use evp_shared::counters::CountRow;
use evp_shared::frame::FrameId;
use evp_shared::store::RECEIPTS;
use evp_shared::stream::Settle;
use futures::TryStreamExt as _;

use crate::store::insert::{Inserter, StoreFailure};
use crate::written::Written;

/// A receipt that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose it is.
    pub frame: FrameId,
    /// New events per tenant and type.
    pub counts: Vec<CountRow>,
    /// Duplicates in it.
    pub duplicates: u32,
    /// Dead letters in it.
    pub dead_letters: u32,
    /// Expired events in it.
    pub expired: u32,
    /// The lowest time among the dated ids it counts, Unix ms: what it says of them cannot be seen
    /// in the events any more when the spans of that time are gone.
    pub oldest_ms: Option<u64>,
}

fn to_bson(receipt: &Receipt) -> RawDocumentBuf {
    let row = |row: &CountRow| rawbson!([&*row.tenant, &*row.event_type, i64::from(row.count)]);
    let counts: RawArrayBuf = receipt.counts.iter().map(row).collect();
    let mut document = rawdoc! {
        "_id": ObjectId::from_bytes(receipt.frame.bytes()),
        "p": i32::from(receipt.frame.producer().partition()),
        // The server writes its own time where it finds an empty timestamp.
        "at": Timestamp { time: 0, increment: 0 },
        "n": counts,
        "d": i64::from(receipt.duplicates),
        "x": i64::from(receipt.dead_letters),
        "e": i64::from(receipt.expired),
    };
    let oldest_ms = receipt.oldest_ms.and_then(|ms| i64::try_from(ms).ok());
    if let Some(oldest_ms) = oldest_ms {
        document.append(cstr!("o"), DateTime::from_millis(oldest_ms));
    }
    document
}

/// Parses a stored receipt; `None` when it is none.
pub fn parse(document: &Document) -> Option<Settle> {
    let at = document.get_timestamp("at").ok()?;
    let number = |name: &str| u32::try_from(document.get_i64(name).ok()?).ok();
    let rows = document.get_array("n").ok()?.iter();
    Some(Settle {
        frame: FrameId::from_bytes(document.get_object_id("_id").ok()?.bytes()),
        receipt_at_ms: u64::from(at.time) * 1_000,
        counts: rows.map(parse_row).collect::<Option<_>>()?,
        duplicates: number("d")?,
        dead_letters: number("x")?,
        expired: number("e").unwrap_or(0),
    })
}

fn parse_row(row: &Bson) -> Option<CountRow> {
    let [tenant, event_type, count] = row.as_array()?.as_slice() else {
        return None;
    };
    Some(CountRow {
        tenant: tenant.as_str()?.into(),
        event_type: event_type.as_str()?.into(),
        count: u32::try_from(count.as_i64()?).ok()?,
    })
}

/// A receipt that is written: commit takes nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenReceipt(Settle);

impl WrittenReceipt {
    /// What it settles.
    pub fn into_settle(self) -> Settle {
        self.0
    }

    /// What the insert of `receipt` at `now_ms` leaves; `found` are those that were there already.
    fn after(
        written: Written,
        receipt: Receipt,
        now_ms: u64,
        found: &HashMap<FrameId, Self>,
    ) -> Result<Self, StoreFailure> {
        match written {
            Written::Inserted => Ok(Self(Settle {
                frame: receipt.frame,
                receipt_at_ms: now_ms,
                counts: receipt.counts,
                duplicates: receipt.duplicates,
                dead_letters: receipt.dead_letters,
                expired: receipt.expired,
            })),
            // It was there a moment ago, and receipts are kept: not found is no answer.
            Written::DuplicateKey => {
                let earlier = found.get(&receipt.frame).cloned();
                earlier.ok_or(StoreFailure::Protocol)
            }
            Written::Refused { code, message } => Err(StoreFailure::Systemic { code, message }),
            Written::Expired => Err(StoreFailure::Protocol),
        }
    }
}

impl Inserter {
    /// Writes `receipts` and returns them in their order; the first writer wins, so where one exists
    /// already it is the frame's. `now_ms` is the time of writing as far as this processor knows.
    ///
    /// # Errors
    /// [`StoreFailure`]; repeating is harmless.
    pub async fn write_receipts(
        &self,
        receipts: Vec<Receipt>,
        now_ms: u64,
    ) -> Result<Vec<WrittenReceipt>, StoreFailure> {
        let documents: Vec<RawDocumentBuf> = receipts.iter().map(to_bson).collect();
        let slices: Vec<&[u8]> = documents.iter().map(|one| one.as_bytes()).collect();
        let written = self.insert(RECEIPTS, &slices).await?;
        let both = receipts.iter().zip(&written);
        let earlier = both.filter(|(_, written)| **written == Written::DuplicateKey);
        let frames: Vec<FrameId> = earlier.map(|(receipt, _)| receipt.frame).collect();
        let found = self.find_receipts(&frames).await?;
        let each = written.into_iter().zip(receipts);
        each.map(|(written, receipt)| WrittenReceipt::after(written, receipt, now_ms, &found))
            .collect()
    }

    /// The receipts of `frames` that exist, read with majority read concern.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn find_receipts(
        &self,
        frames: &[FrameId],
    ) -> Result<HashMap<FrameId, WrittenReceipt>, StoreFailure> {
        if frames.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = frames.iter().map(|id| ObjectId::from_bytes(id.bytes()));
        let filter = doc! { "_id": { "$in": ids.collect::<Vec<_>>() } };
        let found = self.query_receipts(filter).await?.into_iter();
        Ok(found.map(|receipt| (receipt.0.frame, receipt)).collect())
    }

    /// The receipts of `partition` whose frames were received in the Unix seconds `seconds`.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn receipts_of_seconds(
        &self,
        partition: u16,
        seconds: Range<u32>,
    ) -> Result<Vec<WrittenReceipt>, StoreFailure> {
        self.query_receipts(received_in(partition, seconds)).await
    }

    async fn query_receipts(&self, filter: Document) -> Result<Vec<WrittenReceipt>, StoreFailure> {
        let receipts = self.database().collection::<Document>(RECEIPTS);
        let query = async move { receipts.find(filter).await?.try_collect::<Vec<_>>().await };
        let found = self.within(query).await??;
        let receipts = found
            .iter()
            .map(|document| parse(document).map(WrittenReceipt));
        receipts
            .collect::<Option<_>>()
            .ok_or(StoreFailure::Protocol)
    }
}

/// Which receipts are those of frames of `partition` received in the Unix seconds `seconds`.
pub(super) fn received_in(partition: u16, seconds: Range<u32>) -> Document {
    doc! {
        "_id": { "$gte": first_of(seconds.start), "$lt": first_of(seconds.end) },
        "p": i32::from(partition),
    }
}

/// The lowest frame id of a second.
pub fn first_of(second: u32) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&second.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::ProducerId;

    use super::*;

    #[test]
    fn a_frame_that_comes_twice_is_settled_twice_by_its_one_receipt() {
        let frame = |number| FrameId::new(1_700_000_000, ProducerId::new(3, 5), number);
        let receipt = |frame| Receipt {
            frame,
            counts: Vec::new(),
            duplicates: 0,
            dead_letters: 0,
            expired: 0,
            oldest_ms: None,
        };
        let none = HashMap::new();
        let first = WrittenReceipt::after(Written::Inserted, receipt(frame(1)), 5_000, &none);
        let first = first.unwrap();
        assert_eq!(first.0.receipt_at_ms, 5_000);
        let found = HashMap::from([(frame(1), first.clone())]);
        let again =
            |frame| WrittenReceipt::after(Written::DuplicateKey, receipt(frame), 6_000, &found);
        let both = [frame(1), frame(1)].map(|one| again(one).unwrap());
        assert_eq!(both, [first.clone(), first]);
        let missing = again(frame(2));
        assert!(matches!(missing, Err(StoreFailure::Protocol)));
    }

    #[test]
    fn a_receipt_reads_back_as_what_it_settles() {
        let receipt = Receipt {
            frame: FrameId::new(1_700_000_000, ProducerId::new(3, 5), 9),
            counts: vec![CountRow {
                tenant: "default".into(),
                event_type: "click".into(),
                count: 7,
            }],
            duplicates: 2,
            dead_letters: 1,
            expired: 3,
            oldest_ms: Some(4_000),
        };
        let mut document = Document::try_from(to_bson(&receipt)).unwrap();
        document.insert(
            "at",
            Timestamp {
                time: 5,
                increment: 1,
            },
        );
        assert_eq!(document.get_i32("p").unwrap(), 3);
        let oldest = document.get_datetime("o").unwrap();
        assert_eq!(oldest.timestamp_millis(), 4_000);
        let written = WrittenReceipt::after(Written::Inserted, receipt, 5_000, &HashMap::new());
        assert_eq!(parse(&document).unwrap(), written.unwrap().0);
        assert!(parse(&doc! { "_id": 1 }).is_none());
    }
}
