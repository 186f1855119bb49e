use bson::raw::RawDocument;
use bson::{Bson, Document, doc};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::event::UnknownFields;
use crate::event::id::{Identity, IdentityConfig};
use crate::outcome::RejectReason;

const NOW_MS: i64 = 1_700_000_000_000;

fn rules() -> EventRules {
    EventRules::default()
}

fn keep() -> EventRules {
    EventRules {
        unknown_fields: UnknownFields::Keep,
        ..rules()
    }
}

fn write(json: &str, rules: &EventRules) -> Result<Vec<u8>, Rejection> {
    let mut json = json.as_bytes().to_vec();
    let tape = simd_json::to_tape(&mut json).expect("test input is JSON");
    let mut kept = Vec::new();
    let event = Event::parse(&tape.0, rules, NOW_MS, &mut kept)?;
    let id = Identity::new(IdentityConfig::default()).of_client_id("acme", "e", None);
    let mut out = vec![0xAA; 3];
    let mut writer = DocumentWriter::default();
    let result = writer.write(&mut out, (id, "acme"), (&event, &kept), rules);
    if result.is_err() {
        assert_eq!(out, [0xAA; 3], "a refused event leaves nothing behind");
    }
    result.map(|()| out.split_off(3))
}

fn stored(json: &str, rules: &EventRules) -> Document {
    let bytes = write(json, rules).expect("event is valid");
    Document::try_from(RawDocument::from_bytes(&bytes).expect("BSON")).expect("BSON")
}

fn code(json: &str, rules: &EventRules) -> (RejectReason, Option<String>) {
    let rejection = write(json, rules).expect_err(json);
    (rejection.code, rejection.field.map(Into::into))
}

fn with_metadata(metadata: &str) -> String {
    format!(r#"{{"eventType":"a","metadata":{metadata}}}"#)
}

#[test]
fn the_offsets_point_at_the_values() {
    let mut bytes =
        write(r#"{"timestamp":1700000000,"type":"a"}"#, &rules()).expect("event is valid");
    bytes[ID_OFFSET..][..16].copy_from_slice(&[1; 16]);
    bytes[FRAME_ID_OFFSET..][..12].copy_from_slice(&[2; 12]);
    let sent = i64::from_le_bytes(bytes[TIMESTAMP_OFFSET..][..8].try_into().unwrap());
    assert_eq!(sent, 1_700_000_000_000);
    bytes[TIMESTAMP_OFFSET..][..8].copy_from_slice(&77_i64.to_le_bytes());
    let document = Document::try_from(RawDocument::from_bytes(&bytes).unwrap()).unwrap();
    assert_eq!(
        document,
        doc! {
            "_id": bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![1; 16] },
            "f": bson::oid::ObjectId::from_bytes([2; 12]),
            "timestamp": bson::DateTime::from_millis(77),
            "tenant": "acme",
            "eventType": "a",
        }
    );
}

#[test]
fn all_fields_are_written_in_order() {
    let json = r#"{"payload":{"$oid":"x","":[1,-2.5,3000000000,true,null,{}]},"priority":9,
        "metadata":{"a.b":"c\u0000d"},"sessionId":"s","userId":"u","eventId":"e","type":"t",
        "timestamp":null}"#;
    let document = stored(json, &rules());
    let keys: Vec<_> = document.keys().map(String::as_str).collect();
    let expected = [
        "_id",
        "f",
        "timestamp",
        "tenant",
        "eventType",
        "eventId",
        "userId",
        "sessionId",
        "u",
        "priority",
        "metadata",
        "payload",
    ];
    assert_eq!(keys, expected);
    assert_eq!(document.get("priority"), Some(&Bson::Int32(9)));
    assert_eq!(
        document.get("metadata"),
        Some(&Bson::Document(doc! { "a.b": "c\0d" }))
    );
    let items = vec![
        Bson::Int32(1),
        Bson::Double(-2.5),
        Bson::Int64(3_000_000_000),
        Bson::Boolean(true),
        Bson::Null,
        Bson::Document(doc! {}),
    ];
    assert_eq!(
        document.get("payload"),
        Some(&Bson::Document(doc! { "$oid": "x", "": items }))
    );
    let without = r#"{"type":"a","userId":"u"}"#;
    for (json, expected) in [(json, Some("e")), (without, None)] {
        let document = write(json, &rules()).unwrap();
        assert_eq!(event_id(&document), expected);
        assert_eq!(has_event_id(&document), expected.is_some());
        assert!((0..70).all(|end| !has_event_id(&document[..end])));
    }
}

#[expect(clippy::too_many_lines, reason = "a table: one row per rule")]
#[test]
fn bad_events_get_a_code_and_a_field() {
    use RejectReason as R;
    let cases = [
        ("[1]", R::NotAnObject, None),
        ("3", R::NotAnObject, None),
        ("{}", R::MissingField, Some("eventType")),
        (r#"{"type":null}"#, R::MissingField, Some("eventType")),
        (r#"{"type":""}"#, R::InvalidLength, Some("eventType")),
        (r#"{"type":1}"#, R::WrongType, Some("type")),
        (
            r#"{"type":"a","eventType":"a"}"#,
            R::ConflictingFields,
            Some("eventType"),
        ),
        (r#"{"type":"a","type":"a"}"#, R::DuplicateKey, Some("type")),
        (
            r#"{"type":"a","userId":null,"userId":"u"}"#,
            R::DuplicateKey,
            Some("userId"),
        ),
        (r#"{"type":"a","x":1}"#, R::UnknownField, Some("x")),
        (
            r#"{"type":"a","userId":""}"#,
            R::InvalidLength,
            Some("userId"),
        ),
        (
            r#"{"type":"a","eventId":"a\nb"}"#,
            R::InvalidCharacters,
            Some("eventId"),
        ),
        (
            r#"{"type":"a","sessionId":{}}"#,
            R::WrongType,
            Some("sessionId"),
        ),
        (
            r#"{"type":"a","priority":10}"#,
            R::NumberOutOfRange,
            Some("priority"),
        ),
        (
            r#"{"type":"a","priority":-1}"#,
            R::NumberOutOfRange,
            Some("priority"),
        ),
        (
            r#"{"type":"a","priority":18446744073709551615}"#,
            R::NumberOutOfRange,
            Some("priority"),
        ),
        (
            r#"{"type":"a","priority":5.0}"#,
            R::WrongType,
            Some("priority"),
        ),
        (
            r#"{"type":"a","timestamp":"noon"}"#,
            R::InvalidTimestamp,
            Some("timestamp"),
        ),
        (
            r#"{"type":"a","timestamp":true}"#,
            R::InvalidTimestamp,
            Some("timestamp"),
        ),
        (
            r#"{"type":"a","timestamp":-1}"#,
            R::TimestampOutOfRange,
            Some("timestamp"),
        ),
        (
            r#"{"type":"a","timestamp":1700086401}"#,
            R::TimestampOutOfRange,
            Some("timestamp"),
        ),
        (
            r#"{"type":"a","metadata":[]}"#,
            R::WrongType,
            Some("metadata"),
        ),
        (
            r#"{"type":"a","payload":"x"}"#,
            R::WrongType,
            Some("payload"),
        ),
    ];
    for (json, reason, field) in cases {
        assert_eq!(
            code(json, &rules()),
            (reason, field.map(str::to_owned)),
            "{json}"
        );
    }
}

#[test]
fn bad_values_inside_metadata_are_named_by_path() {
    use RejectReason as R;
    let cases = [
        (r#"{"b":1,"b":2}"#, R::DuplicateKey, "metadata.b"),
        (
            r#"{"a":[0,{"b":1,"b":2}]}"#,
            R::DuplicateKey,
            "metadata.a.1.b",
        ),
        (
            r#"{"a":{"x\u0000y":1}}"#,
            R::NulInKey,
            "metadata.a.x\u{fffd}y",
        ),
        (
            r#"{"a":9223372036854775808}"#,
            R::NumberOutOfRange,
            "metadata.a",
        ),
    ];
    for (metadata, reason, field) in cases {
        assert_eq!(
            code(&with_metadata(metadata), &rules()),
            (reason, Some(field.to_owned()))
        );
    }
    let many: Vec<_> = (0..40).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let many = many.join(",");
    assert_eq!(
        stored(&with_metadata(&format!("{{{many}}}")), &rules()).len(),
        6
    );
    let twice = format!(r#"{{{many},"k17":0}}"#);
    let expected = (R::DuplicateKey, Some("metadata.k17".to_owned()));
    assert_eq!(code(&with_metadata(&twice), &rules()), expected);
}

#[test]
fn depth_and_size_are_bounded_exactly() {
    let nested = |levels: usize| {
        with_metadata(&format!(
            "{}0{}",
            r#"{"a":"#.repeat(levels),
            "}".repeat(levels)
        ))
    };
    // The event is level 1 and metadata level 2.
    assert!(write(&nested(63), &rules()).is_ok());
    assert_eq!(code(&nested(64), &rules()).0, RejectReason::TooDeep);

    let sized = |len: usize| with_metadata(&format!(r#"{{"a":"{}"}}"#, "x".repeat(len)));
    let overhead = write(&sized(0), &rules()).unwrap().len();
    let largest = rules().bytes_max - overhead;
    assert_eq!(write(&sized(largest), &rules()).unwrap().len(), 256 * 1024);
    assert_eq!(
        code(&sized(largest + 1), &rules()).0,
        RejectReason::EventTooLarge
    );
}

#[test]
fn kept_fields_join_metadata() {
    let json = r#"{"type":"a","x":{"y":1},"metadata":{"m":1},"$z":2}"#;
    let expected = doc! { "m": 1, "x": { "y": 1 }, "$z": 2 };
    assert_eq!(
        stored(json, &keep()).get("metadata"),
        Some(&Bson::Document(expected))
    );
    let alone = stored(r#"{"x":1,"type":"a"}"#, &keep());
    assert_eq!(
        alone.get("metadata"),
        Some(&Bson::Document(doc! { "x": 1 }))
    );

    use RejectReason as R;
    let clash = code(r#"{"type":"a","m":2,"metadata":{"m":1}}"#, &keep());
    assert_eq!(clash, (R::ConflictingFields, Some("m".to_owned())));
    let twice = code(r#"{"type":"a","x":2,"x":1}"#, &keep());
    assert_eq!(twice, (R::DuplicateKey, Some("x".to_owned())));
}

/// Any JSON value, with unique keys (proptest's map sees to it).
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 16, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..16).prop_map(Value::from),
            prop::collection::hash_map("[^\0]{0,8}", inner, 0..16)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn independent(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => i32::try_from(value).map_or(Bson::Int64(value), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap()),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(independent).collect()),
        Value::Object(map) => Bson::Document(
            map.iter()
                .map(|(key, value)| (key.clone(), independent(value)))
                .collect(),
        ),
    }
}

proptest! {
    #[test]
    fn any_value_is_stored_as_sent(value in json_value()) {
        let json = serde_json::json!({ "type": "a", "payload": { "v": value } }).to_string();
        let document = stored(&json, &rules());
        let payload = document.get_document("payload").unwrap();
        prop_assert_eq!(payload.get("v"), Some(&independent(&value)));
    }
}

#[test]
fn the_bucket_of_a_user_is_zlibs() {
    // Computed with Python: zlib.crc32(b"default\x1falice") % 256.
    assert_eq!(user_bucket("default", "alice"), 37);
    assert_eq!(user_bucket("n\u{e4}me", "\u{fc}"), 164);
}
