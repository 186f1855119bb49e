//! Collections that come and go, their indexes, and `meta`.

use std::collections::{BTreeMap, BTreeSet};

use super::data::{Collection, Data, Entry};
use super::op::{Index, Listed, Mark, SpanOp};
use super::{Mongo, MongoAnswer};
use crate::sim::defect::Defect;
use crate::sim::span::Span;

/// An index that is being built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    span: Span,
    uuid: u64,
    index: Index,
    until_ms: u64,
}

impl Build {
    pub(super) fn is_in(&self, data: &Data) -> bool {
        data.is(self.span, self.uuid)
    }
}

impl Mongo {
    pub(super) fn span(&mut self, op: &SpanOp) -> MongoAnswer {
        if self.is_stepping_down && !matches!(op, SpanOp::Read | SpanOp::List) {
            self.step_down(0);
            return MongoAnswer::Systemic;
        }
        match op {
            SpanOp::Read => {
                let seen = self.seen();
                let now_ms = self.now_ms;
                MongoAnswer::Meta(self.data_at(seen).meta.clone(), now_ms)
            }
            SpanOp::List => MongoAnswer::Collections(self.list()),
            SpanOp::Create(span) => {
                if self.data.collections.contains_key(span) {
                    return MongoAnswer::Exists;
                }
                self.create(*span);
                self.majority_answer(MongoAnswer::Done)
            }
            SpanOp::Index(span, uuid, index) => self.index(*span, *uuid, *index),
            SpanOp::Unindex(span, index) => self.write(Entry::Unindex(*span, *index)),
            SpanOp::AddRow(span, row) => {
                if self.data.meta.rows.contains_key(span) {
                    return self.majority_answer(MongoAnswer::Exists);
                }
                self.write(Entry::Row(*span, row.clone()))
            }
            SpanOp::ChangeRow(span, row) if self.has_row(*span, row.uuid) => {
                self.write(Entry::Row(*span, row.clone()))
            }
            SpanOp::RemoveRow(span, uuid) if self.has_row(*span, *uuid) => {
                self.write(Entry::RemoveRow(*span))
            }
            SpanOp::Drop(span) if self.data.collections.contains_key(span) => {
                self.write(Entry::Drop(*span))
            }
            SpanOp::ChangeRow(..) | SpanOp::RemoveRow(..) | SpanOp::Drop(_) => {
                self.majority_answer(MongoAnswer::Done)
            }
            SpanOp::Raise(mark, to_ms) => self.raise(*mark, *to_ms),
            SpanOp::Stand(standing) => self.write(Entry::Stand(standing.clone())),
            SpanOp::Lease(holder, ms) => {
                let (holds, until_ms) = self.data.meta.lease;
                if holds != *holder && self.now_ms < until_ms {
                    return MongoAnswer::Taken;
                }
                self.write(Entry::Lease(*holder, self.now_ms + ms))
            }
            SpanOp::Purge(below_ms) => self.write(Entry::Purge(*below_ms)),
        }
    }

    /// A member is killed and starts again, or the server of its own, with `more` of what was not
    /// synced: what was being built is not.
    pub fn restart(&mut self, more: usize) {
        self.builds.clear();
        if self.process.is_some() {
            self.step_down(more);
        }
    }

    /// Makes the collection of `span`, as an insert into a missing one does as well.
    pub(super) fn create(&mut self, span: Span) {
        self.uuids += 1;
        self.push(Entry::Create(span, self.uuids));
    }

    pub(super) fn finish_builds(&mut self) {
        let now_ms = self.now_ms;
        let due = |build: &Build| build.until_ms <= now_ms;
        let done: Vec<Build> = self.builds.iter().copied().filter(due).collect();
        self.builds.retain(|build| !due(build));
        for build in done {
            if self.data.is(build.span, build.uuid) {
                self.push(Entry::Index(build.span, build.index));
                if !self.is_alone {
                    self.has_majority(self.log.len());
                }
            }
        }
    }

    fn has_row(&self, span: Span, uuid: u64) -> bool {
        self.data
            .meta
            .rows
            .get(&span)
            .is_some_and(|row| row.uuid == uuid)
    }

    fn write(&mut self, entry: Entry) -> MongoAnswer {
        self.push(entry);
        self.majority_answer(MongoAnswer::Done)
    }

    fn raise(&mut self, mark: Mark, to_ms: u64) -> MongoAnswer {
        let meta = &self.data.meta;
        let was_ms = match mark {
            Mark::Floor => meta.floor_ms,
            Mark::Gone => meta.gone_ms,
        };
        if to_ms > was_ms || self.defect == Some(Defect::MarkIsSet) {
            return self.write(Entry::Mark(mark, to_ms));
        }
        self.majority_answer(MongoAnswer::Done)
    }

    fn index(&mut self, span: Span, uuid: Option<u64>, index: Index) -> MongoAnswer {
        let Some(at) = self.data.collections.get(&span) else {
            return MongoAnswer::Mismatch;
        };
        let uuid = uuid.unwrap_or(at.uuid);
        if at.uuid != uuid {
            return MongoAnswer::Mismatch;
        }
        if at.indexes.contains(&index) {
            return self.majority_answer(MongoAnswer::Done);
        }
        if at.documents.is_empty() {
            return self.write(Entry::Index(span, index));
        }
        let same = |build: &&Build| (build.span, build.uuid, build.index) == (span, uuid, index);
        let until_ms = match self.builds.iter().find(same) {
            Some(build) => build.until_ms,
            None => {
                let until_ms = self.now_ms + self.build_ms;
                self.builds.push(Build {
                    span,
                    uuid,
                    index,
                    until_ms,
                });
                until_ms
            }
        };
        MongoAnswer::Building(until_ms)
    }

    /// A deposed primary still shows collections that were rolled back.
    fn list(&mut self) -> BTreeMap<Span, Listed> {
        let listed = |(span, at): (&Span, &Collection)| {
            let building = self.builds.iter().filter(|build| build.span == *span);
            let mut indexes = at.indexes.clone();
            indexes.extend(building.map(|build| build.index));
            let uuid = at.uuid;
            (*span, Listed { uuid, indexes })
        };
        let mut all: BTreeMap<_, _> = self.data.collections.iter().map(listed).collect();
        if std::mem::take(&mut self.is_stale) {
            for (span, uuid) in &self.ghost_uuids {
                let indexes = BTreeSet::new();
                all.insert(
                    *span,
                    Listed {
                        uuid: *uuid,
                        indexes,
                    },
                );
            }
        }
        all
    }
}
