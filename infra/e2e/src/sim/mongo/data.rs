//! What a member of the replica set holds: the sum of a prefix of the log.

use std::collections::{BTreeMap, BTreeSet};

use evp_processor::written::{Id, StoredFacts};

use super::op::{Document, Index, Key, Mark, Meta, Row, Standing};
use crate::sim::span::{Span, time_of};

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Put(Key, Document),
    Store(Span, StoredFacts),
    Create(Span, u64),
    Drop(Span),
    Index(Span, Index),
    Unindex(Span, Index),
    Row(Span, Row),
    RemoveRow(Span),
    Mark(Mark, u64),
    Stand(Standing),
    Lease(u32, u64),
    Purge(u64),
}

/// The collection of a span.
#[derive(Debug, Clone, Default)]
pub struct Collection {
    /// Its UUID.
    pub uuid: u64,
    /// Its documents.
    pub documents: BTreeMap<Id, StoredFacts>,
    /// Its indexes that are built.
    pub indexes: BTreeSet<Index>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// Receipts and dead letters.
    pub documents: BTreeMap<Key, Document>,
    /// The spans' collections.
    pub collections: BTreeMap<Span, Collection>,
    /// `meta`.
    pub meta: Meta,
    /// Events that were dropped with their collections, for the check.
    pub dropped: Vec<StoredFacts>,
    /// Dead letters that were purged, for the check.
    pub purged: BTreeSet<Id>,
}

impl Data {
    pub(super) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Put(key, document) => {
                self.documents.insert(key.clone(), document.clone());
            }
            Entry::Store(span, facts) => {
                let at = self.collections.entry(*span).or_default();
                at.documents.insert(facts.event.id, facts.clone());
            }
            Entry::Create(span, uuid) => {
                let fresh = Collection {
                    uuid: *uuid,
                    ..Collection::default()
                };
                self.collections.insert(*span, fresh);
            }
            Entry::Drop(span) => {
                let dropped = self.collections.remove(span).unwrap_or_default();
                self.dropped.extend(dropped.documents.into_values());
            }
            Entry::Index(span, index) => {
                let at = self.collections.entry(*span).or_default();
                at.indexes.insert(*index);
            }
            Entry::Unindex(span, index) => {
                if let Some(at) = self.collections.get_mut(span) {
                    at.indexes.remove(index);
                }
            }
            Entry::Purge(below_ms) => self.purge(*below_ms),
            entry => self.change_meta(entry),
        }
    }

    fn change_meta(&mut self, entry: &Entry) {
        let meta = &mut self.meta;
        match entry {
            Entry::Row(span, row) => {
                meta.rows.insert(*span, row.clone());
            }
            Entry::RemoveRow(span) => {
                meta.rows.remove(span);
            }
            Entry::Mark(Mark::Floor, ms) => meta.floor_ms = *ms,
            Entry::Mark(Mark::Gone, ms) => meta.gone_ms = *ms,
            Entry::Stand(standing) => meta.standing = Some(standing.clone()),
            Entry::Lease(holder, until_ms) => meta.lease = (*holder, *until_ms),
            _ => {}
        }
    }

    fn purge(&mut self, below_ms: u64) {
        let purged = &mut self.purged;
        self.documents.retain(|key, _| {
            let Key::Dead(id, _) = key else { return true };
            let is_old = time_of(id).is_some_and(|ms| ms < below_ms);
            if is_old {
                purged.insert(*id);
            }
            !is_old
        });
    }

    /// The event with `id`, whose span is `span`.
    pub fn event(&self, span: Span, id: &Id) -> Option<&StoredFacts> {
        self.collections.get(&span)?.documents.get(id)
    }

    /// Whether the collection of `span` is the one with `uuid`.
    pub fn is(&self, span: Span, uuid: u64) -> bool {
        self.collections
            .get(&span)
            .is_some_and(|at| at.uuid == uuid)
    }
}
