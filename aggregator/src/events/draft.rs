//! A page on its way.

use std::collections::HashSet;

use bson::RawDocumentBuf;
use evp_shared::event::span::Span;
use evp_shared::store::{Row, code_of};
use futures::future::join_all;

use super::list::{List, Room};
use super::merge::{self, Front, Next};
use super::position::Position;
use super::reader::{Reader, Unread};
use crate::error::QueryError;

/// Bytes of documents after which a page ends early: 1,000 events may be 256 KiB each.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events of one part that are read at once even where the page is made of many: one answer of
/// mongod's has as many.
const EVENTS_MIN: usize = 100;

/// Times that spans are opened again in one page. Source: one span at a time is sealed, and it changes
/// its indexes once.
const REOPENED_MAX: u32 = 5;

/// mongod's codes for a hint at an index that is not there (or hidden), and for a cursor whose index or
/// collection went away.
const GONE: [i32; 3] = [2, 175, 43];

/// How far a page came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// To the end of the list.
    Read,
    /// To the end of the page; there is more.
    PageFull,
}

/// A page on its way.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    list: &'a List<'a>,
    readers: Vec<Reader<'a>>,
    limit: usize,
    /// The events, in the order in which they are read.
    pub(super) taken: Vec<(Position, RawDocumentBuf)>,
    bytes: usize,
    /// Where it began.
    begun: Option<Position>,
    reopened: u32,
}

impl<'a> Draft<'a> {
    /// A page of at most `limit` events after `begun`, out of the spans of `rows`.
    pub(super) fn new(
        list: &'a List<'a>,
        rows: Vec<Row>,
        begun: Option<Position>,
        limit: usize,
    ) -> Self {
        let readers = rows.into_iter();
        Self {
            list,
            readers: readers.map(|row| Reader::of(list, row, begun)).collect(),
            limit,
            taken: Vec::new(),
            bytes: 0,
            begun,
            reopened: 0,
        }
    }

    /// Reads until the page is full, or the list at its end. Where it cannot go on, what was read
    /// before that is taken.
    pub(super) async fn read(&mut self) -> Result<Part, Unread> {
        let mut read = Ok(());
        loop {
            match merge::next(self.fronts(), self.list.direction) {
                Next::End => return Ok(Part::Read),
                Next::Take(_) if self.is_full() => return Ok(Part::PageFull),
                Next::Take(at) => self.take(at),
                Next::Read(which) => {
                    read?;
                    read = self.read_on(&which).await;
                }
            }
        }
    }

    /// The place up to and with which everything was taken or does not match.
    pub(super) fn reached(&self) -> Option<Position> {
        let direction = self.list.direction;
        let last = self.taken.last().map(|(place, _)| *place);
        if self.is_full() {
            return last.or(self.begun);
        }
        let read = merge::reached(self.fronts(), direction);
        // A span that was opened again begins where the page did.
        let known = [read, last.or(self.begun)].into_iter().flatten();
        known.max_by(|one, other| direction.compare(one, other))
    }

    fn fronts(&self) -> impl Iterator<Item = Front> {
        self.readers.iter().map(|reader| reader.strand.front())
    }

    fn is_full(&self) -> bool {
        self.taken.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }

    fn take(&mut self, at: usize) {
        let reader = self.readers.get_mut(at);
        if let Some((place, document)) = reader.and_then(|reader| reader.strand.read.pop_front()) {
            self.bytes += document.as_bytes().len();
            self.taken.push((place, document));
        }
    }

    /// Reads on in each of the readers `which`, at once.
    async fn read_on(&mut self, which: &[usize]) -> Result<(), Unread> {
        let room = self.room(which.len());
        let readers = self.readers.iter_mut().enumerate();
        let asked = readers.filter(|(at, _)| which.contains(at));
        let reads = asked.map(|(_, reader)| async {
            let read = reader.read(room).await;
            (reader.strand.row.span, read)
        });
        let mut gone = HashSet::new();
        let (mut others, mut failed, mut refused) = (Vec::new(), Ok(()), 0);
        for (span, read) in join_all(reads).await {
            match read {
                Ok(parts) => others.extend(parts),
                Err(Unread::Failed(error)) if is_gone(&error) && self.reopened < REOPENED_MAX => {
                    gone.insert(span);
                }
                Err(Unread::TooManyTypes) => refused += 1,
                Err(unread) => failed = Err(unread),
            }
        }
        self.readers.extend(others);
        // A later page is first read up to what it cannot go past.
        if refused == which.len() || (refused > 0 && self.begun.is_none()) {
            return Err(Unread::TooManyTypes);
        }
        failed?;
        if gone.is_empty() {
            return Ok(());
        }
        self.reopened += 1;
        Ok(self.reopen(&gone).await?)
    }

    /// Reads the rows of `spans` again: what they had was sealed or dropped meanwhile.
    async fn reopen(&mut self, spans: &HashSet<Span>) -> Result<(), QueryError> {
        let rows = self.list.events.rows(&self.list.deadline).await?;
        let here = self.taken.last().map(|(place, _)| *place).or(self.begun);
        self.readers
            .retain(|reader| !spans.contains(&reader.strand.row.span));
        let rows = rows.into_iter().filter(|row| spans.contains(&row.span));
        let again = rows.map(|row| Reader::of(self.list, row, here));
        self.readers.extend(again);
        Ok(())
    }

    /// What each of `parts` may read at once: together no more than the page lacks, if not too little.
    fn room(&self, parts: usize) -> Room {
        let read = self.readers.iter().flat_map(|reader| &reader.strand.read);
        let held: usize = read.map(|(_, document)| document.as_bytes().len()).sum();
        // One more than wanted tells whether there is more.
        let lacking = self.limit + 1 - self.taken.len().min(self.limit);
        let bytes = PAGE_BYTES_MAX.saturating_sub(self.bytes + held);
        Room {
            events: lacking.min(lacking.div_ceil(parts).max(EVENTS_MIN)),
            bytes: (bytes / parts).max(1),
        }
    }
}

fn is_gone(error: &QueryError) -> bool {
    let code = match error {
        QueryError::Store { source } => source.as_ref().and_then(code_of),
        _ => None,
    };
    code.is_some_and(|code| GONE.contains(&code))
}
