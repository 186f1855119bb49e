//! Reading the arrays that scripts answer with.

use bytes::Bytes;
use fred::prelude::Value;

use super::StreamError;

/// The next value of a reply as text.
pub(super) fn text(values: &mut impl Iterator<Item = Value>) -> Result<String, StreamError> {
    let value = values
        .next()
        .ok_or_else(|| StreamError::protocol("too few values"))?;
    value
        .into_string()
        .ok_or_else(|| StreamError::protocol("no text"))
}

/// The next value of a reply as a number.
pub(super) fn number<T: std::str::FromStr>(
    values: &mut impl Iterator<Item = Value>,
) -> Result<T, StreamError> {
    let text = text(values)?;
    text.parse()
        .map_err(|_| StreamError::protocol(format!("no number: {text}")))
}

/// An array; a nil counts as an empty one.
pub(super) fn array(value: Value) -> Result<Vec<Value>, StreamError> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Null => Ok(Vec::new()),
        other => Err(StreamError::protocol(format!(
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
