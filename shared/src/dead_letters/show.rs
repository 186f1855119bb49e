//! What was kept, as JSON that people can read. Pure.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::frame::RawFrame;

/// The fields of an entry that does not decode, and whether it does by now.
///
/// # Shape
/// `{"v": .., "n": .., "b": .., "m": .., "d": .., "decodesNow": true}`: each field as text where it
/// is text, else as [`hex_json`], `null` where it is missing.
pub fn fields_json(raw: &RawFrame) -> Value {
    let field = |field: &Option<Bytes>| {
        let field = field.as_ref()?;
        Some(match std::str::from_utf8(field) {
            Ok(text) if !text.chars().any(char::is_control) => json!(text),
            _ => hex_json(field),
        })
    };
    json!({
        "v": field(&raw.version),
        "n": field(&raw.events),
        "b": field(&raw.bytes),
        "m": field(&raw.meta),
        "d": field(&raw.payload),
        "decodesNow": raw.open().is_ok(),
    })
}

/// Bytes that are nothing better: `{"hex": "00ff"}`.
pub fn hex_json(bytes: &[u8]) -> Value {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "hex": hex })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_text_where_it_is_text() {
        let raw = RawFrame {
            version: Some(Bytes::from_static(b"1")),
            meta: Some(Bytes::from_static(b"a\x01")),
            payload: Some(Bytes::from_static(b"\xff")),
            ..RawFrame::default()
        };
        let expected = json!({
            "v": "1", "n": null, "b": null, "m": { "hex": "6101" }, "d": { "hex": "ff" },
            "decodesNow": false,
        });
        assert_eq!(fields_json(&raw), expected);
    }
}
