//! Stream entries as they are read.

use std::fmt;
use std::str::FromStr;

use fred::prelude::Value;
use serde::{Deserialize, Serialize};

use super::{StreamError, reply};
use crate::frame::RawFrame;

/// Id of a stream entry: the server's ms and a sequence number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct EntryId {
    /// Unix ms of the server; never used as a time, the server's clock may have been wrong.
    pub ms: u64,
    /// Sequence number within the ms.
    pub seq: u64,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A text that is no entry id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry id is two numbers with a dash between them")]
pub struct EntryIdError;

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ms, seq) = text.split_once('-').ok_or(EntryIdError)?;
        Ok(Self {
            ms: ms.parse().map_err(|_| EntryIdError)?,
            seq: seq.parse().map_err(|_| EntryIdError)?,
        })
    }
}

/// One entry as it was read from a partition's stream.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which partition's stream.
    pub partition: u16,
    /// Its id there.
    pub id: EntryId,
    /// Its fields; `None` when the entry was deleted while it was pending.
    pub frame: Option<RawFrame>,
}

impl Entry {
    /// Bytes the entry takes on the stream, for the kept window.
    pub fn stored_bytes(&self) -> u32 {
        let Some(frame) = &self.frame else { return 0 };
        let length = [&frame.meta, &frame.payload]
            .into_iter()
            .flatten()
            .map(bytes::Bytes::len)
            .sum::<usize>();
        u32::try_from(length).unwrap_or(u32::MAX)
    }
}

/// Parses the entries of one stream: `[[id, [field, value, ...]], ...]`.
pub(super) fn parse_all(
    partition: u16,
    value: impl Into<Option<Value>>,
) -> Result<Vec<Entry>, StreamError> {
    reply::array(value)?
        .into_iter()
        // Before 7.0, XAUTOCLAIM answers a nil for an entry that was deleted.
        .filter(|entry| !matches!(entry, Value::Null))
        .map(|entry| parse(partition, entry))
        .collect()
}

fn parse(partition: u16, value: Value) -> Result<Entry, StreamError> {
    let mut parts = reply::array(value)?.into_iter();
    let id = reply::parse(&mut parts)?;
    let frame = match parts.next() {
        Some(Value::Null) | None => None,
        Some(fields) => Some(parse_fields(reply::array(fields)?)),
    };
    Ok(Entry {
        partition,
        id,
        frame,
    })
}

fn parse_fields(fields: Vec<Value>) -> RawFrame {
    let mut frame = RawFrame::default();
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let slot = match reply::bytes(name).as_deref() {
            Some(b"v") => &mut frame.version,
            Some(b"n") => &mut frame.events,
            Some(b"b") => &mut frame.bytes,
            Some(b"m") => &mut frame.meta,
            Some(b"d") => &mut frame.payload,
            // Another field is from another version; the version field decides about that.
            _ => continue,
        };
        *slot = reply::bytes(value);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_id_reads_back_and_sorts_by_time() {
        let id: EntryId = "1700000000000-7".parse().unwrap();
        assert_eq!(id.to_string(), "1700000000000-7");
        assert!(id < "1700000000000-10".parse().unwrap());
        assert!("170".parse::<EntryId>().is_err());
    }
}
