//! Opening what was delivered: frames, and the entries that are none.

use evp_shared::frame::{FrameError, OpenFrame, RawFrame};

use crate::entry::{Delivery, Pending};

/// A delivered entry that holds a frame.
#[derive(Debug)]
pub struct OpenEntry {
    /// What acknowledges it.
    pub pending: Pending,
    /// Whether it may have been worked on before.
    pub redelivered: bool,
    /// The frame.
    pub frame: OpenFrame,
}

/// A delivered entry that is no frame of this EVP's.
#[derive(Debug)]
pub struct PoisonEntry {
    /// What acknowledges it.
    pub pending: Pending,
    /// Its fields.
    pub raw: RawFrame,
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
    pub gone: Vec<Pending>,
    /// Made under another identity: they stay pending.
    pub foreign: usize,
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
    for delivery in deliveries {
        let pending = Pending::of(&delivery);
        let Some(raw) = delivery.entry.frame else {
            opened.gone.push(pending);
            continue;
        };
        match open_on(pending.partition, &raw) {
            Ok(frame) if frame.header.fingerprint != fingerprint => opened.foreign += 1,
            Ok(frame) => opened.frames.push(OpenEntry {
                pending,
                redelivered: delivery.redelivered,
                frame,
            }),
            Err(error) => opened.poison.push(PoisonEntry {
                pending,
                raw,
                error,
            }),
        }
    }
    opened
}
