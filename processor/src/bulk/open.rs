//! Opening what was delivered: frames, and the entries that are none.

use evp_shared::frame::{FrameError, OpenFrame, RawFrame};
use evp_shared::stream::{Entry, EntryAck, Life};

use crate::entry::Delivery;

/// A delivered entry that holds a frame.
#[derive(Debug)]
pub struct OpenEntry {
    /// Which partition's stream.
    pub partition: u16,
    /// The life that was known before it was read.
    pub life: Life,
    /// What acknowledges it.
    pub ack: EntryAck,
    /// Whether it may have been worked on before.
    pub redelivered: bool,
    /// The frame.
    pub frame: OpenFrame,
}

/// A delivered entry that is no frame of this EVP's.
#[derive(Debug)]
pub struct PoisonEntry {
    /// The entry.
    pub entry: Entry,
    /// Its fields.
    pub raw: RawFrame,
    /// The life that was known before it was read.
    pub life: Life,
    /// What acknowledges it.
    pub ack: EntryAck,
    /// What is wrong with it.
    pub error: FrameError,
}

/// Deliveries, sorted by what is to be done with them.
#[derive(Debug, Default)]
pub struct Opened {
    /// To be stored.
    pub frames: Vec<OpenEntry>,
    /// To be kept as dead letters.
    pub poison: Vec<PoisonEntry>,
    /// Deleted from the stream while they were pending: to be acknowledged and reported.
    pub gone: Vec<(u16, Life, EntryAck)>,
    /// Made under another identity: they stay pending.
    pub foreign: usize,
}

/// What acknowledges `entry`.
pub fn ack_of(entry: &Entry) -> EntryAck {
    let (events, bytes) = entry
        .frame
        .as_ref()
        .map(RawFrame::claimed)
        .unwrap_or_default();
    EntryAck {
        id: entry.id,
        events,
        bytes,
        stored_bytes: entry.stored_bytes(),
    }
}

/// Opens a frame that must belong to `partition`: its settled bit is there.
fn open_on(partition: u16, raw: &RawFrame) -> Result<OpenFrame, FrameError> {
    let frame = raw.open()?;
    let id = frame.header.id;
    if id.producer().partition() == partition {
        Ok(frame)
    } else {
        Err(FrameError::Partition { id })
    }
}

/// Opens `deliveries`; `fingerprint` is that of this service's identity.
pub fn open_all(deliveries: Vec<Delivery>, fingerprint: u32) -> Opened {
    let mut opened = Opened::default();
    for Delivery {
        mut entry,
        life,
        redelivered,
    } in deliveries
    {
        let ack = ack_of(&entry);
        let Some(raw) = entry.frame.take() else {
            opened.gone.push((entry.partition, life, ack));
            continue;
        };
        match open_on(entry.partition, &raw) {
            Ok(frame) if frame.header.fingerprint != fingerprint => opened.foreign += 1,
            Ok(frame) => {
                let partition = entry.partition;
                opened.frames.push(OpenEntry {
                    partition,
                    life,
                    ack,
                    redelivered,
                    frame,
                });
            }
            Err(error) => opened.poison.push(PoisonEntry {
                entry,
                raw,
                life,
                ack,
                error,
            }),
        }
    }
    opened
}
