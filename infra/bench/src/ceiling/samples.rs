//! Documents and frames as EVP makes them of the default event.

use anyhow::Context as _;
use evp_shared::document::{DocumentWriter, EventBatch, EventMark};
use evp_shared::event::id::{Identity, IdentityConfig, MadeId};
use evp_shared::event::{Event, EventRules};
use evp_shared::frame::{Codec, Frame, FrameDraft, FrameId, FrameStamp, ProducerId};

use crate::load::Load;
use crate::load::event::EventText;
use crate::load::ids::Random;

const TENANT: &str = "default";

/// `events` default events as documents, at `now_ms`.
pub(super) fn documents(events: u16, seed: u64, now_ms: u64) -> anyhow::Result<EventBatch> {
    let load = Load::open(1.0, 100);
    let mut random = Random::new(seed);
    let identity = Identity::new(IdentityConfig::default());
    let (mut writer, mut batch) = (DocumentWriter::default(), EventBatch::default());
    let rules = EventRules::default();
    for _ in 0..events {
        let mut json = EventText::make(&load, &mut random).json.into_bytes();
        let tape = simd_json::to_tape(&mut json)?;
        let event = Event::parse(&tape.0, &rules, i64::try_from(now_ms)?, &mut Vec::new())
            .map_err(|rejection| anyhow::anyhow!("{rejection:?}"))?;
        let mut bits = [0; 10];
        bits[..8].copy_from_slice(&random.next().to_le_bytes());
        let id = identity.of_made_id(TENANT, &MadeId::new(now_ms, &bits));
        writer
            .write(&mut batch.documents, (id, TENANT), (&event, &[]), &rules)
            .map_err(|rejection| anyhow::anyhow!("{rejection:?}"))?;
        let known = batch
            .types
            .iter()
            .position(|known| **known == *event.event_type);
        let type_index = known.unwrap_or_else(|| {
            batch.types.push(event.event_type.into());
            batch.types.len() - 1
        });
        batch.events.push(EventMark {
            end: u32::try_from(batch.documents.len())?,
            type_index: u16::try_from(type_index)?,
            undated: false,
        });
    }
    Ok(batch)
}

/// A frame of `events` default events, lz4.
pub(super) fn frame(events: u16, number: u32, now_ms: u64) -> anyhow::Result<Frame> {
    let batch = documents(events, u64::from(number), now_ms)?;
    let mut draft = FrameDraft::new();
    draft.push(TENANT, &batch, 0..usize::from(events));
    let second = u32::try_from(now_ms / 1_000).context("the clock is beyond 2106")?;
    Ok(draft.seal(FrameStamp {
        id: FrameId::new(second, ProducerId::new(0, 1), number),
        received_at_ms: now_ms,
        codec: Codec::Lz4,
        fingerprint: IdentityConfig::default().fingerprint(),
        flags: 0,
    }))
}

#[cfg(test)]
mod tests {
    use evp_shared::frame::RawFrame;

    use super::*;

    #[test]
    fn frames_open_to_documents_somewhat_larger_than_their_json() {
        let frame = frame(100, 1, 1_763_733_600_000).unwrap();
        let open = RawFrame::from(&frame).open().unwrap();
        let mean = open.documents.len() / 100;
        assert!((300..350).contains(&mean), "{mean}");
        assert!(frame.payload.len() < open.documents.len() / 2);
    }
}
