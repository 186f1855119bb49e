//! Which dead letters are meant.

use bson::{Bson, DateTime, Document, bson};

use super::LetterId;
use crate::event::id::IdentityConfig;
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

/// Events whose id has a time below a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below {
    /// Where the time lies in an id.
    pub identity: IdentityConfig,
    /// Unix ms.
    pub ms: u64,
}

impl Below {
    /// A range for each salt. What does not decode has no id of an event, and lies outside.
    fn to_bson(self) -> Vec<Document> {
        let id = |salt, ms| {
            let id = self.identity.first_id(salt, ms);
            bson::doc! { "id": bson::Uuid::from_bytes(*id.as_bytes()) }
        };
        let salts = 0..1 << self.identity.salt_bits;
        let range = |salt| bson::doc! { "_id": { "$gte": id(salt, 0), "$lt": id(salt, self.ms) } };
        salts.map(range).collect()
    }
}

/// Which dead letters are meant; what is `None` leaves nothing out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Why they are dead letters.
    pub reason: Option<DeadReason>,
    /// Whose events; entries that do not decode have no tenant.
    pub tenant: Option<String>,
    /// Their type.
    pub event_type: Option<String>,
    /// The partition they came on.
    pub partition: Option<u16>,
    /// Dead since this Unix ms or later.
    pub from_ms: Option<u64>,
    /// Dead before this Unix ms.
    pub to_ms: Option<u64>,
    /// One event or entry.
    pub id: Option<Wanted>,
    /// These ones; any when empty.
    pub ids: Vec<LetterId>,
    /// Events with a time below this one.
    pub below: Option<Below>,
}

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn to_bson(&self) -> Document {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let time = |at| Bson::from(DateTime::from_millis(ms(at)));
        let from = ("$gte", self.from_ms.map(time));
        let at: Document = present([from, ("$lt", self.to_ms.map(time))]).collect();
        let (canonical, one) = match &self.id {
            Some(Wanted::Canonical(id)) => (Some(bson::Uuid::from_bytes(*id).into()), None),
            Some(Wanted::One(id)) => (None, Some(id.to_bson().into())),
            None => (None, None),
        };
        let ids: Vec<Document> = self.ids.iter().map(LetterId::to_bson).collect();
        let mut query = self.plain("p");
        query.extend(present([
            ("at", (!at.is_empty()).then(|| at.into())),
            ("_id.id", canonical),
            ("_id", one),
            (
                "$and",
                (!ids.is_empty()).then(|| bson!([{ "_id": { "$in": ids } }])),
            ),
            ("$or", self.below.map(|below| below.to_bson().into())),
        ]));
        query
    }

    /// As it means at Unix ms `now_ms`: what dies later is left out, but where letters are named.
    pub fn as_of(self, now_ms: u64) -> Self {
        let names_letters = !self.ids.is_empty() || matches!(self.id, Some(Wanted::One(_)));
        if names_letters {
            self
        } else {
            self.until(now_ms + 1)
        }
    }

    /// As it is, but for what is dead since `ms` or later.
    pub(super) fn until(self, ms: u64) -> Self {
        Self {
            to_ms: Some(self.to_ms.map_or(ms, |to| to.min(ms))),
            ..self
        }
    }

    /// For the audit entry.
    pub(super) fn describe(&self) -> Document {
        let ms = |ms: Option<u64>| ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX).into());
        let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
        let rest = [
            ("fromMs", ms(self.from_ms)),
            ("toMs", ms(self.to_ms)),
            ("id", self.id.as_ref().map(|id| id.to_string().into())),
            ("ids", (!ids.is_empty()).then(|| ids.into())),
            ("belowMs", ms(self.below.map(|below| below.ms))),
        ];
        let mut description = self.plain("partition");
        description.extend(present(rest));
        description
    }

    /// What is asked for by equality; the partition lies in the field `partition`.
    fn plain(&self, partition: &str) -> Document {
        let fields = [
            ("reason", self.reason.map(|reason| reason.as_str().into())),
            ("tenant", self.tenant.as_ref().map(Bson::from)),
            ("eventType", self.event_type.as_ref().map(Bson::from)),
            (partition, self.partition.map(|p| i32::from(p).into())),
        ];
        present(fields).collect()
    }
}

/// The fields that have a value.
fn present<const N: usize>(
    fields: [(&str, Option<Bson>); N],
) -> impl Iterator<Item = (String, Bson)> {
    let with_value = |(name, value): (&str, Option<Bson>)| Some((name.to_owned(), value?));
    fields.into_iter().filter_map(with_value)
}
