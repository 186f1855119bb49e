//! The event's own time: seconds, milliseconds or RFC 3339, to milliseconds since 1970.

use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};

use super::reject::Rejection;
use crate::outcome::RejectReason;

/// Numbers below this are seconds, others milliseconds: 1e10 s is the year 2286, 1e10 ms is April
/// 1970, so neither reading is taken for the other in practice.
const SECONDS_BELOW: f64 = 1e10;
/// How far ahead of the server's clock an event may be, and the time in its id.
pub const AHEAD_MAX_MS: u64 = 24 * 3600 * 1000;
/// Where Unix time begins.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Reads a whole number: seconds below 1e10, milliseconds from there on.
#[must_use]
pub fn from_integer(value: i64) -> i64 {
    const SECONDS_BELOW: i64 = 10_000_000_000;
    if value < SECONDS_BELOW {
        value.saturating_mul(1000)
    } else {
        value
    }
}

/// Reads a number with a fraction, rounded to the nearest millisecond.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float-to-integer cast saturates, and what saturates is out of range"
)]
pub fn from_float(value: f64) -> i64 {
    let ms = if value < SECONDS_BELOW {
        value * 1000.0
    } else {
        value
    };
    ms.round() as i64
}

/// Checks that a time lies between 1970-01-01 and 24 hours after `now_ms`.
///
/// # Errors
/// A rejection of the field `timestamp`.
pub fn check_range(timestamp_ms: i64, now_ms: i64) -> Result<i64, Rejection> {
    if (0..=now_ms.saturating_add_unsigned(AHEAD_MAX_MS)).contains(&timestamp_ms) {
        return Ok(timestamp_ms);
    }
    let code = RejectReason::TimestampOutOfRange;
    Err(Rejection::field(code, "timestamp", code.message()))
}

/// Parses RFC 3339 (section 5.6): a date, `T`, `t` or a space, a time, and an offset, which is
/// required: a time without one has no meaning to a server elsewhere. Digits after the
/// milliseconds are cut, and a leap second counts as the second before it.
///
/// Returns `None` for anything else.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(19)?;
    let separators = (head[4], head[7], head[13], head[16]);
    if separators != (b'-', b'-', b':', b':') || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let part = |range: Range<usize>| i8::try_from(digits(&head[range])?).ok();
    let date = Date::new(digits(&head[..4])?, part(5..7)?, part(8..10)?).ok()?;
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    if second > 60 {
        return None;
    }
    let time = Time::new(hour, minute, second.min(59), 0).ok()?;
    let (fraction_ms, rest) = fraction(rest)?;
    let offset_ms = offset(rest)?;
    let since = date.to_datetime(time).duration_since(EPOCH);
    Some(since.as_secs() * 1_000 + fraction_ms - offset_ms)
}

fn digits(bytes: &[u8]) -> Option<i16> {
    bytes.iter().try_fold(0, |value, &byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i16::from(byte - b'0'))
    })
}

fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = bytes else {
        return Some((0, bytes));
    };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits_of, rest) = rest.split_at(len);
    let padded = digits_of
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(3);
    let ms = padded.fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    (len > 0).then_some((ms, rest))
}

fn offset(bytes: &[u8]) -> Option<i64> {
    let [sign, rest @ ..] = bytes else {
        return None;
    };
    let sign = match (sign, rest) {
        (b'Z' | b'z', []) => return Some(0),
        (b'+', _) => 1,
        (b'-', _) => -1,
        _ => return None,
    };
    let [h1, h2, b':', m1, m2] = *rest else {
        return None;
    };
    let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 60 + minutes) * 60_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_below_1e10_are_seconds() {
        assert_eq!(from_integer(0), 0);
        assert_eq!(from_integer(1_700_000_000), 1_700_000_000_000);
        assert_eq!(from_integer(9_999_999_999), 9_999_999_999_000);
        assert_eq!(from_integer(10_000_000_000), 10_000_000_000);
        assert_eq!(from_integer(1_700_000_000_123), 1_700_000_000_123);
        assert_eq!(from_float(1_700_000_000.123_4), 1_700_000_000_123);
        assert_eq!(from_float(1_700_000_000_123.6), 1_700_000_000_124);
        assert_eq!(from_float(1e300), i64::MAX);
        assert!(from_float(-0.5) < 0);
        assert!(from_integer(i64::MIN) < 0);
    }

    #[test]
    fn the_range_is_1970_to_a_day_ahead() {
        let now = 1_700_000_000_000;
        let day = 86_400_000;
        for (timestamp, is_good) in [
            (0, true),
            (-1, false),
            (now, true),
            (now + day, true),
            (now + day + 1, false),
        ] {
            assert_eq!(check_range(timestamp, now).is_ok(), is_good, "{timestamp}");
        }
    }

    #[test]
    fn rfc3339_follows_the_table() {
        let good = [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-01-01T05:00:00Z", 1_357_016_400_000),
            ("2013-01-01t05:00:00z", 1_357_016_400_000),
            ("2013-01-01 05:00:00.5+00:00", 1_357_016_400_500),
            ("2013-01-01T05:00:00.123456789Z", 1_357_016_400_123),
            ("2013-01-01T00:00:00-05:00", 1_357_016_400_000),
            ("2013-01-01T10:30:00+05:30", 1_357_016_400_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("1969-12-31T23:59:59.999Z", -1),
        ];
        for (text, ms) in good {
            assert_eq!(parse_rfc3339(text), Some(ms), "{text}");
        }
        for bad in [
            "",
            "2013",
            "2013-01-01",
            "2013-01-01T05:00:00",
            "2013-01-01T05:00Z",
            "2013-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-00-01T00:00:00Z",
            "2013-01-00T00:00:00Z",
            "2013-01-32T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T00:60:00Z",
            "2013-01-01T00:00:61Z",
            "2013-01-01T00:00:00.Z",
            "2013-01-01T00:00:00Zx",
            "2013-01-01T00:00:00+0100",
            "2013-01-01T00:00:00+24:00",
            "2013-01-01T00:00:00+01:60",
            "1700000000",
            "2013-01-01T00:00:00\u{661}Z",
            "+2013-01-01T00:00:00Z",
            "2013-1-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn rfc3339_agrees_with_jiff(ms in -62_135_596_800_000_i64..253_402_207_200_000) {
            let stamp = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(parse_rfc3339(&stamp.to_string()), Some(ms));
        }

        #[test]
        fn what_parses_parses_the_same_in_jiff(
            text in "\\PC{0,40}|[0-9TtZz:.+ -]{15,36}|[12][0-9]{3}-0[1-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?(Z|[+-][0-2][0-9]:[0-6][0-9])",
        ) {
            if let Some(ms) = parse_rfc3339(&text) {
                let there = text
                    .parse::<jiff::Timestamp>()
                    .map(|stamp| stamp.as_nanosecond().div_euclid(1_000_000));
                // jiff refuses years whose offset leaves its range; it never disagrees.
                prop_assert!(there.is_err() || there.unwrap() == i128::from(ms));
            }
        }
    }
}
