//! What became of each event of a frame: the decision, without a server.
//!
//! Counting what the insert reported as inserted would be wrong across a crash: an earlier
//! delivery of this same frame may have stored part of it. So an event that was there already is
//! new if the frame that stored it is this one, and a duplicate if it is another.

use std::collections::{BTreeMap, HashMap, HashSet};

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
        /// Events whose time is over.
        expired: u32,
        /// Events MongoDB will never take.
        dead: Vec<DeadEvent>,
        /// Which events of the frame `counts` is made of.
        counted: Vec<usize>,
    },
    /// An event that was there is not any more (erased, rolled back): deliver again.
    Unknown,
}

/// Whether `written` leaves anything to decide.
pub fn is_clean(written: &[Written]) -> bool {
    written.iter().all(|one| *one == Written::Inserted)
}

/// The `_id`s whose stored facts [`classify`] needs.
pub fn to_look_up(events: &[EventFacts], written: &[Written]) -> Vec<Id> {
    let both = events.iter().zip(written);
    let others = both
        .filter(|(_, written)| matches!(written, Written::DuplicateKey | Written::Refused { .. }));
    let mut ids: Vec<_> = others.map(|(event, _)| event.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Decides over frame `frame`: two requests joined in it may carry the same event, which is one new
/// event and one duplicate.
pub fn classify(
    frame: &[u8; 12],
    events: &[EventFacts],
    written: &[Written],
    stored: &HashMap<Id, StoredFacts>,
) -> Classified {
    let both = events.iter().zip(written);
    let inserted = both.clone().filter(|(_, one)| **one == Written::Inserted);
    let inserted: HashSet<Id> = inserted.map(|(event, _)| event.id).collect();
    let mut stored_before = HashSet::new();
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let (mut duplicates, mut expired, mut dead) = (0, 0, Vec::new());
    let mut counted = Vec::new();
    let mut dies = |index, reason, detail| {
        dead.push(DeadEvent {
            index,
            reason,
            detail,
        });
    };
    for (index, (event, written)) in both.enumerate() {
        let new = match (written, stored.get(&event.id)) {
            (Written::Expired, _) => {
                expired += 1;
                continue;
            }
            (Written::Inserted, _) => Some((&*event.tenant, &*event.event_type)),
            _ if inserted.contains(&event.id) => None,
            (_, Some(stored)) if stored.frame == *frame => {
                let is_first = stored_before.insert(event.id);
                is_first.then_some((&*stored.event.tenant, &*stored.event.event_type))
            }
            (_, Some(stored)) if are_different(event, &stored.event) => {
                let detail = "another event has the same canonical id".to_owned();
                dies(index, DeadReason::IdCollision, detail);
                continue;
            }
            (_, Some(_)) => None,
            // Gone since the insert found it: nothing can be said.
            (Written::DuplicateKey, None) => return Classified::Unknown,
            (Written::Refused { code, message }, None) => {
                let detail = format!("{message} (code {code})");
                dies(index, DeadReason::RefusedByStore, detail);
                continue;
            }
        };
        match new {
            Some(row) => {
                *counts.entry(row).or_default() += 1;
                counted.push(index);
            }
            None => duplicates += 1,
        }
    }
    let row = |((tenant, event_type), count): ((&str, &str), u32)| CountRow {
        tenant: tenant.into(),
        event_type: event_type.into(),
        count,
    };
    Classified::Done {
        counts: counts.into_iter().map(row).collect(),
        duplicates,
        expired,
        dead,
        counted,
    }
}

/// Whether two events merely have one canonical id. A made id is not stored, so it cannot differ.
fn are_different(event: &EventFacts, stored: &EventFacts) -> bool {
    let ids = event.event_id.as_ref().zip(stored.event_id.as_ref());
    event.tenant != stored.tenant || ids.is_some_and(|(own, other)| own != other)
}

#[cfg(test)]
mod tests;
