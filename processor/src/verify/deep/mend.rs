//! Correcting a receipt, or writing the one that is missing.

use bson::{Bson, DateTime, Document, Timestamp, bson, doc, oid::ObjectId};
use mongodb::Collection;
use mongodb::error::Error as MongoError;

use super::{Counts, DifferingFrame};

/// Mends the receipt of `differing`, which was read as `receipt`; returns how many were mended.
pub(super) async fn mend(
    receipts: &Collection<Document>,
    differing: &DifferingFrame,
    receipt: Option<&Document>,
) -> Result<u64, MongoError> {
    let id = ObjectId::from_bytes(differing.frame.bytes());
    let lowest = differing.lowest_ms.map(date);
    let Some(receipt) = receipt else {
        let mut written = doc! {
            "_id": id,
            "p": i32::from(differing.frame.producer().partition()),
            // The server writes its own time there.
            "at": Timestamp { time: 0, increment: 0 },
            "n": rows(&differing.stored),
            "d": 0_i64, "x": 0_i64, "e": 0_i64,
            "by": "verify",
        };
        written.extend(lowest.map(|lowest| ("o".to_owned(), lowest)));
        receipts.insert_one(written).await?;
        return Ok(1);
    };
    let (counted, erased) = mended(differing);
    let was = |field| receipt.get(field).cloned().unwrap_or(Bson::Null);
    // Whoever corrected it since has seen what is stored as well.
    let unchanged = doc! { "_id": id, "n": was("n"), "g": was("g") };
    let mut set = doc! {
        "n": rows(&counted), "corrected.by": "verify", "corrected.was": was("n"),
    };
    if erased != differing.erased {
        set.extend(doc! { "g": rows(&erased), "corrected.erased": was("g") });
    }
    let mut correction = doc! { "$set": set, "$currentDate": { "corrected.at": true } };
    if let Some(lowest) = lowest {
        correction.insert("$min", doc! { "o": lowest });
    }
    let updated = receipts.update_one(unchanged, correction).await?;
    Ok(updated.modified_count)
}

/// What the receipt is to say was counted and erased.
///
/// Stored and erased together are what was counted. Where that is more than the receipt says, it is
/// because what was erased was stored again by a processor that had stood still since before: then
/// it is not erased any more, and was counted once.
fn mended(differing: &DifferingFrame) -> (Counts, Counts) {
    let (mut counted, mut erased) = (differing.stored.clone(), Counts::new());
    for (kind, gone) in &differing.erased {
        let stored = differing.stored.get(kind).copied().unwrap_or(0);
        let receipt = differing.receipt.as_ref();
        let said = receipt.and_then(|receipt| receipt.get(kind)).copied();
        let gone = match said {
            Some(said) if said >= stored => (*gone).min(said - stored),
            _ => *gone,
        };
        if gone > 0 {
            *counted.entry(kind.clone()).or_default() += gone;
            erased.insert(kind.clone(), gone);
        }
    }
    (counted, erased)
}

fn rows(counts: &Counts) -> Vec<Bson> {
    let rows = counts.iter();
    let rows = rows.map(|((tenant, kind), count)| bson!([tenant.as_str(), kind.as_str(), *count]));
    rows.collect()
}

fn date(ms: u64) -> Bson {
    DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)).into()
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::FrameId;

    use super::*;

    #[test]
    fn what_was_erased_and_is_stored_again_was_counted_once() {
        let counts = |count: i64| Counts::from([(("t".to_owned(), "a".to_owned()), count)]);
        let none = |count: i64| {
            if count == 0 {
                Counts::new()
            } else {
                counts(count)
            }
        };
        // Said, stored and erased, and what is to be said and erased.
        for (said, stored, erased, expected) in [
            (5, 2, 3, (5, 3)),
            (5, 1, 3, (4, 3)),
            (5, 5, 3, (5, 0)),
            (5, 4, 3, (5, 1)),
            (2, 3, 1, (4, 1)),
            (5, 6, 0, (6, 0)),
        ] {
            let differing = DifferingFrame {
                frame: FrameId::from_bytes([0; 12]),
                receipt: Some(none(said)),
                stored: none(stored),
                erased: none(erased),
                lowest_ms: None,
            };
            let expected = (none(expected.0), none(expected.1));
            assert_eq!(mended(&differing), expected, "{said} {stored} {erased}");
        }
    }
}
