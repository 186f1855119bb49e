//! Stored documents as JSON: what was sent, in plain JSON. Pure.
//!
//! Written straight from the document's bytes, so that keys keep their order and large pages cost
//! no tree.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument};
use evp_shared::event::id::CanonicalId;
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::time::rfc3339_signed;

/// An event as it is answered.
///
/// # Shape
/// `{"id","eventId"?,"eventType","userId"?,"sessionId"?,"timestamp","receivedAt","priority"?,
/// "metadata"?,"payload"?}`, then what the caller adds. `receivedAt` has whole seconds: it is the
/// second of the frame id.
#[derive(Debug, Clone, Copy)]
pub struct EventJson<'a> {
    document: &'a RawDocument,
    also: &'a [(&'static str, &'a str)],
}

impl<'a> EventJson<'a> {
    /// The event in `document`.
    pub fn new(document: &'a RawDocument) -> Self {
        Self {
            document,
            also: &[],
        }
    }

    /// With members after those of the event.
    pub fn with(document: &'a RawDocument, also: &'a [(&'static str, &'a str)]) -> Self {
        Self { document, also }
    }
}

/// The answered members in their order, and the stored fields they come from.
const MEMBERS: [(&str, &str); 10] = [
    ("id", "_id"),
    ("eventId", "eventId"),
    ("eventType", "eventType"),
    ("userId", "userId"),
    ("sessionId", "sessionId"),
    ("timestamp", "timestamp"),
    ("receivedAt", "f"),
    ("priority", "priority"),
    ("metadata", "metadata"),
    ("payload", "payload"),
];

impl Serialize for EventJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = [None; MEMBERS.len()];
        for element in self.document {
            let (key, value) = element.map_err(S::Error::custom)?;
            let member = MEMBERS.iter().position(|(_, field)| *field == key.as_str());
            if let Some(slot) = member.and_then(|at| fields.get_mut(at)) {
                *slot = Some(value);
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for ((name, _), value) in MEMBERS.iter().zip(fields) {
            match (*name, value) {
                (_, None) => {}
                ("receivedAt", Some(RawBsonRef::ObjectId(frame))) => {
                    map.serialize_entry(name, &received_at(frame))?;
                }
                (_, Some(value)) => map.serialize_entry(name, &Plain(value))?,
            }
        }
        for (name, text) in self.also {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

fn received_at(frame: ObjectId) -> String {
    let [a, b, c, d, ..] = frame.bytes();
    rfc3339_signed(i64::from(u32::from_be_bytes([a, b, c, d])) * 1_000)
}

/// A BSON value as plain JSON: numbers are numbers, dates RFC 3339, canonical ids hyphenated. What
/// JSON cannot say and EVP never stores comes as text.
struct Plain<'a>(RawBsonRef<'a>);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RawBsonRef::Double(number) => serializer.serialize_f64(number),
            RawBsonRef::String(text) | RawBsonRef::Symbol(text) => serializer.serialize_str(text),
            RawBsonRef::Array(items) => {
                let mut sequence = serializer.serialize_seq(None)?;
                for item in items {
                    sequence.serialize_element(&Plain(item.map_err(S::Error::custom)?))?;
                }
                sequence.end()
            }
            RawBsonRef::Document(members) => {
                let mut map = serializer.serialize_map(None)?;
                for member in members {
                    let (key, value) = member.map_err(S::Error::custom)?;
                    map.serialize_entry(key.as_str(), &Plain(value))?;
                }
                map.end()
            }
            RawBsonRef::Boolean(value) => serializer.serialize_bool(value),
            RawBsonRef::Null | RawBsonRef::Undefined => serializer.serialize_unit(),
            RawBsonRef::Int32(number) => serializer.serialize_i32(number),
            RawBsonRef::Int64(number) => serializer.serialize_i64(number),
            RawBsonRef::DateTime(time) => {
                serializer.serialize_str(&rfc3339_signed(time.timestamp_millis()))
            }
            RawBsonRef::ObjectId(id) => serializer.serialize_str(&id.to_hex()),
            RawBsonRef::Binary(binary) => match <[u8; 16]>::try_from(binary.bytes) {
                Ok(id) if binary.subtype == bson::spec::BinarySubtype::Uuid => {
                    serializer.collect_str(&CanonicalId::from_bytes(id))
                }
                _ => serializer.serialize_str(&STANDARD.encode(binary.bytes)),
            },
            RawBsonRef::Decimal128(number) => serializer.collect_str(&number),
            _ => serializer.serialize_str("unsupported"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, DateTime, RawDocumentBuf, doc};

    use super::*;

    fn json(document: &bson::Document, also: &[(&'static str, &str)]) -> String {
        let raw = RawDocumentBuf::try_from(document).unwrap();
        serde_json::to_string(&EventJson::with(&raw, also)).unwrap()
    }

    #[test]
    fn an_event_is_answered_in_plain_json_and_a_fixed_order() {
        let mut id = [0xab; 16];
        (id[6], id[8]) = (0x8b, 0xab);
        let document = doc! {
            "_id": bson::Uuid::from_bytes(id),
            "f": ObjectId::from_bytes([0x65, 0x53, 0xf1, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            "timestamp": DateTime::from_millis(1_700_000_000_123),
            "tenant": "default",
            "eventType": "click",
            "priority": 3_i32,
            "metadata": { "z": 9_007_199_254_740_993_i64, "a": [1.5, true, Bson::Null], "$x": "y" },
        };
        let expected = concat!(
            r#"{"id":"abababab-abab-8bab-abab-abababababab","eventType":"click","#,
            r#""timestamp":"2023-11-14T22:13:20.123Z","receivedAt":"2023-11-14T22:13:20.000Z","#,
            r#""priority":3,"metadata":{"z":9007199254740993,"a":[1.5,true,null],"$x":"y"},"#,
            r#""status":"stored"}"#,
        );
        assert_eq!(json(&document, &[("status", "stored")]), expected);
    }

    #[test]
    fn optional_members_are_left_out_and_what_is_evps_own_is_never_shown() {
        let document = doc! { "tenant": "default", "eventType": "click", "u": 7, "extra": 1 };
        assert_eq!(json(&document, &[]), r#"{"eventType":"click"}"#);
    }

    #[test]
    fn what_json_cannot_say_comes_as_text() {
        let document = doc! { "payload": {
            "date": DateTime::from_millis(0),
            "bytes": Bson::Binary(bson::Binary {
                subtype: bson::spec::BinarySubtype::Generic,
                bytes: vec![1, 2, 3],
            }),
            "infinite": f64::INFINITY,
            "key": Bson::MaxKey,
        } };
        let expected = concat!(
            r#"{"payload":{"date":"1970-01-01T00:00:00.000Z","bytes":"AQID","#,
            r#""infinite":null,"key":"unsupported"}}"#,
        );
        assert_eq!(json(&document, &[]), expected);
    }
}
