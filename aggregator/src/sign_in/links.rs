//! Links that sign somebody in, once: how the first people come in, without a password or a mail.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use evp_shared::access::record::TenantId;
use evp_shared::access::store::AccessError;
use evp_shared::access::token::{self, KeyHash, Ticket, Token};
use evp_shared::clock::Clock;
use evp_shared::outcome::RejectReason;
use evp_shared::store::{access, durable};
use mongodb::{Collection, Database};
use serde::{Deserialize, Serialize};

use super::moment::{ends, ms};
use super::role::Role;
use crate::answer::answer;
use crate::error::QueryError;

pub(super) const LINKS: &str = "links";
/// How long a link is good.
pub const GOOD: Duration = Duration::from_secs(600);

/// Who a link signs in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    #[serde(rename = "_id")]
    hash: KeyHash,
    /// What audits call it.
    pub id: String,
    /// Whose data is seen first.
    pub tenant: TenantId,
    /// As what.
    pub role: Role,
    created_ms: u64,
    /// When MongoDB may delete it.
    ends: DateTime,
}

/// Links that were not used, in MongoDB.
#[derive(Debug)]
pub struct Links {
    links: Collection<Document>,
    clock: Clock,
    limit: Duration,
}

impl Links {
    /// Those of `database`, which may take `limit` for an answer.
    pub fn new(database: &Database, clock: Clock, limit: Duration) -> Self {
        Self {
            links: durable(&access(database), LINKS),
            clock,
            limit,
        }
    }

    /// Makes one; hands out its text, which is kept nowhere.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn make(&self, tenant: TenantId, role: Role) -> Result<(Link, Token), AccessError> {
        let (token, now_ms) = (Token::ticket(Ticket::Link), self.clock.now_ms());
        let hash = KeyHash::of(token.expose());
        let link = Link {
            hash,
            id: format!("link_{:.12}", hash.to_string()),
            tenant,
            role,
            created_ms: now_ms,
            ends: ends(now_ms, GOOD),
        };
        let document = bson::serialize_to_document(&link);
        let document = document.map_err(|source| AccessError::Record {
            collection: LINKS,
            source,
        })?;
        self.links.insert_one(document).await?;
        Ok((link, token))
    }

    /// Uses the link `text`: nobody does so again.
    ///
    /// # Errors
    /// `link_ended`, and MongoDB's.
    pub async fn take(&self, text: &str) -> Result<Link, QueryError> {
        if !token::is_ticket(text, Ticket::Link) {
            return Err(RejectReason::LinkEnded.into());
        }
        let hash = KeyHash::of(text).to_string();
        let taken = self.links.find_one_and_delete(doc! { "_id": hash });
        let taken = answer(self.limit, taken)
            .await?
            .ok_or(RejectReason::LinkEnded)?;
        let link: Link = bson::deserialize_from_bson(Bson::Document(taken))
            .map_err(|_| QueryError::Store { source: None })?;
        if self.clock.now_ms() >= link.created_ms.saturating_add(ms(GOOD)) {
            return Err(RejectReason::LinkEnded.into());
        }
        Ok(link)
    }
}
