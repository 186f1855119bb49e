//! Which dead letters are meant.

use bson::{Bson, DateTime, Document, doc};
use serde::Serialize;

use super::LetterId;
use super::letter::uuid_bson;
use crate::outcome::DeadReason;

/// One event or entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every dead letter of the event with this canonical id.
    Canonical([u8; 16]),
    /// This one.
    One(LetterId),
}

impl std::str::FromStr for Wanted {
    type Err = super::LetterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match uuid::Uuid::parse_str(text) {
            Ok(id) => Ok(Self::Canonical(id.into_bytes())),
            Err(_) => text.parse().map(Self::One),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Canonical(id) => uuid::Uuid::from_bytes(*id).fmt(f),
            Self::One(id) => id.fmt(f),
        }
    }
}

/// Which dead letters are meant; what is `None` leaves nothing out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Why they are dead letters.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub reason: Option<DeadReason>,
    /// Whose events; entries that do not decode have no tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Their type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The partition they came on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u16>,
    /// Dead since this Unix ms or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// Dead before this Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// One event or entry.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub id: Option<Wanted>,
    /// These ones; any when empty.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts")]
    pub ids: Vec<LetterId>,
}

fn as_text<T, S>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
where
    T: std::fmt::Display,
    S: serde::Serializer,
{
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_texts<T, S>(values: &[T], serializer: S) -> Result<S::Ok, S::Error>
where
    T: std::fmt::Display,
    S: serde::Serializer,
{
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn to_bson(&self) -> Document {
        let wanted = [
            ("reason", self.reason.map(|reason| reason.as_str().into())),
            ("tenant", self.tenant.as_ref().map(Bson::from)),
            ("eventType", self.event_type.as_ref().map(Bson::from)),
            ("p", self.partition.map(|p| i32::from(p).into())),
        ];
        let mut query: Document = wanted
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), value?)))
            .collect();
        let time = |ms: u64| DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
        let mut at = Document::new();
        if let Some(from) = self.from_ms {
            at.insert("$gte", time(from));
        }
        if let Some(to) = self.to_ms {
            at.insert("$lt", time(to));
        }
        if !at.is_empty() {
            query.insert("at", at);
        }
        match &self.id {
            Some(Wanted::Canonical(id)) => {
                query.insert("_id.id", uuid_bson(*id));
            }
            Some(Wanted::One(id)) => {
                query.insert("_id", id.to_bson());
            }
            None => {}
        }
        if !self.ids.is_empty() {
            let ids: Vec<Document> = self.ids.iter().map(LetterId::to_bson).collect();
            query.insert("$and", [doc! { "_id": { "$in": ids } }]);
        }
        query
    }

    /// As it is, but for what is dead since `ms` or later.
    pub fn until(self, ms: u64) -> Self {
        Self {
            to_ms: Some(self.to_ms.map_or(ms, |to| to.min(ms))),
            ..self
        }
    }

    /// For the audit trail.
    pub(super) fn describe(&self) -> Document {
        // A struct of texts and numbers always serialises.
        bson::serialize_to_document(self).unwrap_or_else(|_| doc! {})
    }
}
