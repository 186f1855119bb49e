//! NDJSON bodies: each line is an event of its own, and a bad line costs only itself.

use std::ops::Range;

use evp_shared::event::reject::Rejection;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use serde_json::value::RawValue;

use super::decoded::{Shape, problem_at};
use super::parser::{Parser, rejection_of};
use crate::decode::events::EventSink;

pub(super) fn decode(
    parser: &mut Parser,
    body: &[u8],
    sink: &mut EventSink<'_>,
) -> Result<(), Problem> {
    parser.load(body);
    // The number of lines is not known before they are read; the sink counts them.
    sink.begin(Shape::Many, 1)?;
    for line in lines(body) {
        match parser.parse(line.clone(), |nodes| sink.event(nodes)) {
            Ok(result) => result?,
            Err(error) => {
                let rejection = fault_of_line(body, &line, &error)?;
                sink.reject_line(rejection)?;
            }
        }
    }
    Ok(())
}

/// Whether a first JSON value is followed by more on a new line.
pub(super) fn has_more_lines(body: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    if !matches!(values.next(), Some(Ok(_))) {
        return false;
    }
    let rest = &body[values.byte_offset()..];
    let gap = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    gap < rest.len() && rest[..gap].contains(&b'\n')
}

/// The lines that are not blank, without their line ends.
fn lines(body: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0..body.len();
    std::iter::from_fn(move || {
        while rest.start < rest.end {
            let end =
                memchr::memchr(b'\n', &body[rest.clone()]).map_or(rest.end, |len| rest.start + len);
            let line = &body[rest.start..end];
            let start = end - line.trim_ascii_start().len();
            rest.start = end + 1;
            if start < end {
                return Some(start..start + body[start..end].trim_ascii_end().len());
            }
        }
        None
    })
}

/// Why the parser refused a line. Text that is not UTF-8 is a fault of the whole body: nobody can
/// say where its lines end.
fn fault_of_line(
    body: &[u8],
    line: &Range<usize>,
    error: &simd_json::Error,
) -> Result<Rejection, Problem> {
    let text = std::str::from_utf8(&body[line.clone()])
        .map_err(|error| problem_at(RejectReason::InvalidUtf8, line.start + error.valid_up_to()))?;
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    Ok(match values.next() {
        Some(Ok(_)) if values.byte_offset() < text.len() => RejectReason::TrailingTokens.into(),
        Some(Ok(_)) => rejection_of(text, error),
        _ => RejectReason::MalformedJson.into(),
    })
}
