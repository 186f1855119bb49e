//! Dead letters: what could not be stored, kept whole with the reason, before its entry is
//! acknowledged.
//!
//! # Shape
//! Collection `dead_letters`. An event: `{_id: {id: <canonical id>, f: <frame id>}, p, reason,
//! detail, at, tenant, eventType, raw: <BSON document, its first 15 MiB>}`. An undecodable entry:
//! `{_id: {life, p, entry}, p, reason, detail, at, raw: {v, n, b, m, d}}`. A replay adds `replay: {f, at}`
//! (`evp_shared::dead_letters`, which is what reads them).

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, Document, doc, oid::ObjectId};
use evp_shared::frame::{FrameId, RawFrame};
use evp_shared::outcome::DeadReason;
use evp_shared::store::DEAD_LETTERS;

use crate::entry::Pending;
use crate::store::insert::{Inserter, StoreFailure};
use crate::store::lookup::uuid;
use crate::written::{EventFacts, Written};

/// Bytes kept of one field of an undecodable entry. EVP's own are far smaller; a foreign one must
/// not make a document MongoDB refuses (16 MiB).
const RAW_FIELD_MAX: usize = 3 * 1024 * 1024;

/// Bytes kept of an event, for the same reason: one of EVP's own is far smaller. Without its end it
/// can be looked at, and not be replayed.
const RAW_EVENT_MAX: usize = 15 * 1024 * 1024;

/// Bytes kept of each text beside it, for the same reason; those of EVP's own are far shorter.
const TEXT_MAX: usize = 64 * 1024;

/// One dead letter on its way into the collection.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Why it is one.
    pub reason: DeadReason,
    /// Bytes it takes, without its few fixed fields.
    pub bytes: u64,
    document: Document,
}

impl DeadLetter {
    /// An event MongoDB will not take.
    pub fn of_event(
        frame: FrameId,
        facts: &EventFacts,
        bytes: &[u8],
        reason: DeadReason,
        detail: &str,
    ) -> Self {
        let kept = bytes.get(..RAW_EVENT_MAX).unwrap_or(bytes);
        let detail = match kept.len() {
            all if all == bytes.len() => short(detail).to_owned(),
            some => format!(
                "{}; kept are {some} of {} bytes",
                short(detail),
                bytes.len()
            ),
        };
        let document = doc! {
            "_id": { "id": uuid(&facts.id), "f": ObjectId::from_bytes(frame.bytes()) },
            "p": i32::from(frame.producer().partition()),
            "reason": reason.as_str(),
            "detail": detail,
            "at": DateTime::now(),
            "tenant": short(&facts.tenant),
            "eventType": short(&facts.event_type),
            "raw": binary(kept),
        };
        Self {
            reason,
            bytes: kept.len() as u64,
            document,
        }
    }

    /// An entry that does not decode.
    pub fn of_entry(entry: Pending, frame: &RawFrame, detail: &str) -> Self {
        let (mut raw, mut bytes) = (Document::new(), 0);
        let fields = [
            ("v", &frame.version),
            ("n", &frame.events),
            ("b", &frame.bytes),
            ("m", &frame.meta),
            ("d", &frame.payload),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                let kept = value.get(..RAW_FIELD_MAX).unwrap_or(value);
                raw.insert(name, binary(kept));
                bytes += kept.len() as u64;
            }
        }
        let partition = i32::from(entry.partition);
        let life = i64::try_from(entry.life.0).unwrap_or(i64::MAX);
        let document = doc! {
            "_id": { "life": life, "p": partition, "entry": entry.ack.id.to_string() },
            "p": partition,
            "reason": DeadReason::Undecodable.as_str(),
            "detail": detail,
            "at": DateTime::now(),
            "raw": raw,
        };
        Self {
            reason: DeadReason::Undecodable,
            bytes,
            document,
        }
    }
}

impl Inserter {
    /// Keeps `letters`; one that is there already stays as it is.
    ///
    /// # Errors
    /// [`StoreFailure`]; repeating is harmless.
    pub async fn keep_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreFailure> {
        if letters.is_empty() {
            return Ok(());
        }
        let bytes = letters
            .iter()
            .map(|letter| {
                bson::serialize_to_vec(&letter.document).map_err(|_| StoreFailure::Protocol)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let written = self.insert(DEAD_LETTERS, &slices).await?;
        let refused = written.into_iter().find_map(|written| match written {
            Written::Refused { code, message } => Some(StoreFailure::Systemic { code, message }),
            Written::Inserted | Written::DuplicateKey | Written::Expired => None,
        });
        refused.map_or(Ok(()), Err)
    }
}

fn short(text: &str) -> &str {
    let ends = (0..=text.len().min(TEXT_MAX)).rev();
    let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

fn binary(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter_of(bytes: usize) -> DeadLetter {
        let facts = EventFacts {
            id: [7; 16],
            tenant: "default".to_owned(),
            event_id: None,
            event_type: "click".to_owned(),
        };
        let event = vec![1; bytes];
        let frame = FrameId::from_bytes([3; 12]);
        DeadLetter::of_event(frame, &facts, &event, DeadReason::RefusedByStore, "no")
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(short("click"), "click");
        let long = format!("a{}", "\u{e9}".repeat(TEXT_MAX));
        assert_eq!(short(&long).len(), TEXT_MAX - 1);
    }

    #[test]
    fn an_event_is_kept_whole_unless_mongodb_would_refuse_its_dead_letter() {
        let whole = letter_of(RAW_EVENT_MAX);
        assert_eq!(whole.bytes, RAW_EVENT_MAX as u64);
        assert_eq!(whole.document.get_str("detail").unwrap(), "no");
        let cut = letter_of(16 * 1024 * 1024);
        assert_eq!(cut.bytes, RAW_EVENT_MAX as u64);
        assert_eq!(
            cut.document.get_str("detail").unwrap(),
            "no; kept are 15728640 of 16777216 bytes"
        );
    }
}
