//! One event by its id, wherever it has got to.

use std::collections::BTreeMap;

use bson::raw::RawDocument;
use bson::{Bson, Document, RawDocumentBuf, doc};
use evp_shared::event::id::{CanonicalId, Identity};
use evp_shared::event::span::Span;
use evp_shared::store::{DEAD_LETTERS, spans};
use futures::TryStreamExt;
use futures::future::try_join_all;
use mongodb::Collection;

use super::Events;
use super::position::stored_id;
use crate::auth::Tenant;
use crate::deadline::Deadline;
use crate::error::QueryError;

/// Dead letters of one id that are looked at: one per frame that carried it and was refused.
const DEAD_LETTERS_MAX: usize = 16;

/// What an id that a client asks for may mean, what is preferred first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Vec<Meaning>);

/// One meaning of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Meaning {
    /// The canonical id of the event.
    id: CanonicalId,
    /// The `eventId` that was made of, unless it was asked for itself.
    event_id: Option<String>,
}

/// An event that was found.
#[derive(Debug, Clone)]
pub enum Found {
    /// It is stored.
    Stored(RawDocumentBuf),
    /// It could not be stored.
    DeadLettered(DeadLetter),
}

/// An event that could not be stored.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The event.
    pub document: RawDocumentBuf,
    /// Why, from the closed list.
    pub reason: String,
    /// Why, in the words of whoever refused it.
    pub detail: Option<String>,
    /// When, Unix ms.
    pub at_ms: i64,
}

impl Wanted {
    /// Reads `id` as a canonical id and as an `eventId` that was sent with `timestamp_ms`. A
    /// UUIDv8 may be either; a canonical id names one event of all, so that goes first.
    pub fn parse(
        id: &str,
        timestamp_ms: Option<i64>,
        tenant: &Tenant,
        identity: &Identity,
    ) -> Self {
        let canonical = id.parse().ok().map(|id| Meaning { id, event_id: None });
        let is_event_id = evp_shared::event::kind::check_id("eventId", id).is_ok();
        let client = is_event_id.then(|| Meaning {
            id: identity.of_client_id(tenant.as_str(), id, timestamp_ms),
            event_id: Some(id.to_owned()),
        });
        Self(canonical.into_iter().chain(client).collect())
    }

    fn ids(&self) -> Vec<CanonicalId> {
        self.0.iter().map(|meaning| meaning.id).collect()
    }

    /// The event of `tenant` asked for among `found`.
    fn choose<T: Clone>(
        &self,
        found: &[T],
        tenant: &Tenant,
        document: impl Fn(&T) -> &RawDocument,
    ) -> Option<T> {
        let find = |meaning: &Meaning| found.iter().find(|one| meaning.is(document(one), tenant));
        self.0.iter().find_map(find).cloned()
    }
}

impl Meaning {
    /// Whether `document` is meant: another event may have the same canonical id, and an event whose
    /// id was made by the server is stored without it.
    fn is(&self, document: &RawDocument, tenant: &Tenant) -> bool {
        let stored = document.get_binary("_id").ok();
        let own = document.get_str("eventId").ok();
        document.get_str("tenant").ok() == Some(tenant.as_str())
            && stored.is_some_and(|stored| stored.bytes == self.id.as_bytes())
            && self
                .event_id
                .as_deref()
                .is_none_or(|asked| own.is_none_or(|own| own == asked))
    }
}

impl Events {
    /// The event `wanted` of `tenant`, among the stored ones first.
    ///
    /// # Errors
    /// [`QueryError::Timeout`], [`QueryError::Store`].
    pub async fn event(
        &self,
        wanted: &Wanted,
        tenant: &Tenant,
    ) -> Result<Option<Found>, QueryError> {
        let ids = wanted.ids();
        if ids.is_empty() {
            return Ok(None);
        }
        let deadline = self.deadline(tenant);
        let stored = self.stored(&ids, &deadline).await?;
        if let Some(document) = wanted.choose(&stored, tenant, |one| one) {
            return Ok(Some(Found::Stored(document)));
        }
        // A range of `_id` per id: that of a dead letter is the id and then the frame.
        let ranges = ids.iter().map(|id| {
            let id = stored_id(*id.as_bytes());
            doc! { "_id": {
                "$gte": { "id": &id, "f": Bson::MinKey },
                "$lte": { "id": &id, "f": Bson::MaxKey },
            } }
        });
        let in_ranges = doc! { "$or": ranges.collect::<Vec<_>>() };
        let letters = self.database.collection(DEAD_LETTERS);
        let found = find(&letters, in_ranges, DEAD_LETTERS_MAX, &deadline).await?;
        let letters = found.iter().filter_map(|letter| dead_letter(letter));
        let letters: Vec<_> = letters.collect();
        let letter = wanted.choose(&letters, tenant, |letter| &letter.document);
        Ok(letter.map(Found::DeadLettered))
    }

    /// Whether `wanted`, which was not found, is of a time whose events were dropped.
    ///
    /// # Errors
    /// [`QueryError::Timeout`], [`QueryError::Store`].
    pub async fn is_expired(&self, wanted: &Wanted, tenant: &Tenant) -> Result<bool, QueryError> {
        let ids = wanted.ids();
        let times = ids.iter().map(|id| self.identity.time_ms(id.as_bytes()));
        let Some(first_ms) = times.flatten().min() else {
            return Ok(false);
        };
        let deadline = self.deadline(tenant);
        let marks = spans::marks(&self.database);
        let marks = deadline.answer(deadline.left()?, marks).await?;
        Ok(first_ms < marks.gone_ms)
    }

    /// What is stored under `ids`: each is asked of the only span that it can lie in.
    async fn stored(
        &self,
        ids: &[CanonicalId],
        deadline: &Deadline,
    ) -> Result<Vec<RawDocumentBuf>, QueryError> {
        let Some(calendar) = self.calendar(deadline).await? else {
            return Ok(Vec::new());
        };
        let mut by_span: BTreeMap<Span, Vec<Bson>> = BTreeMap::new();
        for id in ids {
            let span = calendar.span_of(self.identity.time_ms(id.as_bytes()));
            by_span
                .entry(span)
                .or_default()
                .push(stored_id(*id.as_bytes()));
        }
        let finds = by_span.into_iter().map(|(span, ids)| async move {
            let most = ids.len();
            let of_ids = doc! { "_id": { "$in": ids } };
            find(&self.span(&span.to_string()), of_ids, most, deadline).await
        });
        Ok(try_join_all(finds).await?.concat())
    }
}

/// The highest `_id` first: of the dead letters of one event, that of the newest frame.
async fn find(
    collection: &Collection<RawDocumentBuf>,
    filter: Document,
    most: usize,
    deadline: &Deadline,
) -> Result<Vec<RawDocumentBuf>, QueryError> {
    let limit = deadline.left()?;
    let find = collection.find(filter).sort(doc! { "_id": -1 });
    let find = find
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .max_time(limit);
    let read = async { find.await?.try_collect().await };
    deadline.answer(limit, read).await
}

/// Reads a dead letter that holds an event; `None` for one that holds anything else.
fn dead_letter(letter: &RawDocument) -> Option<DeadLetter> {
    let raw = letter.get_binary("raw").ok()?;
    Some(DeadLetter {
        document: RawDocumentBuf::from_bytes(raw.bytes.to_vec()).ok()?,
        reason: letter.get_str("reason").ok()?.to_owned(),
        detail: letter.get_str("detail").ok().map(str::to_owned),
        at_ms: letter.get_datetime("at").ok()?.timestamp_millis(),
    })
}

#[cfg(test)]
mod tests {
    use evp_shared::event::id::IdentityConfig;

    use super::*;

    fn wanted(id: &str, timestamp_ms: Option<i64>) -> Wanted {
        let identity = Identity::new(IdentityConfig::default());
        Wanted::parse(id, timestamp_ms, &Tenant::named("default"), &identity)
    }

    fn document(id: CanonicalId, event_id: Option<&str>, tenant: &str) -> RawDocumentBuf {
        let mut document = doc! { "_id": stored_id(*id.as_bytes()), "tenant": tenant };
        if let Some(event_id) = event_id {
            document.insert("eventId", event_id);
        }
        RawDocumentBuf::try_from(&document).unwrap()
    }

    fn is_found(wanted: &Wanted, document: RawDocumentBuf) -> bool {
        let tenant = Tenant::named("default");
        wanted.choose(&[document], &tenant, |one| one).is_some()
    }

    #[test]
    fn an_event_id_is_found_by_what_is_made_of_it() {
        let undated = wanted("order-7", None);
        let dated = wanted("order-7", Some(1_700_000_000_000));
        assert_ne!(undated.ids(), dated.ids());
        let id = undated.ids()[0];
        assert!(is_found(&undated, document(id, Some("order-7"), "default")));
        assert!(is_found(&undated, document(id, None, "default")));
        assert!(!is_found(
            &undated,
            document(id, Some("order-8"), "default")
        ));
        assert!(!is_found(&undated, document(id, Some("order-7"), "other")));
        assert!(!is_found(&dated, document(id, Some("order-7"), "default")));
    }

    #[test]
    fn a_canonical_id_is_also_tried_as_an_event_id() {
        let text = "018bcfe5-6800-8abc-9def-0123456789ab";
        let wanted = wanted(text, None);
        assert_eq!(wanted.ids().len(), 2);
        let canonical = text.parse().unwrap();
        assert!(is_found(
            &wanted,
            document(canonical, Some("whatever"), "default")
        ));
    }

    #[test]
    fn what_no_event_can_be_called_is_not_looked_for() {
        assert!(wanted(&"x".repeat(129), None).ids().is_empty());
    }
}
