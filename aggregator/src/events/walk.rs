//! Reads a span by the time in `_id`: in windows of time, each of which is in `_id` order once per
//! salt, and is put into the order of the list here.

use std::collections::{HashMap, VecDeque};

use bson::{Document, RawDocumentBuf, doc};
use futures::TryStreamExt as _;
use mongodb::action::Find;
use mongodb::options::Hint;

use super::list::{Room, Strand, all_of};
use super::plan::{STEP_ENTRIES, all_conditions};
use super::position::{Direction, Position, stored_id};
use super::salts;
use crate::deadline::Deadline;
use crate::error::QueryError;

/// How much wider or narrower the next window is.
const FACTOR: i64 = 8;
const WIDTH_FIRST_MS: i64 = 60_000;
/// Windows need not be wider than the longest span: a year has 2 to the power of 35 ms.
const WIDTH_MAX_MS: i64 = 1 << 36;
/// Ids that a window may have for each event that is asked for, so that a list of everything does
/// not look at thousands for each of its pages.
const IDS_PER_EVENT: u64 = 8;
const IDS_MIN: u64 = 500;

/// A walk through a span.
#[derive(Debug)]
pub(super) struct Walk {
    width_ms: i64,
    /// What the last window has, in list order, with the bytes of each: still to be read.
    found: VecDeque<(Position, usize)>,
    /// Where that window ends.
    until: Option<Position>,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self {
            width_ms: WIDTH_FIRST_MS,
            found: VecDeque::new(),
            until: None,
        }
    }

    /// Reads on, for as long as there is room and no longer than one window.
    pub(super) async fn read(
        &mut self,
        strand: &mut Strand<'_>,
        room: Room,
    ) -> Result<(), QueryError> {
        if self.found.is_empty() {
            let Some(after) = strand.pieces.passed() else {
                return Ok(());
            };
            let after = opened(after, strand.list.direction);
            let until = self.window(strand, after, room).await?;
            self.find(strand, [after, until]).await?;
            self.until = Some(until);
        }
        self.fetch(strand, room).await?;
        if let (true, Some(until)) = (self.found.is_empty(), self.until) {
            strand.pieces.pass(until);
            if is_end(strand, until) {
                strand.pieces.pass_piece();
            }
        }
        Ok(())
    }

    /// The end of the next window, such that few enough ids lie in it.
    async fn window(
        &mut self,
        strand: &Strand<'_>,
        after: Position,
        room: Room,
    ) -> Result<Position, QueryError> {
        let wanted = u64::try_from(room.events).unwrap_or(u64::MAX);
        let most = wanted.saturating_mul(IDS_PER_EVENT);
        let most = most.clamp(IDS_MIN, STEP_ENTRIES);
        loop {
            let until = edge(strand, after, self.width_ms);
            let ids = self.count(strand, [after, until], most + 1).await?;
            if ids <= most {
                if ids < most / 8 {
                    self.width_ms = (self.width_ms * FACTOR).clamp(1, WIDTH_MAX_MS);
                }
                return Ok(until);
            }
            if self.width_ms == 0 {
                return self.within_a_ms(strand, [after, until], most).await;
            }
            self.width_ms /= FACTOR;
        }
    }

    /// The ids in a window, no further than `most`. Reads keys only.
    async fn count(
        &self,
        strand: &Strand<'_>,
        window: [Position; 2],
        most: u64,
    ) -> Result<u64, QueryError> {
        let Some(ids) = between(strand, window) else {
            return Ok(0);
        };
        let limit = strand.list.deadline.left()?;
        let count = strand.collection.count_documents(ids);
        let count = count.hint(by_id()).limit(most).max_time(limit);
        strand.list.deadline.answer(limit, count).await
    }

    /// The place `ids` further in a window of one ms, which is in `_id` order.
    async fn within_a_ms(
        &self,
        strand: &Strand<'_>,
        [after, until]: [Position; 2],
        ids: u64,
    ) -> Result<Position, QueryError> {
        let Some(condition) = between(strand, [after, until]) else {
            return Ok(until);
        };
        let limit = strand.list.deadline.left()?;
        let find = strand.collection.find_one(condition).hint(by_id());
        let find = find
            .sort(doc! { "_id": strand.list.direction.sign() })
            .projection(doc! { "_id": 1 })
            .skip(ids - 1)
            .max_time(limit);
        let found = strand.list.deadline.answer(limit, find).await?;
        found.map_or(Ok(until), |document| strand.place(&document))
    }

    /// Finds what of a window is in the list.
    async fn find(&mut self, strand: &Strand<'_>, window: [Position; 2]) -> Result<(), QueryError> {
        let Some(ids) = between(strand, window) else {
            return Ok(());
        };
        let limit = strand.list.deadline.left()?;
        let wanted = all_of([&ids, &all_conditions(strand.list.filter)]);
        let size = doc! { "$bsonSize": "$$ROOT" };
        let find = strand.collection.find(wanted).hint(by_id());
        let find = find
            .projection(doc! { "_id": 1, "bytes": size })
            .max_time(limit);
        let found = all(&strand.list.deadline, limit, find).await?;
        let sized = |document: &RawDocumentBuf| {
            let bytes = document.get_i32("bytes").unwrap_or_default();
            Ok((strand.place(document)?, usize::try_from(bytes).unwrap_or(0)))
        };
        let mut found: Vec<_> = found.iter().map(sized).collect::<Result<_, QueryError>>()?;
        found.sort_unstable_by(|(one, _), (other, _)| strand.list.direction.compare(one, other));
        self.found = found.into();
        Ok(())
    }

    /// Reads the next events that were found.
    async fn fetch(&mut self, strand: &mut Strand<'_>, mut room: Room) -> Result<(), QueryError> {
        let fits = |(_, bytes): &&(Position, usize)| {
            let has_room = room.events > 0 && room.bytes > 0;
            room.events = room.events.saturating_sub(1);
            room.bytes = room.bytes.saturating_sub(*bytes);
            has_room
        };
        let next = self.found.iter().take_while(fits);
        let next: Vec<Position> = next.map(|(place, _)| *place).collect();
        if next.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = next.iter().map(|place| stored_id(place.id)).collect();
        let limit = strand.list.deadline.left()?;
        let find = strand.collection.find(doc! { "_id": { "$in": ids } });
        let find = find.hint(by_id()).max_time(limit);
        let documents = all(&strand.list.deadline, limit, find).await?;
        let placed = documents.into_iter().map(|document| {
            let place = strand.place(&document)?;
            Ok((place, document))
        });
        let mut placed: HashMap<_, _> = placed.collect::<Result<_, QueryError>>()?;
        self.found.drain(..next.len());
        for place in next {
            match placed.remove(&place) {
                Some(document) => strand.push(place, document),
                // It went away meanwhile.
                None => strand.pieces.pass(place),
            }
        }
        Ok(())
    }
}

fn by_id() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

fn between(strand: &Strand<'_>, window: [Position; 2]) -> Option<Document> {
    let identity = &strand.list.events.identity;
    salts::between(identity, strand.list.direction, window)
}

/// `place`, as the beginning of the next ms where its own is read to the end.
fn opened(place: Position, direction: Direction) -> Position {
    let ms = place.time_ms;
    match direction {
        Direction::Older if place == Position::first_of(ms) => Position::last_of(ms - 1),
        Direction::Newer if place == Position::last_of(ms) => Position::first_of(ms + 1),
        _ => place,
    }
}

/// The last place of what is `width_ms` further than `after`, or of the piece.
fn edge(strand: &Strand<'_>, after: Position, width_ms: i64) -> Position {
    let piece = strand.pieces.current().map(|(piece, _)| piece);
    let bounds = piece.map_or((after.time_ms, after.time_ms), |piece| {
        (piece.from_ms, piece.to_ms - 1)
    });
    match strand.list.direction {
        Direction::Older => Position::first_of((after.time_ms - width_ms).max(bounds.0)),
        Direction::Newer => Position::last_of((after.time_ms + width_ms).min(bounds.1)),
    }
}

/// Whether `place` is the last of its piece.
fn is_end(strand: &Strand<'_>, place: Position) -> bool {
    let last = edge(strand, place, WIDTH_MAX_MS);
    strand.list.direction.compare(&place, &last).is_ge()
}

async fn all(
    deadline: &Deadline,
    limit: std::time::Duration,
    find: Find<'_, RawDocumentBuf>,
) -> Result<Vec<RawDocumentBuf>, QueryError> {
    let read = async { find.await?.try_collect().await };
    deadline.answer(limit, read).await
}
