//! The documents of a bulk, sorted by what command they go with.
//!
//! Hot path: per event one look at its id, its timestamp and, where its client gave it an id, the
//! filters; nothing is allocated for one, and dates are reckoned once per span.

use std::collections::HashMap;

use evp_shared::document::{canonical_id, has_event_id, timestamp_ms};
use evp_shared::event::span::Span;
use evp_shared::frame::OpenFrame;

use crate::store::insert::StoreFailure;
use crate::store::spans::Layout;
use crate::store::suspects::Seen;
use crate::written::{Id, StoredFacts, Written};

/// An event whose own time is this much older than its frame's is probably sent again. It needs no
/// memory, and is seen whichever processor had it first.
const LATE_MS: u64 = 5_000;

/// A frame that is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct ToStore<'b> {
    /// Its documents.
    pub frame: &'b OpenFrame,
    /// Whether it may have been worked on before.
    pub redelivered: bool,
}

/// Why a document may be stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspicion {
    /// It may not.
    None,
    /// It is late: mostly for the first time.
    Late,
    /// It, or its frame, was seen: mostly it is there.
    Seen,
}

/// Documents of one command.
#[derive(Debug)]
pub(super) struct Part<'d> {
    /// Where they go.
    pub span: Span,
    /// Why they may be stored already.
    pub suspicion: Suspicion,
    /// The documents.
    pub documents: Vec<&'d [u8]>,
    /// Their places in the bulk.
    pub at: Vec<usize>,
}

impl Part<'_> {
    /// The timestamps of its documents, Unix ms.
    pub(super) fn timestamps_ms(&self) -> impl Iterator<Item = i64> {
        let documents = self.documents.iter();
        documents.filter_map(|document| timestamp_ms(document))
    }
}

/// What became of the documents of a bulk.
#[derive(Debug, Default)]
pub struct Stored {
    /// Of each document, in the order of the bulk. Of a frame that failed it says nothing.
    written: Vec<Written>,
    frames: Vec<StoredFrame>,
    /// How many went apart from the others, as they may be stored already.
    pub suspects: usize,
    /// What was found before the insert, of those that were not inserted for it.
    pub found: HashMap<Id, StoredFacts>,
    /// Commands it took.
    pub commands: usize,
    /// What the first command said that failed.
    pub failure: Option<StoreFailure>,
}

/// What the commands of a part said.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Of each document.
    pub written: Vec<Written>,
    /// Those of [`Stored::found`].
    pub found: HashMap<Id, StoredFacts>,
}

impl From<Vec<Written>> for Answer {
    fn from(written: Vec<Written>) -> Self {
        Self {
            written,
            ..Self::default()
        }
    }
}

#[derive(Debug)]
struct StoredFrame {
    /// The end of its documents.
    end: usize,
    oldest_ms: Option<u64>,
    has_failed: bool,
}

impl Stored {
    /// What became of each frame, in order: of its documents, and the lowest time in their ids; `None`
    /// where a command with one of them failed.
    pub fn frames(&self) -> impl Iterator<Item = Option<(&[Written], Option<u64>)>> {
        let mut from = 0;
        self.frames.iter().map(move |frame| {
            let own = self.written.get(from..frame.end);
            from = frame.end;
            let own = own.filter(|_| !frame.has_failed)?;
            Some((own, frame.oldest_ms))
        })
    }

    /// Whether no frame got through.
    pub fn has_failed(&self) -> bool {
        self.frames.iter().all(|frame| frame.has_failed)
    }

    /// Takes what a command said of the documents of `part`; `None` where it was not sent.
    pub(super) fn take(&mut self, part: &Part<'_>, answer: Option<Result<Answer, StoreFailure>>) {
        match answer {
            Some(Ok(Answer { written, found })) => {
                self.found.extend(found);
                for (at, one) in part.at.iter().zip(written) {
                    if let Some(place) = self.written.get_mut(*at) {
                        *place = one;
                    }
                }
                return;
            }
            Some(Err(failure)) => {
                self.failure.get_or_insert(failure);
            }
            None => {}
        }
        let mut at = part.at.iter().peekable();
        for frame in &mut self.frames {
            while at.next_if(|at| **at < frame.end).is_some() {
                frame.has_failed = true;
            }
        }
    }
}

/// Sorts the documents of `frames`. What lies below `gone_ms` goes nowhere.
///
/// # Errors
/// None for frames that were opened.
pub(super) fn sort<'d>(
    frames: &[ToStore<'d>],
    layout: &Layout,
    gone_ms: u64,
    seen: &mut Seen,
) -> Result<(Vec<Part<'d>>, Stored), StoreFailure> {
    let events = frames.iter().map(|one| one.frame.events as usize).sum();
    let mut parts = Parts::default();
    let mut stored = Stored {
        written: vec![Written::Inserted; events],
        ..Stored::default()
    };
    let mut at = 0;
    for ToStore { frame, redelivered } in frames {
        let late_ms = u64::from(frame.header.id.second()) * 1_000;
        let late_ms = late_ms.saturating_sub(LATE_MS);
        let frame_was_seen = seen.note_frame(frame.header.id);
        let mut oldest_ms = None;
        for document in frame.iter() {
            let id: Id = canonical_id(document).ok_or(StoreFailure::Protocol)?;
            let time_ms = layout.time_ms(&id);
            oldest_ms = oldest(oldest_ms, time_ms);
            // Asked first: what is in flight counts, so each id of a client is noted.
            let was_seen = has_event_id(document) && seen.note(&id);
            let is_late = time_ms.is_some_and(|ms| ms < late_ms);
            if time_ms.is_some_and(|ms| ms < gone_ms) {
                *stored.written.get_mut(at).ok_or(StoreFailure::Protocol)? = Written::Expired;
            } else {
                let suspicion = if was_seen || frame_was_seen || *redelivered {
                    Suspicion::Seen
                } else if is_late {
                    Suspicion::Late
                } else {
                    Suspicion::None
                };
                let part = parts.of((time_ms, suspicion), layout, events - at);
                part.documents.push(document);
                part.at.push(at);
                stored.suspects += usize::from(suspicion != Suspicion::None);
            }
            at += 1;
        }
        stored.frames.push(StoredFrame {
            end: at,
            oldest_ms,
            has_failed: false,
        });
    }
    // The suspects last: a document of this bulk that they repeat is then rather there before them.
    parts.all.sort_by_key(|part| part.suspicion);
    stored.commands = parts.all.len();
    Ok((parts.all, stored))
}

/// The older of two times, where there is one.
pub fn oldest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The parts so far.
#[derive(Default)]
struct Parts<'d> {
    all: Vec<Part<'d>>,
    /// The last one used, by suspicion: nearly always the next.
    last: [usize; 3],
}

impl<'d> Parts<'d> {
    fn of(
        &mut self,
        (time_ms, suspicion): (Option<u64>, Suspicion),
        layout: &Layout,
        room: usize,
    ) -> &mut Part<'d> {
        let is_it = |part: &Part<'_>| part.suspicion == suspicion && part.span.contains(time_ms);
        let last = &mut self.last[suspicion as usize];
        if !self.all.get(*last).is_some_and(is_it) {
            let found = self.all.iter().position(is_it);
            *last = found.unwrap_or(self.all.len());
        }
        if *last == self.all.len() {
            // Nearly always the one part, and seldom more than a few.
            let room = if self.all.is_empty() { room } else { 0 };
            self.all.push(Part {
                span: layout.span_of(time_ms),
                suspicion,
                documents: Vec::with_capacity(room),
                at: Vec::with_capacity(room),
            });
        }
        &mut self.all[*last]
    }
}

#[cfg(test)]
mod tests;
