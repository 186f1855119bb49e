//! Reads one part of a list, by whatever its span has for it.

use evp_shared::store::Row;

use super::list::{List, Room, Strand};
use super::plan::{Plan, Way};
use super::position::Position;
use super::scan::Scan;
use super::walk::Walk;
use crate::error::QueryError;

/// Why a part of a list was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Its span has no index for it, or more types than are merged.
    TooManyTypes,
    /// Anything else.
    Failed(QueryError),
}

impl From<QueryError> for Unread {
    fn from(error: QueryError) -> Self {
        Self::Failed(error)
    }
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) strand: Strand<'a>,
    by: By,
}

#[derive(Debug)]
enum By {
    /// It was not asked for yet.
    Unopened,
    Index(Scan),
    Id(Walk),
}

impl<'a> Reader<'a> {
    /// For the span of `row` after `after`, which is opened when it is read.
    pub(super) fn of(list: &'a List<'a>, row: Row, after: Option<Position>) -> Self {
        Self {
            strand: Strand::of(list, row, after),
            by: By::Unopened,
        }
    }

    /// Opens it, or reads on; what it returns are other parts of the same span, to be read beside it.
    ///
    /// Never both at once: a read that fails would lose the other parts, and with them their events.
    pub(super) async fn read(&mut self, room: Room) -> Result<Vec<Self>, Unread> {
        match &mut self.by {
            By::Unopened => return self.open().await,
            By::Index(scan) => scan.read(&mut self.strand, room).await?,
            By::Id(walk) => walk.read(&mut self.strand, room).await?,
        }
        Ok(Vec::new())
    }

    async fn open(&mut self) -> Result<Vec<Self>, Unread> {
        if self.strand.goes_by_id() {
            self.by = By::Id(Walk::new());
            return Ok(Vec::new());
        }
        let list = self.strand.list;
        let plans = match Way::choose(list.filter, &self.strand.row.indexes) {
            Way::Index(plan) => vec![plan],
            Way::Types => self.merged().await?,
            Way::Ids => return Err(Unread::TooManyTypes),
        };
        let mut scans = plans.into_iter().map(Scan::new);
        match scans.next() {
            Some(first) => self.by = By::Index(first),
            // The tenant has nothing in this span.
            None => self.strand.pieces.pass_all(),
        }
        let others = scans.map(|scan| Self {
            strand: self.strand.beside(),
            by: By::Index(scan),
        });
        Ok(others.collect())
    }

    async fn merged(&self) -> Result<Vec<Plan>, Unread> {
        let list = self.strand.list;
        let (tenant, span) = (&list.filter.tenant, self.strand.row.name());
        let types = list.events.types(tenant, &span, &list.deadline).await?;
        match types.as_deref() {
            Some(types) if types.len() <= list.types_max => Ok(Plan::merged(list.filter, types)),
            _ => Err(Unread::TooManyTypes),
        }
    }
}
