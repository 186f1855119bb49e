//! What is stored under an `_id`, for the events an insert did not insert.

use std::collections::HashMap;

use bson::{Binary, RawDocument, RawDocumentBuf, doc, spec::BinarySubtype};
use evp_shared::document::canonical_id;
use evp_shared::event::span::Span;
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::store::events::{COMMANDS_AT_ONCE, Events};
use crate::store::insert::StoreFailure;
use crate::written::{EventFacts, Id, StoredFacts};

/// Ids per query: its answer stays far below one batch of a cursor.
const IDS_MAX: usize = 1_000;

impl Events {
    /// The facts stored under `ids`; what is not there is left out. Read on the primary with
    /// majority read concern: a deposed primary may show what will be rolled back.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn look_up(&self, ids: &[Id]) -> Result<HashMap<Id, StoredFacts>, StoreFailure> {
        let layout = &self.spans.layout;
        let mut by_span: HashMap<Span, Vec<Id>> = HashMap::new();
        for id in ids {
            let span = layout.span_of(layout.time_ms(id));
            by_span.entry(span).or_default().push(*id);
        }
        let mut queries = Vec::new();
        for (span, ids) in &by_span {
            let parts = ids.chunks(IDS_MAX);
            queries.extend(parts.map(|part| self.look_up_in(span.to_string(), part)));
        }
        let mut answers = stream::iter(queries).buffer_unordered(COMMANDS_AT_ONCE);
        let mut found = HashMap::with_capacity(ids.len());
        while let Some(some) = answers.next().await {
            found.extend(some?);
        }
        Ok(found)
    }

    /// The same of `ids` that all belong in `span`, with one query at a time.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub(super) async fn find_in(
        &self,
        span: &str,
        ids: &[Id],
    ) -> Result<HashMap<Id, StoredFacts>, StoreFailure> {
        let mut found = HashMap::new();
        for part in ids.chunks(IDS_MAX) {
            found.extend(self.look_up_in(span.to_owned(), part).await?);
        }
        Ok(found)
    }

    async fn look_up_in(
        &self,
        span: String,
        ids: &[Id],
    ) -> Result<Vec<(Id, StoredFacts)>, StoreFailure> {
        let filter = doc! { "_id": { "$in": ids.iter().map(uuid).collect::<Vec<_>>() } };
        let events = self.inserter.database().collection(&span);
        let query = async move {
            let fields = doc! { "f": 1, "tenant": 1, "eventId": 1, "eventType": 1 };
            let cursor = events.find(filter).projection(fields).await?;
            cursor.try_collect::<Vec<RawDocumentBuf>>().await
        };
        let documents = self.inserter.within(query).await??.into_iter();
        let facts = documents.map(|document| {
            // A document changed by hand may lack it: then it is no frame's.
            let frame = document.get_object_id("f").map_or([0; 12], |id| id.bytes());
            let id = document.get_binary("_id").ok();
            let id = id.and_then(|id| Id::try_from(id.bytes).ok())?;
            let event = facts_of(id, &document);
            Some((id, StoredFacts { frame, event }))
        });
        let facts: Option<Vec<_>> = facts.collect();
        facts.ok_or(StoreFailure::Protocol)
    }
}

/// A canonical id as MongoDB keeps it.
pub fn uuid(id: &Id) -> Binary {
    Binary {
        subtype: BinarySubtype::Uuid,
        bytes: id.to_vec(),
    }
}

/// What identifies the event in a document. What cannot be read is empty: a document of a frame
/// that no ingest wrote may be malformed behind its first fields, and must end as a dead letter all
/// the same; and a stored one that was changed by hand may lack it, and is no event's but its own.
pub fn event_facts(document: &[u8]) -> Option<EventFacts> {
    let id = canonical_id(document)?;
    Some(facts_of(id, RawDocument::from_bytes(document).ok()?))
}

fn facts_of(id: Id, document: &RawDocument) -> EventFacts {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    EventFacts {
        id,
        tenant: text("tenant").unwrap_or_default(),
        event_id: text("eventId"),
        event_type: text("eventType").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_malformed_behind_its_id_has_an_id_all_the_same() {
        let document = doc! { "_id": uuid(&[7; 16]), "tenant": "t", "eventType": "click" };
        let mut bytes = bson::serialize_to_vec(&document).unwrap();
        let facts = event_facts(&bytes).unwrap();
        let expected = ("t", "click", [7; 16]);
        assert_eq!((&*facts.tenant, &*facts.event_type, facts.id), expected);
        let tenant = bytes.windows(6).position(|some| some == b"tenant").unwrap();
        bytes[tenant + 2] = 0;
        let facts = event_facts(&bytes).unwrap();
        assert_eq!(
            (&*facts.tenant, &*facts.event_type, facts.id),
            ("", "", [7; 16])
        );
    }
}
