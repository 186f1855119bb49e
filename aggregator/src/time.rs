//! Times as clients write them, and as they are answered. Pure.

use evp_shared::event::timestamp::{from_float, from_integer, parse_rfc3339};

/// What a time may look like, for people.
pub const INSTANT_HINT: &str = "send RFC 3339 such as 2026-01-31T08:00:00Z, seconds or ms since \
                                1970, or a time before now such as -15m (s, m, h, d)";

/// What a span may look like, for people.
pub const SPAN_HINT: &str = "send a number with a unit of s, m, h or d, such as 15m";

/// Reads a point in time, in Unix ms: RFC 3339, seconds or ms since 1970 as in events, or
/// relative to `now_ms` with a minus in front.
pub fn parse_instant(text: &str, now_ms: u64) -> Option<i64> {
    if let Some(span) = text.strip_prefix('-') {
        let now_ms = i64::try_from(now_ms).ok()?;
        return now_ms.checked_sub(i64::try_from(parse_span_ms(span)?).ok()?);
    }
    parse_timestamp(text)
}

/// Reads the time of an event as the client sent it, in Unix ms.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(from_integer);
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return text.parse().ok().map(from_float);
    }
    parse_rfc3339(text).or_else(|| parse_rfc3339(&with_plus(text)?))
}

/// A plus in a query string stands for a blank: `...T08:00:00+01:00` arrives as
/// `...T08:00:00 01:00` from everybody who did not write `%2B`.
fn with_plus(text: &str) -> Option<String> {
    let (time, offset) = text.rsplit_once(' ')?;
    (time.len() >= 19).then(|| format!("{time}+{offset}"))
}

/// Reads a span of time, in ms; zero is none.
pub fn parse_span_ms(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    number.checked_mul(unit_ms).filter(|span_ms| *span_ms > 0)
}

/// Writes Unix ms as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: u64) -> String {
    rfc3339_signed(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// As [`rfc3339`], for what is stored; a time beyond the year 9999 is the last one before it.
pub fn rfc3339_signed(ms: i64) -> String {
    const LAST_MS: i64 = 253_402_207_200_000;
    let ms = ms.clamp(-LAST_MS, LAST_MS);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn instants_are_absolute_or_before_now() {
        let table = [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000000", Some(1_700_000_000_000)),
            ("1700000000.25", Some(1_700_000_000_250)),
            ("0", Some(0)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("2023-11-14T23:13:20 01:00", Some(1_700_000_000_000)),
            ("2023-11-14 22:13:20.5Z", Some(1_700_000_000_500)),
            ("-15m", Some(1_799_999_100_000)),
            ("-1d", Some(1_799_913_600_000)),
            ("-999999999999d", None),
            ("-15", None),
            ("-0s", None),
            ("2023-11-14", None),
            ("now", None),
            ("1.2.3", None),
            (".", None),
            ("", None),
            ("-", None),
            ("-\u{e4}", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_instant(text, NOW_MS), expected, "{text:?}");
        }
    }

    #[test]
    fn spans_need_a_unit_and_a_length() {
        let table = [
            ("90s", Some(90_000)),
            ("15m", Some(900_000)),
            ("2h", Some(7_200_000)),
            ("400d", Some(34_560_000_000)),
            ("0s", None),
            ("15", None),
            ("m", None),
            ("-5m", None),
            ("1.5h", None),
            ("5\u{b5}", None),
            ("99999999999999999d", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_span_ms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn answers_carry_milliseconds_in_utc() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(rfc3339_signed(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-30T22:00:00.000Z");
        assert!(rfc3339_signed(i64::MIN).ends_with('Z'));
    }
}
