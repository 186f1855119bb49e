//! JSON bodies: an object, an array, `{"events":[...]}`.
//!
//! The whole body is parsed at once. When the parser refuses it, a second, slower pass splits it
//! by its grammar alone and parses element by element, so that one bad element (a huge number, a
//! lone surrogate, a depth bomb) costs nobody else; a body whose grammar is broken is refused with
//! the place.

use std::fmt;
use std::ops::Range;

use evp_shared::event::value_len;
use evp_shared::outcome::RejectReason;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use simd_json::Node;

use super::fault::rejection_of;
use super::parser::{Parser, offset_of};
use super::{BodyProblem, Shape};
use crate::events::EventSink;

pub(super) fn decode(
    parser: &mut Parser,
    body: &[u8],
    sink: &mut EventSink<'_>,
) -> Result<(), BodyProblem> {
    parser.load(body);
    match parser.parse(0..body.len(), |nodes| take(nodes, sink)) {
        Ok(result) => result,
        Err(_) => decode_by_element(parser, body, sink),
    }
}

fn take(nodes: &[Node<'_>], sink: &mut EventSink<'_>) -> Result<(), BodyProblem> {
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
            sink.event(nodes)?;
            return Ok(());
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

fn decode_by_element(
    parser: &mut Parser,
    body: &[u8],
    sink: &mut EventSink<'_>,
) -> Result<(), BodyProblem> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(BodyProblem::at(
            RejectReason::InvalidUtf8,
            error.valid_up_to(),
        ));
    }
    let malformed = |error: serde_json::Error| {
        BodyProblem::at(RejectReason::MalformedJson, offset_of(body, &error))
    };
    // RawValue neither recurses nor looks into numbers and escapes.
    let whole: &RawValue = serde_json::from_slice(body).map_err(malformed)?;
    let whole = whole.get();
    let Some(list) = list_of(whole) else {
        sink.begin(Shape::Single, 1)?;
        parse_element(parser, whole, sink)?;
        return Ok(());
    };
    let (elements, count) = ElementsUpTo(sink.events_max())
        .deserialize(&mut serde_json::Deserializer::from_str(list))
        .map_err(malformed)?;
    sink.begin(Shape::Many, count)?;
    for element in elements {
        parse_element(parser, element.get(), sink)?;
    }
    Ok(())
}

/// The text of the list of events: the value itself or that of its only member `events`. A value
/// that is neither is one event.
fn list_of(value: &str) -> Option<&str> {
    if value.starts_with('[') {
        return Some(value);
    }
    let list = value
        .strip_prefix('{')?
        .trim_start()
        .strip_prefix("\"events\"")?
        .trim_start()
        .strip_prefix(':')?
        .trim_start();
    if !list.starts_with('[') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(list).into_iter::<&RawValue>();
    let list = values.next()?.ok()?;
    let rest = value.get(range_in(value.as_bytes(), list.get()).end..)?;
    (rest.trim() == "}").then_some(list.get())
}

/// Where `part`, which lies in `whole`, lies there.
fn range_in(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

fn parse_element(
    parser: &mut Parser,
    element: &str,
    sink: &mut EventSink<'_>,
) -> Result<(), BodyProblem> {
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
