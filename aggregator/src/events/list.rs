//! What a page and all that it reads have in common.

use std::collections::VecDeque;

use bson::{Document, RawDocumentBuf, doc};
use evp_shared::event::span::Span;
use evp_shared::store::Row;
use mongodb::Collection;

use super::Events;
use super::filter::Filter;
use super::merge::Front;
use super::pieces::Pieces;
use super::position::{Direction, Order, Position};
use crate::deadline::Deadline;
use crate::error::QueryError;

/// A list, as one page of it is read.
#[derive(Debug, Clone)]
pub(super) struct List<'a> {
    /// Where the events are.
    pub(super) events: &'a Events,
    /// Which ones.
    pub(super) filter: &'a Filter,
    /// What it is ordered by.
    pub(super) order: Order,
    /// Which way it is read.
    pub(super) direction: Direction,
    /// When the page is to end.
    pub(super) deadline: Deadline,
    /// Types of one span that it may be merged of.
    pub(super) types_max: usize,
}

/// What may be read of one part of a list before it is asked again; at least one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Events.
    pub(super) events: usize,
    /// Bytes of their documents.
    pub(super) bytes: usize,
}

/// A part of a list: a span, or some of its types.
#[derive(Debug)]
pub(super) struct Strand<'a> {
    /// The list.
    pub(super) list: &'a List<'a>,
    /// The span's events.
    pub(super) collection: Collection<RawDocumentBuf>,
    /// Which span it is.
    pub(super) row: Row,
    /// What is left of it.
    pub(super) pieces: Pieces,
    /// Read and not taken, in list order.
    pub(super) read: VecDeque<(Position, RawDocumentBuf)>,
}

impl<'a> Strand<'a> {
    /// The span of `row`, after `after`.
    pub(super) fn of(list: &'a List<'a>, row: Row, after: Option<Position>) -> Self {
        let way = (list.order, list.direction);
        Self {
            list,
            collection: list.events.span(&row.name()),
            pieces: Pieces::of(&row, list.filter.window, way, after),
            row,
            read: VecDeque::new(),
        }
    }

    /// Another part of the same span, at the same place.
    pub(super) fn beside(&self) -> Self {
        Self {
            list: self.list,
            collection: self.collection.clone(),
            row: self.row.clone(),
            pieces: self.pieces.clone(),
            read: VecDeque::new(),
        }
    }

    /// What a merge knows of it.
    pub(super) fn front(&self) -> Front {
        Front {
            head: self.read.front().map(|(place, _)| *place),
            passed: self.pieces.passed(),
        }
    }

    /// Notes an event that was read, and where the span is read up to with it.
    pub(super) fn push(&mut self, place: Position, document: RawDocumentBuf) {
        self.read.push_back((place, document));
        self.pieces.pass(place);
    }

    /// Where an event of the span stands.
    pub(super) fn place(&self, document: &RawDocumentBuf) -> Result<Position, QueryError> {
        let id = document.get_binary("_id").ok();
        let id = id.and_then(|binary| <[u8; 16]>::try_from(binary.bytes).ok());
        // Else it is no event of EVP's: whoever wrote it there must take it away again.
        let id = id.ok_or(QueryError::Store { source: None })?;
        let time_ms = if self.goes_by_id() {
            let time_ms = self.list.events.identity.time_ms(&id);
            time_ms.and_then(|ms| i64::try_from(ms).ok())
        } else {
            let time = document.get_datetime("timestamp").ok();
            time.map(|time| time.timestamp_millis())
        };
        let time_ms = time_ms.ok_or(QueryError::Store { source: None })?;
        Ok(Position { time_ms, id })
    }

    /// Whether its events stand where the time in their id puts them.
    pub(super) fn goes_by_id(&self) -> bool {
        self.list.order == Order::Id && self.row.span != Span::Undated
    }
}

/// All of `conditions` together.
pub(super) fn all_of<const N: usize>(conditions: [&Document; N]) -> Document {
    doc! { "$and": conditions.to_vec() }
}
