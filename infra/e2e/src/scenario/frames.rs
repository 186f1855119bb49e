//! Frames that no ingest made: appended directly, so that a scenario knows each of them.

use std::ops::Range;

use anyhow::{Context as _, Result};
use evp_shared::clock::Clock;
use evp_shared::document::{EventBatch, EventMark, canonical_id};
use evp_shared::event::id::IdentityConfig;
use evp_shared::frame::{Codec, Frame, FrameDraft, FrameId, FrameStamp, ProducerId, RawFrame};
use evp_shared::stream::{Life, Stream};
use evp_shared::testing::events;
use uuid::Uuid;

use crate::{Events, Journal, System};

/// Frames per call of the append script.
const PER_CALL: usize = 100;

/// A producer of frames on the first partition.
#[derive(Debug)]
pub(super) struct Frames {
    stream: Stream,
    events: Events,
    producer: ProducerId,
    next: u32,
}

impl Frames {
    pub(super) fn new(system: &System) -> Self {
        Self {
            stream: system.redis.stream(system.partitions),
            events: system.events.clone(),
            producer: ProducerId::new(0, rand::random::<u32>() >> 8),
            next: 1,
        }
    }

    /// Appends one frame for each range of events, and notes them as acknowledged.
    pub(super) async fn append(
        &mut self,
        journal: &mut Journal,
        ranges: impl IntoIterator<Item = Range<u32>>,
    ) -> Result<()> {
        let life = self.stream.hello(0, Life::UNKNOWN, None).await?.life;
        let now_ms = Clock::system().now_ms();
        let mut call = Vec::with_capacity(PER_CALL);
        for numbers in ranges {
            let frame = self.frame(numbers.clone(), now_ms);
            journal.sending(numbers.clone());
            journal.acknowledged(numbers, &ids_of(&frame)?)?;
            call.push(frame);
            if call.len() == PER_CALL {
                self.stream.append(0, life, &call).await?;
                call.clear();
            }
        }
        if !call.is_empty() {
            self.stream.append(0, life, &call).await?;
        }
        Ok(())
    }

    /// The document of an event, as ingest would write it.
    pub(super) fn document(&self, number: u32) -> Vec<u8> {
        let id = self.events.event_id(number);
        events::batch(&[(&id, Events::event_type(number))]).documents
    }

    /// Appends one frame of `documents`, whatever they hold: those of the events from `first` on,
    /// which it notes as acknowledged. Returns the number after them.
    pub(super) async fn append_documents(
        &mut self,
        journal: &mut Journal,
        first: u32,
        documents: &[Vec<u8>],
    ) -> Result<u32> {
        let life = self.stream.hello(0, Life::UNKNOWN, None).await?.life;
        let next = first + u32::try_from(documents.len())?;
        let ids: Result<Vec<Uuid>> = documents.iter().map(|document| id_of(document)).collect();
        let frame = self.frame_of(first, documents)?;
        journal.sending(first..next);
        self.stream.append(0, life, &[frame]).await?;
        journal.acknowledged(first..next, &ids?)?;
        Ok(next)
    }

    fn frame_of(&mut self, first: u32, documents: &[Vec<u8>]) -> Result<Frame> {
        let mut batch = EventBatch::default();
        for (number, document) in (first..).zip(documents) {
            batch.documents.extend(document);
            batch.events.push(EventMark {
                end: u32::try_from(batch.documents.len())?,
                type_index: u16::try_from(batch.types.len())?,
                undated: false,
            });
            batch.types.push(Events::event_type(number).into());
        }
        let received_at_ms = Clock::system().now_ms();
        let second = u32::try_from(received_at_ms / 1_000)?;
        let mut draft = FrameDraft::new();
        draft.push(events::TENANT, &batch, 0..documents.len());
        let number = self.next;
        self.next += 1;
        Ok(draft.seal(FrameStamp {
            id: FrameId::new(second, self.producer, number),
            received_at_ms,
            codec: Codec::default(),
            fingerprint: IdentityConfig::default().fingerprint(),
            flags: 0,
        }))
    }

    fn frame(&mut self, numbers: Range<u32>, now_ms: u64) -> Frame {
        let ids: Vec<String> = numbers
            .clone()
            .map(|number| self.events.event_id(number))
            .collect();
        let list: Vec<(&str, &str)> = ids
            .iter()
            .zip(numbers)
            .map(|(id, number)| (&**id, Events::event_type(number)))
            .collect();
        let number = self.next;
        self.next += 1;
        events::frame(self.producer, number, now_ms, &list)
    }
}

fn ids_of(frame: &Frame) -> Result<Vec<Uuid>> {
    let open = RawFrame::from(frame).open()?;
    open.iter().map(id_of).collect()
}

fn id_of(document: &[u8]) -> Result<Uuid> {
    let id = canonical_id(document).context("a document with an id")?;
    Ok(Uuid::from_bytes(id))
}
