//! Frames: the group of events that one stream entry carries, and the bytes it is made of.
//!
//! A frame is drafted from the documents of one or more requests ([`FrameDraft`]), sealed under
//! its identity ([`FrameDraft::seal`]) into the five fields of a stream entry ([`Frame`]), and
//! opened again by the processor ([`RawFrame::open`]). Byte by byte: docs/FRAME.md.
//!
//! Hot path: no allocation per event, no log lines, no locks.

mod counts;
mod header;
mod id;
mod payload;

use std::ops::Range;

use bytes::Bytes;

use crate::document::{EventBatch, FRAME_ID_OFFSET, TIMESTAMP_OFFSET};
use counts::Counts;
pub use header::{FLAG_AWAITED, Header, HeaderError};
pub use id::{FRAME_NUMBER_MAX, FrameId, FrameIdError, ProducerId};
pub use payload::{Codec, PayloadError, documents};

/// Version of the format this build writes and reads, in field `v`.
pub const FORMAT_VERSION: u8 = 1;

/// Largest payload a reader accepts, uncompressed. A frame is far smaller (512 KiB by default);
/// the bound keeps a corrupt length from asking for memory that is not there.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Events of one or more requests on their way into a frame.
#[derive(Debug, Default)]
pub struct FrameDraft {
    documents: Vec<u8>,
    undated: Vec<u32>,
    starts: Vec<u32>,
    counts: Counts,
}

/// What a frame is sealed under: all that is fixed before its first append.
#[derive(Debug, Clone, Copy)]
pub struct FrameStamp {
    /// Identity of the frame; its second and `received_at_ms` come from one clock read.
    pub id: FrameId,
    /// Unix ms at which ingest took the frame.
    pub received_at_ms: u64,
    /// How the payload is compressed.
    pub codec: Codec,
    /// Fingerprint of what fixes the identity of events.
    pub fingerprint: u32,
    /// Flag bits, see [`FLAG_AWAITED`].
    pub flags: u8,
}

impl FrameDraft {
    /// An empty draft.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the events `range` of `batch`, all of `tenant`.
    pub fn push(&mut self, tenant: &str, batch: &EventBatch, range: Range<usize>) {
        let Some(events) = batch.events.get(range.clone()) else {
            return;
        };
        let first = range
            .start
            .checked_sub(1)
            .and_then(|before| batch.events.get(before));
        let begin = first.map_or(0, |mark| mark.end);
        let end = events.last().map_or(begin, |mark| mark.end);
        let Some(bytes) = batch.documents.get(begin as usize..end as usize) else {
            return;
        };
        // Frames are bounded far below 4 GiB, so an offset fits u32.
        let base = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        self.documents.extend_from_slice(bytes);

        let mut counts = vec![0_u32; batch.types.len()];
        let mut start = begin;
        for mark in events {
            let offset = base + (start - begin);
            self.starts.push(offset);
            if mark.undated {
                self.undated.push(offset);
            }
            if let Some(count) = counts.get_mut(usize::from(mark.type_index)) {
                *count += 1;
            }
            start = mark.end;
        }
        for (event_type, count) in batch
            .types
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
        {
            self.counts.add(tenant, event_type, count);
        }
    }

    /// Events drafted.
    pub fn events(&self) -> usize {
        self.starts.len()
    }

    /// Bytes of their documents.
    pub fn bytes(&self) -> usize {
        self.documents.len()
    }

    /// Whether nothing is drafted.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Writes the frame's identity and, where an event has no time of its own, the received-at
    /// into the documents, compresses them and computes the header.
    pub fn seal(mut self, stamp: FrameStamp) -> Frame {
        for start in &self.starts {
            patch(
                &mut self.documents,
                *start,
                FRAME_ID_OFFSET,
                &stamp.id.bytes(),
            );
        }
        let received_at = stamp.received_at_ms.to_le_bytes();
        for start in &self.undated {
            patch(&mut self.documents, *start, TIMESTAMP_OFFSET, &received_at);
        }
        let events = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        let bytes = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        let (codec, payload) = payload::compress(stamp.codec, self.documents);
        let header = Header {
            id: stamp.id,
            received_at_ms: stamp.received_at_ms,
            codec,
            flags: stamp.flags,
            fingerprint: stamp.fingerprint,
            counts: self.counts.into_rows(),
        };
        let meta = header.encode(events, bytes, &payload);
        Frame {
            id: stamp.id,
            events,
            bytes,
            meta,
            payload,
        }
    }
}

fn patch(documents: &mut [u8], start: u32, offset: usize, value: &[u8]) {
    let begin = start as usize + offset;
    if let Some(field) = documents.get_mut(begin..begin + value.len()) {
        field.copy_from_slice(value);
    }
}

/// A sealed frame: the fields of a stream entry.
///
/// # Shape
/// `v` = [`FORMAT_VERSION`], `n` = [`Self::events`], `b` = [`Self::bytes`], `m` = [`Self::meta`],
/// `d` = [`Self::payload`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Identity of the frame.
    pub id: FrameId,
    /// Events inside.
    pub events: u32,
    /// Bytes of the documents, uncompressed.
    pub bytes: u32,
    /// The encoded [`Header`].
    pub meta: Bytes,
    /// The documents, compressed as the header says.
    pub payload: Bytes,
}

/// The fields of a stream entry as they were read, nothing checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawFrame {
    /// `v`, the format version.
    pub version: Option<Bytes>,
    /// `n`, events.
    pub events: Option<Bytes>,
    /// `b`, bytes uncompressed.
    pub bytes: Option<Bytes>,
    /// `m`, the header.
    pub meta: Option<Bytes>,
    /// `d`, the payload.
    pub payload: Option<Bytes>,
}

impl RawFrame {
    /// The events and bytes the entry claims, for the backlog's totals; 0 where it claims none.
    pub fn claimed(&self) -> (u32, u32) {
        (
            number(self.events.as_ref()).unwrap_or(0),
            number(self.bytes.as_ref()).unwrap_or(0),
        )
    }

    /// Checks and parses all but the payload.
    ///
    /// # Errors
    /// [`FrameError`]: the entry is poison and goes to the dead letters whole.
    pub fn header(&self) -> Result<Header, FrameError> {
        let version = field(&self.version, "v")?;
        let known: u8 = number(Some(version)).ok_or_else(|| FrameError::Version {
            found: lossy(version),
        })?;
        if known != FORMAT_VERSION {
            return Err(FrameError::Version {
                found: known.to_string(),
            });
        }
        let events = number(self.events.as_ref()).ok_or(FrameError::Field { name: "n" })?;
        let bytes = number(self.bytes.as_ref()).ok_or(FrameError::Field { name: "b" })?;
        let meta = field(&self.meta, "m")?;
        let payload = field(&self.payload, "d")?;
        let header = Header::decode(meta, events, bytes, payload)?;
        let counted: u64 = header.counts.iter().map(|row| u64::from(row.count)).sum();
        if counted != u64::from(events) {
            return Err(FrameError::Counts { events, counted });
        }
        Ok(header)
    }

    /// Checks and opens the frame.
    ///
    /// # Errors
    /// [`FrameError`]: the entry is poison and goes to the dead letters whole.
    pub fn open(&self) -> Result<OpenFrame, FrameError> {
        let header = self.header()?;
        let (events, bytes) = self.claimed();
        let payload = field(&self.payload, "d")?;
        let documents = payload::expand(header.codec, payload, bytes as usize)?;
        let frame = OpenFrame {
            header,
            events,
            documents,
        };
        frame.check_documents()?;
        Ok(frame)
    }
}

impl From<&Frame> for RawFrame {
    fn from(frame: &Frame) -> Self {
        Self {
            version: Some(Bytes::from(FORMAT_VERSION.to_string())),
            events: Some(Bytes::from(frame.events.to_string())),
            bytes: Some(Bytes::from(frame.bytes.to_string())),
            meta: Some(frame.meta.clone()),
            payload: Some(frame.payload.clone()),
        }
    }
}

/// An opened frame: its header and its documents.
#[derive(Debug, Clone)]
pub struct OpenFrame {
    /// What the frame says of itself.
    pub header: Header,
    /// Events inside, at least 1.
    pub events: u32,
    /// The documents, one complete BSON document after the other.
    pub documents: Bytes,
}

impl OpenFrame {
    /// The documents one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        // `open` has walked them all, so none is malformed here.
        documents(&self.documents).map_while(Result::ok)
    }

    fn check_documents(&self) -> Result<(), FrameError> {
        let mut found = 0_u32;
        for (index, document) in documents(&self.documents).enumerate() {
            let document = document?;
            if !crate::document::has_prefix(document, &self.header.id.bytes()) {
                return Err(FrameError::Document { index });
            }
            found += 1;
        }
        if found != self.events || found == 0 {
            return Err(FrameError::Events {
                claimed: self.events,
                found,
            });
        }
        Ok(())
    }
}

/// Why a stream entry is poison.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Written by another version of EVP, or by something else.
    #[error("format version {found} is not known")]
    Version {
        /// What field `v` holds.
        found: String,
    },
    /// A field is missing or no number.
    #[error("field {name} is missing or malformed")]
    Field {
        /// Name of the field.
        name: &'static str,
    },
    /// The header does not parse or does not fit its checksum.
    #[error("header is malformed")]
    Header(#[from] HeaderError),
    /// The payload does not expand to whole documents.
    #[error("payload is malformed")]
    Payload(#[from] PayloadError),
    /// A document does not begin as EVP's documents do, or belongs to another frame.
    #[error("document {index} does not begin with the fields of this frame")]
    Document {
        /// Which document of the frame.
        index: usize,
    },
    /// The payload holds another number of documents than the entry says.
    #[error("{claimed} events claimed, {found} found")]
    Events {
        /// Field `n`.
        claimed: u32,
        /// Documents in the payload.
        found: u32,
    },
    /// The entry lies on another partition than its frame belongs to.
    #[error("frame {id} belongs to another partition")]
    Partition {
        /// The frame.
        id: FrameId,
    },
    /// The header's counts do not add up to the events.
    #[error("{events} events claimed, {counted} counted by type")]
    Counts {
        /// Field `n`.
        events: u32,
        /// Sum of the header's rows.
        counted: u64,
    },
}

fn field<'f>(field: &'f Option<Bytes>, name: &'static str) -> Result<&'f Bytes, FrameError> {
    field.as_ref().ok_or(FrameError::Field { name })
}

fn number<T: std::str::FromStr>(field: Option<&Bytes>) -> Option<T> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}

fn lossy(bytes: &Bytes) -> String {
    let shown = bytes.get(..bytes.len().min(16)).unwrap_or_default();
    String::from_utf8_lossy(shown).into_owned()
}

#[cfg(test)]
mod tests;
