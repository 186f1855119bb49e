//! JSON bodies: an object, an array, `{"events":[...]}`.
//!
//! The whole body is parsed at once. When the parser refuses it, a second, slower pass splits it
//! by its grammar alone and parses element by element, so that one bad element (a huge number, a
//! lone surrogate, a depth bomb) costs nobody else; a body whose grammar is broken is refused with
//! the place.

use std::fmt;

use evp_shared::event::value_len;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use simd_json::Node;

use super::decoded::{Shape, problem_at};
use super::parser::{Parser, offset_of, rejection_of};
use crate::decode::events::EventSink;

/// What JSON takes for blank.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Takes the whole body, or nothing and returns why the parser refuses it.
pub(super) fn decode(
    parser: &mut Parser,
    body: &[u8],
    sink: &mut EventSink<'_>,
) -> Result<Option<simd_json::Error>, RejectReason> {
    parser.load(body);
    match parser.parse(0..body.len(), |nodes| take(nodes, sink)) {
        Ok(result) => result.map(|()| None),
        Err(error) => Ok(Some(error)),
    }
}

fn take(nodes: &[Node<'_>], sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let items = match nodes {
        [Node::Array { len, .. }, items @ ..] => (*len, items),
        // An envelope has no other member: anything else beside `events` is a single event with a
        // field that is wrong, and is told so.
        [
            Node::Object { len: 1, .. },
            Node::String("events"),
            Node::Array { len, .. },
            items @ ..,
        ] => (*len, items),
        _ => {
            sink.begin(Shape::Single, 1)?;
            return sink.event(nodes);
        }
    };
    let (len, mut rest) = items;
    sink.begin(Shape::Many, len)?;
    while !rest.is_empty() {
        let (event, others) = rest.split_at(value_len(rest, 0).min(rest.len()));
        sink.event(event)?;
        rest = others;
    }
    Ok(())
}

/// Takes what the parser refused as a whole with `refused`.
pub(super) fn decode_by_element(
    parser: &mut Parser,
    body: &[u8],
    refused: &simd_json::Error,
    sink: &mut EventSink<'_>,
) -> Result<(), Problem> {
    let text = std::str::from_utf8(body)
        .map_err(|error| problem_at(RejectReason::InvalidUtf8, error.valid_up_to()))?;
    let malformed =
        |error: serde_json::Error| problem_at(RejectReason::MalformedJson, offset_of(body, &error));
    let most = sink.events_max();
    let list = if text.trim_start_matches(SPACE).starts_with('[') {
        Some(elements(text, most).map_err(malformed)?)
    } else if let Some(list) = list_in(text).and_then(|list| elements(list, most).ok()) {
        Some(list)
    } else {
        let _whole: &RawValue = serde_json::from_str(text).map_err(malformed)?;
        None
    };
    let Some((elements, count)) = list else {
        sink.begin(Shape::Single, 1)?;
        sink.reject(rejection_of(text, refused));
        return Ok(());
    };
    sink.begin(Shape::Many, count)?;
    for element in elements {
        parse_element(parser, element.get(), sink)?;
    }
    Ok(())
}

/// What lies between `{"events":` and the last brace: a list and nothing else, when `events` is an
/// array and the only member.
fn list_in(object: &str) -> Option<&str> {
    let mut list = object;
    for token in ["{", "\"events\"", ":"] {
        list = list.trim_start_matches(SPACE).strip_prefix(token)?;
    }
    list.trim_end_matches(SPACE).strip_suffix('}')
}

/// The first elements of an array, and how many it has. `RawValue` neither recurses nor looks into
/// numbers and escapes.
fn elements(array: &str, most: usize) -> serde_json::Result<(Vec<&RawValue>, usize)> {
    let mut deserializer = serde_json::Deserializer::from_str(array);
    let found = ElementsUpTo(most).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

fn parse_element(
    parser: &mut Parser,
    element: &str,
    sink: &mut EventSink<'_>,
) -> Result<(), RejectReason> {
    parser.load(element.as_bytes());
    match parser.parse(0..element.len(), |nodes| sink.event(nodes)) {
        Ok(result) => result,
        Err(error) => {
            sink.reject(rejection_of(element, &error));
            Ok(())
        }
    }
}

/// Reads an array as the texts of its first elements and their number.
struct ElementsUpTo(usize);

impl<'de> DeserializeSeed<'de> for ElementsUpTo {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ElementsUpTo {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.0 {
            let Some(element) = items.next_element()? else {
                let count = elements.len();
                return Ok((elements, count));
            };
            elements.push(element);
        }
        let mut count = elements.len();
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((elements, count))
    }
}
