//! Events into their spans: a bulk's documents go with one command per span and one more for its
//! suspects, a few at a time. Those that were seen before are looked up first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use evp_shared::clock::Clock;
use evp_shared::document::canonical_id;
use evp_shared::frame::FrameId;
use futures::StreamExt as _;
use futures::stream;
use parking_lot::Mutex;

use crate::store::insert::{Inserter, StoreFailure};
use crate::store::parts::{Answer, Part, Stored, Suspicion, ToStore, sort};
use crate::store::spans::{Known, Layout, Spans};
use crate::store::suspects::Seen;
use crate::written::{Id, Written};

/// Commands of one bulk at once. Source: four inserts at once keep MongoDB busy, more only queue.
pub const COMMANDS_AT_ONCE: usize = 4;

/// Frames that are known to have failed alone, at most.
const ALONE_MAX: usize = 1_000;

/// The way of events into MongoDB.
#[derive(Debug)]
pub struct Events {
    pub(super) inserter: Inserter,
    /// Where they go.
    pub spans: Spans,
    seen: Mutex<Seen>,
    /// Frames that failed alone, and have not gone through since.
    failed_alone: Mutex<HashSet<FrameId>>,
}

impl Events {
    /// Knows no event and no span yet.
    pub fn new(inserter: Inserter, layout: Layout, clock: Clock) -> Self {
        Self {
            spans: Spans::new(inserter.clone(), layout, clock),
            inserter,
            seen: Mutex::default(),
            failed_alone: Mutex::default(),
        }
    }

    /// What commands are run by.
    pub fn inserter(&self) -> &Inserter {
        &self.inserter
    }

    /// Inserts the documents of `frames`. A frame that is alone and failed alone before is taken apart
    /// until the documents at fault stand alone.
    ///
    /// # Errors
    /// [`StoreFailure`] where no frame got through; else the failure is told with what did. Of the
    /// documents of a frame that did not, any may be stored or not.
    pub async fn insert(&self, frames: &[ToStore<'_>]) -> Result<Stored, StoreFailure> {
        let marks = self.spans.marks().await;
        let sorted = sort(
            frames,
            &self.spans.layout,
            marks.gone_ms,
            &mut self.seen.lock(),
        );
        let (parts, mut stored) = sorted?;
        let alone = match frames {
            [one] => Some(one.frame.header.id),
            _ => None,
        };
        let isolate = alone.is_some_and(|frame| self.failed_alone.lock().contains(&frame));
        let stop = AtomicBool::new(false);
        let mut commands = Vec::with_capacity(parts.len());
        for part in &parts {
            commands.push(self.insert_part(part, isolate, &stop));
        }
        let mut answers = stream::iter(commands).buffer_unordered(COMMANDS_AT_ONCE);
        while let Some((part, answer)) = answers.next().await {
            stored.take(part, answer);
        }
        if let Some(frame) = alone {
            self.note_alone(frame, stored.has_failed());
        }
        if stored.has_failed()
            && let Some(failure) = stored.failure.take()
        {
            return Err(failure);
        }
        Ok(stored)
    }

    /// Inserts `part`; once a command had no answer, none is sent that was not sent before: it would
    /// only wait as long.
    async fn insert_part<'p, 'd>(
        &self,
        part: &'p Part<'d>,
        isolate: bool,
        stop: &AtomicBool,
    ) -> (&'p Part<'d>, Option<Result<Answer, StoreFailure>>) {
        if stop.load(Ordering::Relaxed) {
            return (part, None);
        }
        let mut answer = self.try_part(part, isolate).await;
        // The row was old: with the one there is now, once more.
        let is_old = |failure: &StoreFailure| failure.is_of_another_collection();
        if answer.as_ref().is_err_and(is_old) {
            answer = self.try_part(part, isolate).await;
        }
        if answer.as_ref().is_err_and(StoreFailure::is_without_answer) {
            stop.store(true, Ordering::Relaxed);
        }
        (part, Some(answer))
    }

    async fn try_part(&self, part: &Part<'_>, isolate: bool) -> Result<Answer, StoreFailure> {
        let Some(known) = self.spans.place(&part.span).await? else {
            return Ok(vec![Written::Expired; part.documents.len()].into());
        };
        self.spans.note_days(&known, part.timestamps_ms()).await?;
        let answer = if isolate {
            self.isolate(&known, &part.documents)
                .await
                .map(Answer::from)
        } else if part.suspicion == Suspicion::Seen {
            self.insert_missing(&known, &part.documents).await
        } else {
            let written = self.inserter.insert(known.target(), &part.documents).await;
            written.map(Answer::from)
        };
        self.forget_what_is_old(&known, &answer);
        answer
    }

    /// Inserts what of `documents` is not there: to find one costs a third of what its refusal does.
    async fn insert_missing(
        &self,
        known: &Known,
        documents: &[&[u8]],
    ) -> Result<Answer, StoreFailure> {
        let ids: Option<Vec<Id>> = documents.iter().map(|one| canonical_id(one)).collect();
        let ids = ids.ok_or(StoreFailure::Protocol)?;
        let find = || self.find_in(known.target().name, &ids);
        let found = self.inserter.sure(find).await?;
        let missing = ids.iter().zip(documents);
        let missing = missing.filter(|(id, _)| !found.contains_key(*id));
        let missing: Vec<&[u8]> = missing.map(|(_, document)| *document).collect();
        let written = self.inserter.insert(known.target(), &missing).await?;
        let mut written = written.into_iter();
        let each = ids.iter().map(|id| {
            let is_found = found.contains_key(id).then_some(Written::DuplicateKey);
            is_found.or_else(|| written.next())
        });
        let written: Option<Vec<Written>> = each.collect();
        let written = written.ok_or(StoreFailure::Protocol)?;
        Ok(Answer { written, found })
    }

    /// Forgets the row of a span whose collection is another one.
    fn forget_what_is_old<T>(&self, known: &Known, answer: &Result<T, StoreFailure>) {
        if let Err(failure) = answer
            && failure.is_of_another_collection()
        {
            self.spans.forget(known);
        }
    }

    fn note_alone(&self, frame: FrameId, has_failed: bool) {
        let mut failed = self.failed_alone.lock();
        if !has_failed {
            failed.remove(&frame);
            return;
        }
        if failed.len() >= ALONE_MAX {
            failed.clear();
        }
        failed.insert(frame);
    }

    /// Asks whether MongoDB takes a small event that is made now.
    ///
    /// # Errors
    /// [`StoreFailure`]: it does not.
    pub async fn probe_now(&self) -> Result<(), StoreFailure> {
        let span = self.spans.span_of_now();
        let known = self.spans.place(&span).await?;
        let known = known.ok_or_else(|| StoreFailure::NoSpan(span.to_string()))?;
        let probed = self.probe(&known, 0).await;
        self.forget_what_is_old(&known, &probed);
        probed
    }
}
