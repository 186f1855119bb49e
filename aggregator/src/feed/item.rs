//! What the feed is made of: frames, opened once and only when somebody wants to see inside.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;

use bson::raw::RawDocument;
use bytes::Bytes;
use evp_shared::document::tags;
use evp_shared::frame::{FrameError, Header, OpenFrame, RawFrame};
use evp_shared::stream::EntryId;

use crate::event_json::EventJson;

/// What a frame costs besides its events: itself, and its place in the ring.
const ITEM_BYTES: usize = 1_024;

/// How much larger events are once they are opened and written as JSON than what their frame
/// claims: the documents, the rows, the texts.
const OPENED_FACTOR: usize = 3;

/// A frame that was read.
#[derive(Debug)]
pub struct FrameItem {
    /// The partition it was read from.
    pub partition: u16,
    /// Its entry.
    pub entry: EntryId,
    /// What it says of itself.
    pub header: Header,
    raw: RawFrame,
    opened: OnceLock<Option<Opened>>,
}

/// The events of a frame.
#[derive(Debug)]
pub struct Opened {
    frame: OpenFrame,
    /// In order.
    pub rows: Vec<Row>,
}

/// One event: where it lies, and what it is chosen by.
#[derive(Debug)]
pub struct Row {
    place: Range<usize>,
    /// Position of its tenant and type in the header's counts.
    pub kind: usize,
    /// Digest of its user, 0 without one.
    pub user: u64,
    /// Hash by which samples are taken, the same wherever and whenever the event is seen.
    pub sample: u64,
    text: OnceLock<Bytes>,
}

impl FrameItem {
    /// Takes a frame whose header is sound.
    ///
    /// # Errors
    /// [`FrameError`]: it is no frame.
    pub fn new(partition: u16, entry: EntryId, raw: RawFrame) -> Result<Self, FrameError> {
        Ok(Self {
            partition,
            entry,
            header: raw.header()?,
            raw,
            opened: OnceLock::new(),
        })
    }

    /// Its events; `None` when it does not open. `users` makes the digests of users.
    pub fn open(&self, users: &impl BuildHasher) -> Option<&Opened> {
        let open = || Opened::of(self.raw.open().ok()?, users);
        self.opened.get_or_init(open).as_ref()
    }

    /// Bytes it may come to.
    pub fn weight(&self) -> usize {
        let (_, bytes) = self.raw.claimed();
        ITEM_BYTES + OPENED_FACTOR * bytes as usize
    }

    /// Events it claims.
    pub fn events(&self) -> u64 {
        u64::from(self.raw.claimed().0)
    }
}

impl Opened {
    fn of(frame: OpenFrame, users: &impl BuildHasher) -> Option<Self> {
        let mut start = 0;
        let row = |document: &[u8]| {
            let tags = tags(document)?;
            let kind = frame.header.counts.iter().position(|row| {
                &*row.event_type == tags.event_type && &*row.tenant == tags.tenant
            })?;
            let place = start..start + document.len();
            start = place.end;
            Some(Row {
                place,
                kind,
                user: tags.user_id.map_or(0, |user| digest(users, user)),
                sample: sample(document),
                text: OnceLock::new(),
            })
        };
        let rows = frame.iter().map(row).collect::<Option<_>>()?;
        Some(Self { frame, rows })
    }

    /// The event as JSON, written once for all who want it; `None` for no document.
    pub fn text(&self, row: &Row) -> Option<Bytes> {
        if let Some(text) = row.text.get() {
            return Some(text.clone());
        }
        let document = self.frame.documents.get(row.place.clone())?;
        let document = RawDocument::from_bytes(document).ok()?;
        let text = serde_json::to_vec(&EventJson::new(document)).ok()?;
        Some(row.text.get_or_init(|| text.into()).clone())
    }
}

/// Digest of a user's id, never 0.
pub fn digest(users: &impl BuildHasher, user: &str) -> u64 {
    users.hash_one(user).max(1)
}

/// The last 7 bytes of a canonical id are of a hash.
fn sample(document: &[u8]) -> u64 {
    let id = evp_shared::document::canonical_id(document).unwrap_or_default();
    let [.., a, b, c, d, e, f, g] = id;
    u64::from_be_bytes([a, b, c, d, e, f, g, 0])
}
