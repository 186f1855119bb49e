//! One page of a list.

use bson::RawDocumentBuf;
use evp_shared::store::Row;

use super::Events;
use super::cursor::Cursor;
use super::draft::{Draft, Part};
use super::filter::Filter;
use super::list::List;
use super::plan::Way;
use super::position::{Direction, Order, Position};
use super::reader::Unread;
use crate::error::{QueryError, bad_cursor};

/// Types of one span with which a list begins by `timestamp`. Source: ten finds.
const TYPES_FIRST_MAX: usize = 2_000;

/// Why a list that began by `timestamp` ends.
const NO_WAY_ON: &str = "the list goes by timestamp, and has come to a span of time without an index for that or \
     with more types than fit one answer of MongoDB; ask for types, or begin a list whose `to` is before it";

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events, in list order.
    pub documents: Vec<RawDocumentBuf>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<Cursor>,
    /// Where what is newer lies; `None` where nothing is known to be.
    pub previous: Option<Cursor>,
}

/// How far a page was read: its events as they were read, and the place it goes on from.
type Read = (Vec<(Position, RawDocumentBuf)>, Option<Position>);

impl Events {
    /// The events of `filter` after `cursor`, or before it when it leads to newer ones, at most
    /// `limit`.
    ///
    /// The page is shorter, and has a cursor, when its bytes or its time are used up.
    ///
    /// # Errors
    /// [`QueryError::Timeout`] when time ran out before anything was looked at,
    /// [`bad_cursor`] when the list cannot go on in the order it began in, and
    /// [`QueryError::Store`].
    pub async fn page(
        &self,
        filter: &Filter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, QueryError> {
        let deadline = self.deadline(&filter.tenant);
        if self.calendar(&deadline).await?.is_none() {
            // Nothing was ever stored.
            return Ok(Page::default());
        }
        let rows = self.rows(&deadline).await?;
        let order = cursor.map_or_else(|| first_order(filter, &rows), |cursor| cursor.order);
        let mut list = List {
            events: self,
            filter,
            order,
            direction: cursor.map_or(Direction::Older, |cursor| cursor.direction),
            deadline,
            // A list that began by `timestamp` is to come to its end, for as long as a page lasts.
            types_max: cursor.map_or(TYPES_FIRST_MAX, |_| usize::MAX),
        };
        let begun = cursor.map(|cursor| cursor.position);
        let read = match read(&list, rows.clone(), begun, limit).await {
            Err(Unread::TooManyTypes) if cursor.is_none() && order == Order::Timestamp => {
                list.order = Order::Id;
                read(&list, rows, begun, limit).await
            }
            read => read,
        };
        match read {
            Ok(read) => Ok(answer(&list, begun, read)),
            Err(Unread::TooManyTypes) => Err(bad_cursor().detail(NO_WAY_ON).into()),
            Err(Unread::Failed(error)) => Err(error),
        }
    }
}

/// By `timestamp` unless a span has no index for it.
fn first_order(filter: &Filter, rows: &[Row]) -> Order {
    let asked = rows.iter().filter(|row| {
        let mut held = row.holds_ms().into_iter();
        held.any(|range| filter.window.of(range).is_some())
    });
    let mut ways = asked.map(|row| Way::choose(filter, &row.indexes));
    if ways.any(|way| way == Way::Ids) {
        Order::Id
    } else {
        Order::Timestamp
    }
}

async fn read(
    list: &List<'_>,
    rows: Vec<Row>,
    begun: Option<Position>,
    limit: usize,
) -> Result<Read, Unread> {
    let mut draft = Draft::new(list, rows, begun, limit);
    let first = draft.reached();
    let reached = match draft.read().await {
        Ok(Part::Read) => None,
        Ok(Part::PageFull) => draft.reached(),
        Err(unread) if is_worth_a_page(&unread, begun) && draft.reached() != first => {
            draft.reached()
        }
        Err(error) => return Err(error),
    };
    Ok((draft.taken, reached))
}

/// Whether what was read before `unread` is handed out. A first page rather begins in another order.
fn is_worth_a_page(unread: &Unread, begun: Option<Position>) -> bool {
    match unread {
        Unread::TooManyTypes => begun.is_some(),
        Unread::Failed(error) => matches!(error, QueryError::Timeout),
    }
}

fn answer(list: &List<'_>, begun: Option<Position>, (taken, reached): Read) -> Page {
    let first = taken.first().map(|(place, _)| *place);
    // Against the way it was read: from its first event on, or from where it began.
    let back = |to| first.or_else(|| begun.map(|begun| begun.before(to)));
    let (next, previous) = match list.direction {
        Direction::Older if begun.is_none() => (reached, None),
        Direction::Older => (reached, back(Direction::Newer)),
        Direction::Newer => (back(Direction::Older), reached),
    };
    let mut documents: Vec<_> = taken.into_iter().map(|(_, document)| document).collect();
    if list.direction == Direction::Newer {
        documents.reverse();
    }
    let cursor = |direction| {
        move |position| Cursor {
            order: list.order,
            direction,
            position,
            window: list.filter.window,
        }
    };
    Page {
        documents,
        next: next.map(cursor(Direction::Older)),
        previous: previous.map(cursor(Direction::Newer)),
    }
}
