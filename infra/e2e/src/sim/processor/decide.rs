//! What became of each event of a frame, and the receipt that says it.

use std::collections::{BTreeMap, HashMap, HashSet};

use evp_processor::bulk::classify::{Classified, classify, is_clean, to_look_up};
use evp_processor::written::{EventFacts, Id, StoredFacts, Written};
use evp_shared::counters::CountRow;
use evp_shared::stream::Settle;

use super::Processor;
use super::bulk::{Failure, Outcome};
use crate::sim::defect::Defect;
use crate::sim::mongo::{As, Document, Key, MongoAnswer, MongoOp, ReadConcern, Receipt};
use crate::sim::redis::Frame;
use crate::sim::span::{Span, time_of};

/// What is known of one document after the commands of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// By the insert.
    Written(Written),
    /// It lies below `gone`.
    Expired,
    /// Its command failed.
    Nothing,
}

impl Processor {
    /// `None` when nothing can be said yet: the frame stays pending.
    /// `found` is what was looked up before the insert.
    pub(super) async fn decide(
        &self,
        frame: &Frame,
        said: &[Said],
        found: &HashMap<Id, StoredFacts>,
    ) -> Result<Outcome, Failure> {
        let is_partly_enough = self.has(Defect::AckPartlyStored);
        if said.contains(&Said::Nothing) && !is_partly_enough {
            return Ok(None);
        }
        let mut events = Vec::new();
        let mut written = Vec::new();
        for (event, said) in frame.events.iter().zip(said) {
            match said {
                Said::Written(one) => {
                    events.push(event.clone());
                    written.push(one.clone());
                }
                Said::Expired => {
                    events.push(event.clone());
                    written.push(Written::Expired);
                }
                Said::Nothing => {}
            }
        }
        let mut ids = to_look_up(&events, &written);
        ids.retain(|id| !found.contains_key(id));
        let mut stored = self.look_up(ids, &written).await?;
        stored.extend(found.clone());
        let Classified::Done {
            counts,
            duplicates,
            expired,
            dead,
            counted,
        } = self.classify(frame, (&events, &written), &mut stored)
        else {
            return Ok(None);
        };
        let letters: Vec<(Key, Document)> = dead
            .iter()
            .filter_map(|dead| events.get(dead.index))
            .map(|event| {
                let document = Document::Dead(event.event_type.clone());
                (Key::Dead(event.id, frame.id), document)
            })
            .collect();
        let dead: HashSet<usize> = dead.iter().map(|dead| dead.index).collect();
        let named = name(frame, (&events, &written), (&stored, &dead));
        let counted = counted.iter().filter_map(|index| events.get(*index));
        let oldest_ms = counted.filter_map(|event| time_of(&event.id)).min();
        let receipt = Receipt {
            settle: Settle {
                frame: frame.id,
                receipt_at_ms: 0,
                counts,
                duplicates,
                dead_letters: u32::try_from(letters.len()).unwrap_or(u32::MAX),
                expired,
            },
            oldest_ms,
            events: named,
        };
        Ok(Some((receipt, letters)))
    }

    /// What is stored under `ids`, span by span.
    async fn look_up(
        &self,
        ids: Vec<Id>,
        written: &[Written],
    ) -> Result<HashMap<Id, StoredFacts>, Failure> {
        let mut stored = HashMap::new();
        if is_clean(written) {
            return Ok(stored);
        }
        let concern = if self.has(Defect::FindAsProof) {
            ReadConcern::Local
        } else {
            ReadConcern::Majority
        };
        let mut by_span: BTreeMap<Span, Vec<Id>> = BTreeMap::new();
        for id in ids {
            by_span.entry(self.span_of(&id)).or_default().push(id);
        }
        for (span, ids) in by_span {
            match self.mongo(MongoOp::LookUp(span, ids, concern)).await {
                Some(MongoAnswer::LookedUp(found)) => stored.extend(found),
                _ => return Err(Failure::Store),
            }
        }
        Ok(stored)
    }

    fn classify(
        &self,
        frame: &Frame,
        (events, written): (&[EventFacts], &[Written]),
        stored: &mut HashMap<Id, StoredFacts>,
    ) -> Classified {
        let id = frame.id.bytes();
        if self.has(Defect::DuplicatesWithoutF) {
            stored.values_mut().for_each(|facts| facts.frame = [0; 12]);
        }
        if !self.has(Defect::NonDistinctIds) {
            return classify(&id, events, written, stored);
        }
        let mut sum = (Vec::<CountRow>::new(), [0; 2], Vec::new());
        let mut all_counted = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let one = std::slice::from_ref(event);
            match classify(&id, one, &written[index..=index], stored) {
                Classified::Unknown => return Classified::Unknown,
                Classified::Done {
                    counts,
                    duplicates,
                    expired,
                    mut dead,
                    counted,
                } => {
                    dead.iter_mut().for_each(|dead| dead.index = index);
                    sum.0.extend(counts);
                    sum.1[0] += duplicates;
                    sum.1[1] += expired;
                    sum.2.extend(dead);
                    all_counted.extend(counted.iter().map(|_| index));
                }
            }
        }
        let (counts, [duplicates, expired], dead) = sum;
        Classified::Done {
            counts,
            duplicates,
            expired,
            dead,
            counted: all_counted,
        }
    }
}

/// As what the receipt counts each event.
fn name(
    frame: &Frame,
    (events, written): (&[EventFacts], &[Written]),
    (stored, dead): (&HashMap<Id, StoredFacts>, &HashSet<usize>),
) -> Vec<(Id, As)> {
    let own = frame.id.bytes();
    let mut counted = HashSet::new();
    for (event, written) in events.iter().zip(written) {
        let is_found = stored.get(&event.id).is_some_and(|one| one.frame == own);
        if *written == Written::Inserted || is_found {
            counted.insert(event.id);
        }
    }
    let mut named: Vec<(Id, As)> = counted.iter().map(|id| (*id, As::Counted)).collect();
    for (index, (event, written)) in events.iter().zip(written).enumerate() {
        if *written == Written::Expired {
            named.push((event.id, As::Expired));
        } else if dead.contains(&index) {
            named.push((event.id, As::Dead));
        } else if !counted.contains(&event.id) {
            named.push((event.id, As::Duplicate));
        }
    }
    named
}
