//! The event type, and the other short strings of an event.

use super::reject::Rejection;
use crate::outcome::RejectReason;

/// Longest `eventType`, in characters.
pub const EVENT_TYPE_CHARS_MAX: usize = 100;
/// Longest `eventId`, `userId` and `sessionId`, in characters.
pub const ID_CHARS_MAX: usize = 128;

/// Checks an event type: 1-100 characters, a letter or digit first, then letters, digits and
/// `_ . : -`. Letters are ASCII: types are metric labels and Redis fields, where two spellings of
/// one Unicode letter would count as two types.
///
/// # Errors
/// A rejection of the field `eventType`.
pub fn check_event_type(value: &str) -> Result<(), Rejection> {
    let refused = |code, message| Err(Rejection::field(code, "eventType", message));
    if !has_length(value, EVENT_TYPE_CHARS_MAX) {
        return refused(
            RejectReason::InvalidLength,
            "send a type of 1 to 100 characters",
        );
    }
    let starts_well = value.as_bytes()[0].is_ascii_alphanumeric();
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if !starts_well || !value.bytes().all(is_allowed) {
        return refused(
            RejectReason::InvalidCharacters,
            "start the type with a letter or digit, then use letters, digits and _ . : -",
        );
    }
    Ok(())
}

/// Checks an id (`eventId`, `userId`, `sessionId`): 1-128 characters, none of them a control
/// character.
///
/// # Errors
/// A rejection of `field`.
pub fn check_id(field: &'static str, value: &str) -> Result<(), Rejection> {
    let refused = |code, message| Err(Rejection::field(code, field, message));
    if !has_length(value, ID_CHARS_MAX) {
        return refused(
            RejectReason::InvalidLength,
            "send 1 to 128 characters, or leave the field out",
        );
    }
    let has_control = if value.is_ascii() {
        value.bytes().any(|byte| byte.is_ascii_control())
    } else {
        value.chars().any(char::is_control)
    };
    if has_control {
        return refused(
            RejectReason::InvalidCharacters,
            "leave control characters out",
        );
    }
    Ok(())
}

/// Whether it has 1 to `max` characters. A character has a byte at least: only a longer string needs
/// counting.
fn has_length(value: &str, max: usize) -> bool {
    !value.is_empty() && (value.len() <= max || value.chars().nth(max).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_code(value: &str) -> Option<RejectReason> {
        check_event_type(value)
            .err()
            .map(|rejection| rejection.code)
    }

    #[test]
    fn event_types_follow_the_table() {
        let long = "a".repeat(100);
        for good in ["a", "9", "page_view", "a.b:c-d_e", "UA", &long] {
            assert_eq!(type_code(good), None, "{good}");
        }
        let longer = "a".repeat(101);
        let cases = [
            ("", RejectReason::InvalidLength),
            (longer.as_str(), RejectReason::InvalidLength),
            ("_a", RejectReason::InvalidCharacters),
            (".a", RejectReason::InvalidCharacters),
            ("a b", RejectReason::InvalidCharacters),
            ("a\u{1f}b", RejectReason::InvalidCharacters),
            ("caf\u{e9}", RejectReason::InvalidCharacters),
            ("\u{e9}", RejectReason::InvalidCharacters),
        ];
        for (value, code) in cases {
            assert_eq!(type_code(value), Some(code), "{value:?}");
        }
    }

    #[test]
    fn ids_are_counted_in_characters() {
        let wide = "\u{1f600}".repeat(128);
        let wider = "\u{1f600}".repeat(129);
        assert_eq!(check_id("userId", &wide), Ok(()));
        assert_eq!(
            check_id("userId", &wider).unwrap_err().code,
            RejectReason::InvalidLength
        );
        assert_eq!(
            check_id("userId", "").unwrap_err().code,
            RejectReason::InvalidLength
        );
        for bad in ["a\nb", "a\0b", "\u{7f}", "\u{85}"] {
            let rejection = check_id("sessionId", bad).unwrap_err();
            assert_eq!(rejection.code, RejectReason::InvalidCharacters);
            assert_eq!(rejection.field.as_deref(), Some("sessionId"));
        }
    }
}
