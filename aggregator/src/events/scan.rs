//! Reads a part of a list by an index, in the order of `timestamp` and `_id`.

use bson::{Document, doc};
use futures::TryStreamExt as _;
use mongodb::options::Hint;

use super::filter::Window;
use super::list::{Room, Strand, all_of};
use super::plan::Plan;
use super::position::Position;
use crate::error::QueryError;

/// A scan of an index.
#[derive(Debug)]
pub(super) struct Scan {
    plan: Plan,
    /// Entries that its last step looked at.
    step: Option<u64>,
}

/// A stretch of the current piece.
struct Stretch {
    window: Window,
    after: Option<Position>,
    until: Option<Position>,
}

impl Scan {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, step: None }
    }

    /// Reads on, for as long as there is room and no longer than one step.
    pub(super) async fn read(
        &mut self,
        strand: &mut Strand<'_>,
        room: Room,
    ) -> Result<(), QueryError> {
        let Some((window, after)) = strand.pieces.current() else {
            return Ok(());
        };
        let mut stretch = Stretch {
            window,
            after,
            until: None,
        };
        // What is left to filter may match nothing for a long time, so the index is walked in
        // steps: each is short, and its end is known even when nothing in it matches.
        if !self.plan.residual.is_empty() {
            let step = self.plan.step(self.step);
            stretch.until = self.boundary(strand, &stretch, step).await?;
            self.step = Some(step);
        }
        if self.collect(strand, &stretch, room).await? {
            match stretch.until {
                Some(until) => strand.pieces.pass(until),
                None => strand.pieces.pass_piece(),
            }
        }
        Ok(())
    }

    /// What the stretch is made of: conditions, each with the order in which it is read.
    fn parts(&self, strand: &Strand<'_>, stretch: &Stretch) -> Vec<(Document, Document)> {
        let window = stretch.window.condition();
        let direction = strand.list.direction;
        let between = direction.between(stretch.after, stretch.until);
        let part = |piece: &Document| {
            let condition = all_of([&self.plan.bounds, &window, piece]);
            (condition, direction.sort(piece))
        };
        between.iter().map(part).collect()
    }

    /// The place `step` entries further; `None` when the end is nearer. Reads keys only.
    async fn boundary(
        &self,
        strand: &Strand<'_>,
        stretch: &Stretch,
        step: u64,
    ) -> Result<Option<Position>, QueryError> {
        for (condition, sort) in self.parts(strand, stretch) {
            let limit = strand.list.deadline.left()?;
            let find = strand
                .collection
                .find_one(condition)
                .sort(sort)
                .hint(self.hint())
                .projection(doc! { "timestamp": 1, "_id": 1 })
                .skip(step - 1)
                .max_time(limit);
            if let Some(document) = strand.list.deadline.answer(limit, find).await? {
                return strand.place(&document).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether all of the stretch was read.
    async fn collect(
        &self,
        strand: &mut Strand<'_>,
        stretch: &Stretch,
        mut room: Room,
    ) -> Result<bool, QueryError> {
        for (condition, sort) in self.parts(strand, stretch) {
            let list = strand.list;
            let limit = list.deadline.left()?;
            let collection = strand.collection.clone();
            let find = collection
                .find(all_of([&condition, &self.plan.residual]))
                .sort(sort)
                .hint(self.hint())
                .limit(i64::try_from(room.events).unwrap_or(i64::MAX))
                .max_time(limit);
            let read = async {
                let mut cursor = find.await?;
                while let Some(document) = cursor.try_next().await? {
                    let place = strand.place(&document)?;
                    room.events -= 1;
                    room.bytes = room.bytes.saturating_sub(document.as_bytes().len());
                    strand.push(place, document);
                    if room.events == 0 || room.bytes == 0 {
                        return Ok(false);
                    }
                }
                Ok::<_, QueryError>(true)
            };
            if !list.deadline.answer(limit, read).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hint(&self) -> Hint {
        Hint::Name(self.plan.index.as_str().to_owned())
    }
}
