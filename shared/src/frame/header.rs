//! Field `m` of a stream entry: what a frame says of itself, with the checksum over all of it.

use bytes::{BufMut, Bytes, BytesMut};

use super::FORMAT_VERSION;
use super::id::FrameId;
use super::payload::Codec;
use crate::counters::CountRow;

/// Reserved: someone waits for this frame to be stored.
pub const FLAG_AWAITED: u8 = 1;

const FIXED_BYTES: usize = 28;
const CHECKSUM_BYTES: usize = 4;

/// What a frame says of itself.
///
/// # Shape
/// Frame id (12 bytes), received-at ms (u64), codec (u8), flags (u8), fingerprint (u32), rows
/// (u16); per row tenant length (u8), type length (u8), count (u32), tenant, type; at the end a
/// CRC-32 of format version, events, bytes, all of the header before it, and the payload.
/// Numbers are little-endian, the frame id is as MongoDB stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Identity of the frame.
    pub id: FrameId,
    /// Unix ms at which ingest took the frame.
    pub received_at_ms: u64,
    /// How the payload is compressed.
    pub codec: Codec,
    /// Flag bits.
    pub flags: u8,
    /// Fingerprint of what fixes the identity of events.
    pub fingerprint: u32,
    /// Events per tenant and type.
    pub counts: Vec<CountRow>,
}

/// Why a header is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It ends too early, or goes on after its last row.
    #[error("length does not fit its content")]
    Length,
    /// A byte was changed after the frame was sealed.
    #[error("checksum does not match")]
    Checksum,
    /// The payload is compressed in a way this build does not know.
    #[error("codec {0} is not known")]
    Codec(u8),
    /// A tenant or type is no UTF-8 text.
    #[error("a tenant or type is no text")]
    Text,
}

impl Header {
    /// Encodes the header of a frame of `events` events and `bytes` bytes.
    pub(super) fn encode(&self, events: u32, bytes: u32, payload: &[u8]) -> Bytes {
        let rows: usize = self
            .counts
            .iter()
            .map(|row| 6 + row.tenant.len() + row.event_type.len())
            .sum();
        let mut out = BytesMut::with_capacity(FIXED_BYTES + rows + CHECKSUM_BYTES);
        out.put_slice(&self.id.bytes());
        out.put_u64_le(self.received_at_ms);
        out.put_u8(self.codec.as_byte());
        out.put_u8(self.flags);
        out.put_u32_le(self.fingerprint);
        // A frame holds at most 65,535 distinct types because it holds fewer events than that.
        out.put_u16_le(u16::try_from(self.counts.len()).unwrap_or(u16::MAX));
        for row in &self.counts {
            out.put_u8(u8::try_from(row.tenant.len()).unwrap_or(u8::MAX));
            out.put_u8(u8::try_from(row.event_type.len()).unwrap_or(u8::MAX));
            out.put_u32_le(row.count);
            out.put_slice(row.tenant.as_bytes());
            out.put_slice(row.event_type.as_bytes());
        }
        let checksum = checksum(events, bytes, &out, payload);
        out.put_u32_le(checksum);
        out.freeze()
    }

    /// Decodes and checks the header `meta` of an entry.
    ///
    /// # Errors
    /// [`HeaderError`] names what is wrong with it.
    pub(super) fn decode(
        meta: &[u8],
        events: u32,
        bytes: u32,
        payload: &[u8],
    ) -> Result<Self, HeaderError> {
        let body_bytes = meta
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .ok_or(HeaderError::Length)?;
        let (body, sum) = meta.split_at(body_bytes);
        let sum: [u8; 4] = sum.try_into().map_err(|_| HeaderError::Length)?;
        if u32::from_le_bytes(sum) != checksum(events, bytes, body, payload) {
            return Err(HeaderError::Checksum);
        }
        let mut rest = body;
        let id = FrameId::from_bytes(take(&mut rest)?);
        let received_at_ms = u64::from_le_bytes(take(&mut rest)?);
        let [codec, flags] = take(&mut rest)?;
        let codec = Codec::from_byte(codec).ok_or(HeaderError::Codec(codec))?;
        let fingerprint = u32::from_le_bytes(take(&mut rest)?);
        let rows = u16::from_le_bytes(take(&mut rest)?);
        let counts = (0..rows)
            .map(|_| count_row(&mut rest))
            .collect::<Result<Vec<_>, HeaderError>>()?;
        if !rest.is_empty() {
            return Err(HeaderError::Length);
        }
        Ok(Self {
            id,
            received_at_ms,
            codec,
            flags,
            fingerprint,
            counts,
        })
    }
}

fn count_row(rest: &mut &[u8]) -> Result<CountRow, HeaderError> {
    let [tenant, event_type] = take(rest)?;
    let count = u32::from_le_bytes(take(rest)?);
    let tenant = text(rest, usize::from(tenant))?;
    let event_type = text(rest, usize::from(event_type))?;
    Ok(CountRow {
        tenant,
        event_type,
        count,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HeaderError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(HeaderError::Length)?;
    *rest = after;
    Ok(*taken)
}

fn text(rest: &mut &[u8], length: usize) -> Result<Box<str>, HeaderError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(HeaderError::Length)?;
    *rest = after;
    std::str::from_utf8(taken)
        .map(Into::into)
        .map_err(|_| HeaderError::Text)
}

fn checksum(events: u32, bytes: u32, body: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[FORMAT_VERSION]);
    hasher.update(&events.to_le_bytes());
    hasher.update(&bytes.to_le_bytes());
    hasher.update(body);
    hasher.update(payload);
    hasher.finalize()
}
