//! The events of a bulk, span by span: one insert each, with the UUID of the span's row.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use evp_processor::written::{Id, StoredFacts, Written};

use super::bulk::{Failure, Outcome};
use super::decide::Said;
use super::{Delivery, Processor};
use crate::sim::defect::Defect;
use crate::sim::mongo::{Index, Meta, MongoAnswer, MongoOp, ReadConcern, Row, SpanOp};
use crate::sim::redis::Frame;
use crate::sim::span::Span;

/// What this processor read of `meta`.
#[derive(Debug, Default)]
pub(super) struct Known(RefCell<Meta>);

impl Known {
    /// Takes a snapshot; `gone` only rises, also when a deposed primary answers.
    pub(super) fn learn(&self, meta: Meta) {
        let gone_ms = self.gone_ms().max(meta.gone_ms);
        *self.0.borrow_mut() = Meta { gone_ms, ..meta };
    }

    pub(super) fn gone_ms(&self) -> u64 {
        self.0.borrow().gone_ms
    }

    pub(super) fn row(&self, span: Span) -> Option<Row> {
        self.0.borrow().rows.get(&span).cloned()
    }
}

/// Where events of a span go.
enum Place {
    Collection(Row),
    /// Below `gone`.
    Nowhere,
}

impl Processor {
    pub(super) async fn store(
        &self,
        fresh: &[(&Delivery, Rc<Frame>)],
    ) -> Result<Vec<Outcome>, Failure> {
        let mut parts: BTreeMap<(bool, Span), Vec<(usize, StoredFacts)>> = BTreeMap::new();
        let mut said = Vec::new();
        for (one, frame) in fresh {
            for event in &frame.events {
                let was_seen = !self.seen.borrow_mut().insert(event.id);
                let part = (was_seen || one.is_redelivered, self.span_of(&event.id));
                let document = (said.len(), stored_as(event, frame));
                parts.entry(part).or_default().push(document);
                said.push(Said::Nothing);
            }
        }
        let mut found = HashMap::new();
        for ((is_suspect, span), mut documents) in parts {
            if is_suspect && !self.is_gone(span, self.known.gone_ms()) {
                let ids = documents.iter().map(|(_, facts)| facts.event.id).collect();
                let Ok(there) = self.look_up_first(span, ids).await else {
                    continue;
                };
                documents.retain(|(at, facts)| {
                    let is_there = there.contains_key(&facts.event.id);
                    if is_there {
                        said[*at] = Said::Written(Written::DuplicateKey);
                    }
                    !is_there
                });
                found.extend(there);
            }
            if documents.is_empty() {
                continue;
            }
            let (places, documents): (Vec<usize>, Vec<StoredFacts>) = documents.into_iter().unzip();
            // The commands of other spans have answers of their own.
            let Ok(answers) = self.store_in(span, documents).await else {
                continue;
            };
            for (at, answer) in places.into_iter().zip(answers) {
                said[at] = answer;
            }
        }
        let mut rest = said.as_slice();
        let mut outcomes = Vec::with_capacity(fresh.len());
        for (_, frame) in fresh {
            let (own, after) = rest.split_at(frame.events.len());
            rest = after;
            outcomes.push(self.decide(frame, own, &found).await?);
        }
        Ok(outcomes)
    }

    pub(super) fn span_of(&self, id: &Id) -> Span {
        Span::of(id, self.world.borrow().unit_ms())
    }

    /// What is stored under `ids` and stays.
    async fn look_up_first(
        &self,
        span: Span,
        ids: Vec<Id>,
    ) -> Result<HashMap<Id, StoredFacts>, Failure> {
        let concern = if self.has(Defect::LocalLookUpFirst) {
            ReadConcern::Local
        } else {
            ReadConcern::Majority
        };
        let since = self.server().await?;
        let found: HashMap<Id, StoredFacts> =
            match self.mongo(MongoOp::LookUp(span, ids, concern)).await {
                Some(MongoAnswer::LookedUp(found)) => found.into_iter().collect(),
                _ => return Err(Failure::Store),
            };
        if !found.is_empty() {
            self.make_sure(since).await?;
        }
        Ok(found)
    }

    async fn store_in(
        &self,
        span: Span,
        documents: Vec<StoredFacts>,
    ) -> Result<Vec<Said>, Failure> {
        let count = documents.len();
        for reads_again in [false, true] {
            let row = match self.place(span, reads_again).await? {
                Place::Collection(row) => row,
                Place::Nowhere => return Ok(vec![Said::Expired; count]),
            };
            let uuid = (!self.has(Defect::PlainInsert)).then_some(row.uuid);
            let op = MongoOp::Store(span, uuid, documents.clone());
            match self.mongo(op).await {
                Some(MongoAnswer::Mismatch) if self.has(Defect::MismatchIsExpired) => {
                    return Ok(vec![Said::Expired; count]);
                }
                Some(MongoAnswer::Mismatch) => {}
                answer => {
                    let written = match self.written(answer, count) {
                        Err(Failure::Store) if self.has(Defect::FindAsProof) => {
                            self.found_as_stored(span, &documents).await?
                        }
                        other => other?,
                    };
                    return Ok(written.into_iter().map(Said::Written).collect());
                }
            }
        }
        Err(Failure::Store)
    }

    /// [`Defect::FindAsProof`]: every document is there, so all is well.
    async fn found_as_stored(
        &self,
        span: Span,
        documents: &[StoredFacts],
    ) -> Result<Vec<Written>, Failure> {
        let ids: Vec<Id> = documents.iter().map(|facts| facts.event.id).collect();
        let op = MongoOp::LookUp(span, ids.clone(), ReadConcern::Local);
        match self.mongo(op).await {
            Some(MongoAnswer::LookedUp(found)) if ids.iter().all(|id| found.contains_key(id)) => {
                Ok(vec![Written::DuplicateKey; ids.len()])
            }
            _ => Err(Failure::Store),
        }
    }

    /// Where events of `span` go, from what is known, or read again.
    async fn place(&self, span: Span, reads_again: bool) -> Result<Place, Failure> {
        let reads_again = reads_again && !self.has(Defect::RowNeverReadAgain);
        if !reads_again && let Some(place) = self.known_place(span) {
            return Ok(place);
        }
        self.learn().await?;
        if let Some(place) = self.known_place(span) {
            return Ok(place);
        }
        let gone_ms = self.known.gone_ms();
        let made = self.make(span).await?;
        if self.has(Defect::GoneReadBeforeRow) {
            return Ok(match self.is_gone(span, gone_ms) {
                true => Place::Nowhere,
                false => Place::Collection(made),
            });
        }
        // Whoever slept while making it may have made again what was dropped meanwhile. So a row
        // is used only with a `gone` from the same snapshot, or a later one.
        self.learn().await?;
        self.known_place(span).ok_or(Failure::Store)
    }

    fn known_place(&self, span: Span) -> Option<Place> {
        if self.is_gone(span, self.known.gone_ms()) && !self.has(Defect::NothingExpires) {
            return Some(Place::Nowhere);
        }
        self.known.row(span).map(Place::Collection)
    }

    pub(super) fn is_gone(&self, span: Span, gone_ms: u64) -> bool {
        span.end_ms(self.world.borrow().unit_ms()) <= gone_ms
    }

    async fn learn(&self) -> Result<(), Failure> {
        let (meta, _) = self.read_meta().await?;
        self.known.learn(meta);
        Ok(())
    }

    /// Reads rows and marks in one snapshot; `$$NOW`.
    pub(super) async fn read_meta(&self) -> Result<(Meta, u64), Failure> {
        match self.mongo(MongoOp::Span(SpanOp::Read)).await {
            Some(MongoAnswer::Meta(meta, now_ms)) => Ok((meta, now_ms)),
            _ => Err(Failure::Store),
        }
    }

    /// Makes a span, or what of it is missing: collection, index, row.
    pub(super) async fn make(&self, span: Span) -> Result<Row, Failure> {
        self.ask(SpanOp::Create(span)).await?;
        let listed = match self.mongo(MongoOp::Span(SpanOp::List)).await {
            Some(MongoAnswer::Collections(mut all)) => all.remove(&span).ok_or(Failure::Store)?,
            _ => return Err(Failure::Store),
        };
        // A list is a local read, so that its UUID may be one that was rolled back. What a
        // majority says of the collection with this UUID is none.
        let named = (!self.has(Defect::UuidFromList)).then_some(listed.uuid);
        self.ask(SpanOp::Index(span, named, Index::Recent)).await?;
        let row = Row {
            uuid: listed.uuid,
            is_sealed: false,
            indexes: [Index::Recent].into(),
        };
        self.ask(SpanOp::AddRow(span, row.clone())).await?;
        Ok(row)
    }

    /// Has something done, or finds it done, where a majority has it.
    pub(super) async fn ask(&self, op: SpanOp) -> Result<(), Failure> {
        match self.mongo(MongoOp::Span(op)).await {
            Some(MongoAnswer::Done | MongoAnswer::Exists) => Ok(()),
            _ => Err(Failure::Store),
        }
    }
}

fn stored_as(event: &evp_processor::written::EventFacts, frame: &Frame) -> StoredFacts {
    StoredFacts {
        frame: frame.id.bytes(),
        event: event.clone(),
    }
}
