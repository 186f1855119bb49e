//! The frame a dead letter is replayed in: always the same one, whoever makes it and when.

use crate::dead_letters::letter::{Kept, Letter};
use crate::document::{EventBatch, EventMark};
use crate::frame::{Codec, Frame, FrameDraft, FrameStamp, RawFrame};

/// The frame of `letter`, or why there is none.
pub(super) fn frame_of(
    letter: &Letter,
    fingerprint: u32,
    partitions: u16,
) -> Result<Frame, String> {
    let frame = match &letter.kept {
        Some(Kept::Event(document)) => of_event(letter, document, fingerprint)?,
        Some(Kept::Entry(raw)) => of_entry(raw)?,
        None => return Err("nothing of it was kept".to_owned()),
    };
    let opened = RawFrame::from(&frame).open().map_err(text)?;
    if opened.header.fingerprint != fingerprint {
        return Err("its frame was made under another identity".to_owned());
    }
    let partition = frame.id.producer().partition();
    if partition >= partitions {
        return Err(format!("its partition {partition} is not configured"));
    }
    Ok(frame)
}

fn of_event(letter: &Letter, document: &[u8], fingerprint: u32) -> Result<Frame, String> {
    let whole = document
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes) as usize);
    if let Some(whole) = whole.filter(|whole| *whole > document.len()) {
        return Err(format!(
            "only its first {} of {whole} bytes were kept",
            document.len()
        ));
    }
    let replay = letter.replay.ok_or("it was purged meanwhile")?;
    let (Some(tenant), Some(event_type)) = (&letter.tenant, &letter.event_type) else {
        return Err("it has no tenant or type".to_owned());
    };
    let batch = EventBatch {
        documents: document.to_vec(),
        events: vec![EventMark {
            end: u32::try_from(document.len()).map_err(text)?,
            type_index: 0,
            undated: false,
        }],
        types: vec![event_type.as_str().into()],
    };
    let mut draft = FrameDraft::new();
    draft.push(tenant, &batch, 0..1);
    Ok(draft.seal(FrameStamp {
        id: replay.frame,
        // From the id, so that the frame is the same whenever it is made again.
        received_at_ms: u64::from(replay.frame.second()) * 1_000,
        codec: Codec::default(),
        fingerprint,
        flags: 0,
    }))
}

/// The frame an entry holds, if it decodes by now.
fn of_entry(raw: &RawFrame) -> Result<Frame, String> {
    let opened = raw.open().map_err(text)?;
    let (events, bytes) = raw.claimed();
    Ok(Frame {
        id: opened.header.id,
        events,
        bytes,
        meta: raw.meta.clone().unwrap_or_default(),
        payload: raw.payload.clone().unwrap_or_default(),
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::{LetterId, Replaying};
    use crate::frame::{FrameId, ProducerId};
    use crate::testing::events;

    fn replaying(partition: u16) -> Replaying {
        Replaying {
            frame: FrameId::new(200, ProducerId::new(partition, 2), 3),
            at_ms: 200_000,
        }
    }

    fn letter(document: Vec<u8>) -> Letter {
        let frame = FrameId::new(100, ProducerId::new(0, 1), 1);
        Letter {
            id: LetterId::Event { id: [0; 16], frame },
            partition: 0,
            reason: String::new(),
            detail: String::new(),
            at_ms: 0,
            tenant: Some(events::TENANT.to_owned()),
            event_type: Some("click".to_owned()),
            replay: Some(replaying(0)),
            bytes: 0,
            kept: Some(Kept::Event(document)),
        }
    }

    #[test]
    fn an_event_gets_a_frame_of_its_own_that_is_always_the_same() {
        let batch = events::batch(&[("a", "click")]);
        let letter = letter(batch.documents);
        let frame = frame_of(&letter, 7, 1).unwrap();
        assert_eq!(frame.id, replaying(0).frame);
        assert_eq!(frame_of(&letter, 7, 1).unwrap(), frame);
        let opened = RawFrame::from(&frame).open().unwrap();
        assert_eq!(opened.header.received_at_ms, 200_000);
        assert_eq!(&*opened.header.counts[0].event_type, "click");
    }

    #[test]
    fn what_is_no_document_of_ours_has_no_frame() {
        for bytes in [vec![], vec![5, 0, 0, 0, 0], vec![0; 100]] {
            assert!(frame_of(&letter(bytes), 7, 1).is_err());
        }
        let batch = events::batch(&[("a", "click")]);
        let cut = batch.documents[..100].to_vec();
        let reason = frame_of(&letter(cut), 7, 1).unwrap_err();
        assert!(reason.starts_with("only its first 100 of "), "{reason}");
        let mut elsewhere = letter(batch.documents);
        elsewhere.replay = Some(replaying(1));
        let reason = frame_of(&elsewhere, 7, 1).unwrap_err();
        assert!(reason.contains("partition 1"), "{reason}");
    }
}
