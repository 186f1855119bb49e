//! Receipts: what each frame added, written once for ever.
//!
//! # Shape
//! Collection `receipts`: `{_id: <frame id>, p: <partition>, at: <server's time of writing>,
//! n: [[tenant, type, count], ...], d: <duplicates>, x: <dead letters>}`.

use std::collections::HashMap;

use bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, Timestamp, doc, oid::ObjectId};
use evp_shared::counters::CountRow;
use evp_shared::frame::FrameId;
use evp_shared::store::RECEIPTS;
use evp_shared::stream::Settle;
use futures::TryStreamExt as _;

use crate::store::insert::{Inserter, StoreFailure};
use crate::written::Written;

/// The outcome of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which frame.
    pub frame: FrameId,
    /// New events per tenant and type.
    pub counts: Vec<CountRow>,
    /// Events stored before.
    pub duplicates: u32,
    /// Events among the dead letters.
    pub dead_letters: u32,
}

impl Receipt {
    /// Unix ms `at` makes it ready to be settled.
    pub fn settle(self, at_ms: u64) -> Settle {
        Settle {
            frame: self.frame,
            receipt_at_ms: at_ms,
            counts: self.counts,
            duplicates: self.duplicates,
            dead_letters: self.dead_letters,
        }
    }

    fn to_bson(&self) -> RawDocumentBuf {
        let mut counts = RawArrayBuf::new();
        for row in &self.counts {
            let mut one = RawArrayBuf::new();
            one.push(&*row.tenant);
            one.push(&*row.event_type);
            one.push(i64::from(row.count));
            counts.push(one);
        }
        let mut receipt = RawDocumentBuf::new();
        receipt.append(bson::cstr!("_id"), ObjectId::from_bytes(self.frame.bytes()));
        receipt.append(
            bson::cstr!("p"),
            i32::from(self.frame.producer().partition()),
        );
        // The server writes its own time where it finds an empty timestamp.
        receipt.append(
            bson::cstr!("at"),
            Timestamp {
                time: 0,
                increment: 0,
            },
        );
        receipt.append(bson::cstr!("n"), counts);
        receipt.append(bson::cstr!("d"), i64::from(self.duplicates));
        receipt.append(bson::cstr!("x"), i64::from(self.dead_letters));
        receipt
    }
}

/// Parses a stored receipt; `None` when it is none.
pub fn parse(document: &Document) -> Option<Settle> {
    let at = document.get_timestamp("at").ok()?;
    let number = |name: &str| u32::try_from(document.get_i64(name).ok()?).ok();
    let counts = document
        .get_array("n")
        .ok()?
        .iter()
        .map(parse_row)
        .collect::<Option<_>>()?;
    Some(Settle {
        frame: FrameId::from_bytes(document.get_object_id("_id").ok()?.bytes()),
        receipt_at_ms: u64::from(at.time) * 1_000,
        counts,
        duplicates: number("d")?,
        dead_letters: number("x")?,
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

/// Proof that receipts are written: commit takes nothing else.
#[derive(Debug, Default)]
pub struct Receipts(Vec<Settle>);

impl Receipts {
    /// What is to be settled.
    pub fn settles(&self) -> &[Settle] {
        &self.0
    }

    /// Joins those of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Inserter {
    /// Writes `receipts`; the first writer wins, so where one exists already its counts are the
    /// frame's. `now_ms` is the time of writing as far as this processor knows.
    ///
    /// # Errors
    /// [`StoreFailure`]; repeating is harmless.
    pub async fn write_receipts(
        &self,
        receipts: Vec<Receipt>,
        now_ms: u64,
    ) -> Result<Receipts, StoreFailure> {
        let documents: Vec<RawDocumentBuf> = receipts.iter().map(Receipt::to_bson).collect();
        let slices: Vec<&[u8]> = documents.iter().map(|one| one.as_bytes()).collect();
        let written = self.insert(RECEIPTS, &slices).await?;
        let mut settles = Vec::with_capacity(receipts.len());
        let mut earlier = Vec::new();
        for (receipt, written) in receipts.into_iter().zip(written) {
            match written {
                Written::Inserted => settles.push(receipt.settle(now_ms)),
                Written::DuplicateKey => earlier.push(receipt.frame),
                Written::Refused { code, message } => {
                    return Err(StoreFailure::Systemic { code, message });
                }
            }
        }
        if !earlier.is_empty() {
            let found = self.find_receipts(&earlier).await?;
            settles.extend(settles_of(&earlier, &found)?);
        }
        Ok(Receipts(settles))
    }

    /// The receipts of `frames` that exist, read with majority read concern.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn find_receipts(
        &self,
        frames: &[FrameId],
    ) -> Result<HashMap<FrameId, Settle>, StoreFailure> {
        if frames.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<_> = frames
            .iter()
            .map(|id| ObjectId::from_bytes(id.bytes()))
            .collect();
        let found = self.query_receipts(doc! { "_id": { "$in": ids } }).await?;
        Ok(found
            .into_iter()
            .map(|settle| (settle.frame, settle))
            .collect())
    }

    /// The receipts of `partition` whose frames were received in the Unix seconds `seconds`.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn receipts_of_seconds(
        &self,
        partition: u16,
        seconds: std::ops::Range<u32>,
    ) -> Result<Vec<Settle>, StoreFailure> {
        self.query_receipts(doc! {
            "_id": { "$gte": first_of(seconds.start), "$lt": first_of(seconds.end) },
            "p": i32::from(partition),
        })
        .await
    }

    async fn query_receipts(&self, filter: Document) -> Result<Vec<Settle>, StoreFailure> {
        let receipts = self.database().collection::<Document>(RECEIPTS);
        let query = async move { receipts.find(filter).await?.try_collect::<Vec<_>>().await };
        let found = self.within(query).await??;
        found
            .iter()
            .map(|document| parse(document).ok_or(StoreFailure::Protocol))
            .collect()
    }
}

/// What is to be settled for each of `frames`, of which one may come twice: it was appended twice.
fn settles_of(
    frames: &[FrameId],
    found: &HashMap<FrameId, Settle>,
) -> Result<Vec<Settle>, StoreFailure> {
    frames
        .iter()
        // It was there a moment ago, and receipts are kept: not found is no answer.
        .map(|frame| found.get(frame).cloned().ok_or(StoreFailure::Protocol))
        .collect()
}

/// Receipts read again, for the frames whose receipt is known to exist.
pub fn known(settles: Vec<Settle>) -> Receipts {
    Receipts(settles)
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
        let receipt = Receipt {
            frame: frame(1),
            counts: Vec::new(),
            duplicates: 0,
            dead_letters: 0,
        };
        let settle = receipt.settle(5_000);
        let found = HashMap::from([(frame(1), settle.clone())]);
        let settles = settles_of(&[frame(1), frame(1)], &found).unwrap();
        assert_eq!(settles, [settle.clone(), settle]);
        let missing = settles_of(&[frame(2)], &found);
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
        };
        let mut document = Document::try_from(receipt.to_bson()).unwrap();
        document.insert(
            "at",
            Timestamp {
                time: 5,
                increment: 1,
            },
        );
        assert_eq!(document.get_i32("p").unwrap(), 3);
        assert_eq!(parse(&document).unwrap(), receipt.settle(5_000));
        assert!(parse(&doc! { "_id": 1 }).is_none());
    }
}
