//! One event by its id, wherever it has got to.

use bson::raw::RawDocument;
use bson::{Bson, Document, RawDocumentBuf, doc};
use evp_shared::event::id::{CanonicalId, Identity};
use futures::TryStreamExt;
use mongodb::Collection;

use super::Events;
use super::position::stored_id;
use crate::auth::Tenant;
use crate::deadline::answer;
use crate::error::QueryError;

/// Dead letters of one id that are looked at: one per frame that carried it and was refused.
const DEAD_LETTERS_MAX: usize = 16;

/// The ids an event may be stored under that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The id as a canonical one.
    canonical: Option<CanonicalId>,
    /// The id as an `eventId`, and the canonical id made of it.
    client: Option<(String, CanonicalId)>,
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
    /// UUIDv8 may be either.
    pub fn parse(
        id: &str,
        timestamp_ms: Option<i64>,
        tenant: &Tenant,
        identity: &Identity,
    ) -> Self {
        let event_id = evp_shared::event::kind::check_id("eventId", id).is_ok();
        let of_client = || identity.of_client_id(tenant.as_str(), id, timestamp_ms);
        Self {
            canonical: id.parse().ok(),
            client: event_id.then(|| (id.to_owned(), of_client())),
        }
    }

    fn ids(&self) -> Vec<CanonicalId> {
        let client = self.client.as_ref().map(|(_, id)| *id);
        self.canonical.into_iter().chain(client).collect()
    }

    /// Whether `document` is the event asked for: another event may have the same canonical id,
    /// and an event whose id was made by the server is stored without it.
    fn is(&self, document: &RawDocument, tenant: &Tenant) -> bool {
        if document.get_str("tenant").ok() != Some(tenant.as_str()) {
            return false;
        }
        let stored = document.get_binary("_id").ok();
        let stored = stored.and_then(|binary| <[u8; 16]>::try_from(binary.bytes).ok());
        let is_stored_as = |id: &CanonicalId| stored.as_ref() == Some(id.as_bytes());
        self.canonical.as_ref().is_some_and(is_stored_as)
            || self.client.as_ref().is_some_and(|(event_id, id)| {
                let own = document.get_str("eventId").ok();
                is_stored_as(id) && own.is_none_or(|own| own == event_id)
            })
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
        let ids: Vec<_> = ids.iter().map(|id| stored_id(*id.as_bytes())).collect();
        let stored = doc! { "_id": { "$in": &ids } };
        let stored = self.newest(&self.events, stored, ids.len()).await?;
        let mut stored = stored.into_iter();
        if let Some(document) = stored.find(|document| wanted.is(document, tenant)) {
            return Ok(Some(Found::Stored(document)));
        }
        // A range of `_id` per id: that of a dead letter is the id and then the frame.
        let ranges = ids.iter().map(|id| {
            doc! { "_id": {
                "$gte": { "id": id, "f": Bson::MinKey },
                "$lte": { "id": id, "f": Bson::MaxKey },
            } }
        });
        let dead = doc! { "$or": ranges.collect::<Vec<_>>() };
        let dead = self
            .newest(&self.dead_letters, dead, DEAD_LETTERS_MAX)
            .await?;
        let mut dead = dead.iter().filter_map(|letter| dead_letter(letter));
        let dead = dead.find(|letter| wanted.is(&letter.document, tenant));
        Ok(dead.map(Found::DeadLettered))
    }

    async fn newest(
        &self,
        collection: &Collection<RawDocumentBuf>,
        filter: Document,
        most: usize,
    ) -> Result<Vec<RawDocumentBuf>, QueryError> {
        let limit = self.deadline().left()?;
        let find = collection.find(filter).sort(doc! { "_id": -1 });
        let find = find
            .limit(i64::try_from(most).unwrap_or(i64::MAX))
            .max_time(limit);
        answer(limit, async { find.await?.try_collect().await }).await
    }
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

    #[test]
    fn an_event_id_is_found_by_what_is_made_of_it() {
        let tenant = Tenant::named("default");
        let undated = wanted("order-7", None);
        let dated = wanted("order-7", Some(1_700_000_000_000));
        assert_ne!(undated.ids(), dated.ids());
        let id = undated.ids()[0];
        assert!(undated.is(&document(id, Some("order-7"), "default"), &tenant));
        assert!(undated.is(&document(id, None, "default"), &tenant));
        assert!(!undated.is(&document(id, Some("order-8"), "default"), &tenant));
        assert!(!undated.is(&document(id, Some("order-7"), "other"), &tenant));
        assert!(!dated.is(&document(id, Some("order-7"), "default"), &tenant));
    }

    #[test]
    fn a_canonical_id_is_also_tried_as_an_event_id() {
        let text = "018bcfe5-6800-8abc-9def-0123456789ab";
        let wanted = wanted(text, None);
        assert_eq!(wanted.ids().len(), 2);
        let canonical = text.parse().unwrap();
        let tenant = Tenant::named("default");
        assert!(wanted.is(&document(canonical, Some("whatever"), "default"), &tenant));
    }

    #[test]
    fn what_no_event_can_be_called_is_not_looked_for() {
        assert!(wanted(&"x".repeat(129), None).ids().is_empty());
    }
}
