//! Reading the arrays that scripts answer with.

use bytes::Bytes;
use fred::prelude::Value;

use super::StreamError;
use crate::choice::Choice;

/// The next value of a reply as text.
pub(super) fn text(values: &mut impl Iterator<Item = Value>) -> Result<String, StreamError> {
    let value = values
        .next()
        .ok_or_else(|| StreamError::protocol("too few values"))?;
    value
        .into_string()
        .ok_or_else(|| StreamError::protocol("no text"))
}

/// The next value of a reply, one of a closed list.
pub(super) fn choice<T: Choice>(
    values: &mut impl Iterator<Item = Value>,
) -> Result<T, StreamError> {
    let text = text(values)?;
    T::named(&text).ok_or_else(|| StreamError::protocol(text))
}

/// The next value of a reply, read as a number or as the id of an entry.
pub(super) fn parse<T: std::str::FromStr>(
    values: &mut impl Iterator<Item = Value>,
) -> Result<T, StreamError> {
    let text = text(values)?;
    text.parse()
        .map_err(|_| StreamError::protocol(format!("unreadable: {text}")))
}

/// All that is left of a reply, read so.
pub(super) fn parse_all<T: std::str::FromStr>(
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<T>, StreamError> {
    let parse_one = |value| parse(&mut std::iter::once(value));
    values.into_iter().map(parse_one).collect()
}

/// The word that a script which writes answers first.
pub(super) fn written(values: &mut impl Iterator<Item = Value>) -> Result<(), StreamError> {
    match text(values)?.as_str() {
        "ok" => Ok(()),
        "new_life" => Err(StreamError::NewLife),
        "no_stream" => Err(StreamError::NoGroup),
        "wrong_type" => Err(StreamError::WrongType { key: text(values)? }),
        other => Err(StreamError::protocol(other)),
    }
}

/// An array; a nil, or nothing, counts as an empty one.
pub(super) fn array(value: impl Into<Option<Value>>) -> Result<Vec<Value>, StreamError> {
    match value.into() {
        Some(Value::Array(values)) => Ok(values),
        Some(Value::Null) | None => Ok(Vec::new()),
        Some(other) => Err(StreamError::protocol(format!(
            "{:?} where an array belongs",
            other.kind()
        ))),
    }
}

/// Bytes without a copy.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::String(text) => Some(text.into_inner()),
        Value::Integer(number) => Some(Bytes::from(number.to_string())),
        _ => None,
    }
}
