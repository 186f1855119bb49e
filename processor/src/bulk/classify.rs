//! What became of each event of a frame: the decision, without a server.
//!
//! Counting what the insert reported as inserted would be wrong across a crash: an earlier
//! delivery of this same frame may have stored part of it. So an event that was there already is
//! new if the frame that stored it is this one, and a duplicate if it is another.

use std::collections::HashMap;

use evp_shared::counters::CountRow;
use evp_shared::outcome::DeadReason;

use crate::written::{EventFacts, Id, StoredFacts, Written};

/// An event that goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEvent {
    /// Which event of the frame.
    pub index: usize,
    /// Why.
    pub reason: DeadReason,
    /// In MongoDB's words, where it was MongoDB that refused.
    pub detail: String,
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classified {
    /// Every event of it has an outcome.
    Done {
        /// New events per tenant and type.
        counts: Vec<CountRow>,
        /// Events that were stored before.
        duplicates: u32,
        /// Events MongoDB will never take.
        dead: Vec<DeadEvent>,
    },
    /// An event that was there is not any more (expired, erased, rolled back): deliver again.
    Unknown,
}

/// Whether `written` leaves anything to decide.
pub fn is_clean(written: &[Written]) -> bool {
    written.iter().all(|one| *one == Written::Inserted)
}

/// The `_id`s whose stored facts [`classify`] needs.
pub fn to_look_up(events: &[EventFacts], written: &[Written]) -> Vec<Id> {
    let mut ids: Vec<_> = events
        .iter()
        .zip(written)
        .filter(|(_, written)| **written != Written::Inserted)
        .map(|(event, _)| event.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Decides over the distinct `_id`s of frame `frame`: two requests joined in one frame may carry
/// the same event, which is one new event and one duplicate.
pub fn classify(
    frame: &[u8; 12],
    events: &[EventFacts],
    written: &[Written],
    stored: &HashMap<Id, StoredFacts>,
) -> Classified {
    let mut indices: HashMap<Id, Vec<usize>> = HashMap::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        indices.entry(event.id).or_default().push(index);
    }
    let mut tally = Tally::default();
    for (id, indices) in indices {
        let one = OneId {
            frame,
            events,
            written,
            indices: &indices,
        };
        if !one.decide(stored.get(&id), &mut tally) {
            return Classified::Unknown;
        }
    }
    tally.done()
}

#[derive(Default)]
struct Tally {
    counts: HashMap<(String, String), u32>,
    duplicates: u32,
    dead: Vec<DeadEvent>,
}

impl Tally {
    fn stored_once(&mut self, tenant: &str, event_type: &str, copies: usize) {
        *self
            .counts
            .entry((tenant.to_owned(), event_type.to_owned()))
            .or_default() += 1;
        self.duplicate(copies - 1);
    }

    fn duplicate(&mut self, copies: usize) {
        self.duplicates += u32::try_from(copies).unwrap_or(u32::MAX);
    }

    fn done(self) -> Classified {
        let mut counts: Vec<_> = self
            .counts
            .into_iter()
            .map(|((tenant, event_type), count)| CountRow {
                tenant: tenant.into(),
                event_type: event_type.into(),
                count,
            })
            .collect();
        counts.sort_unstable();
        let mut dead = self.dead;
        dead.sort_unstable_by_key(|event| event.index);
        Classified::Done {
            counts,
            duplicates: self.duplicates,
            dead,
        }
    }
}

/// The copies of one event in a frame.
struct OneId<'a> {
    frame: &'a [u8; 12],
    events: &'a [EventFacts],
    written: &'a [Written],
    indices: &'a [usize],
}

impl OneId<'_> {
    /// Adds the outcome of all copies to `tally`; `false` when it is unknown.
    fn decide(&self, stored: Option<&StoredFacts>, tally: &mut Tally) -> bool {
        let copies = self.indices.len();
        if let Some(event) = self.first(&Written::Inserted) {
            tally.stored_once(&event.tenant, &event.event_type, copies);
            return true;
        }
        match stored {
            Some(stored) if stored.frame == *self.frame => {
                tally.stored_once(&stored.tenant, &stored.event_type, copies);
            }
            Some(stored) => self.against_another(stored, tally),
            // Gone since the insert found it: nothing can be said.
            None if self.first(&Written::DuplicateKey).is_some() => return false,
            None => self.refused(tally),
        }
        true
    }

    fn against_another(&self, stored: &StoredFacts, tally: &mut Tally) {
        for index in self.indices {
            let Some(event) = self.events.get(*index) else {
                continue;
            };
            let ids_differ = match (&event.event_id, &stored.event_id) {
                (Some(own), Some(other)) => own != other,
                _ => false,
            };
            if event.tenant != stored.tenant || ids_differ {
                tally.dead.push(DeadEvent {
                    index: *index,
                    reason: DeadReason::IdCollision,
                    detail: "another event has the same canonical id".to_owned(),
                });
            } else {
                tally.duplicate(1);
            }
        }
    }

    fn refused(&self, tally: &mut Tally) {
        for index in self.indices {
            if let Some(Written::Refused { code, message }) = self.written.get(*index) {
                tally.dead.push(DeadEvent {
                    index: *index,
                    reason: DeadReason::RefusedByStore,
                    detail: format!("{message} (code {code})"),
                });
            }
        }
    }

    fn first(&self, wanted: &Written) -> Option<&EventFacts> {
        let index = self
            .indices
            .iter()
            .find(|index| self.written.get(**index) == Some(wanted))?;
        self.events.get(*index)
    }
}

#[cfg(test)]
mod tests;
