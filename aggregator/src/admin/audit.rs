//! What was asked for, and what came of it, as those who may see it do.

use bson::oid::ObjectId;
use bson::{Bson, DateTime};
use evp_shared::audit::Entry;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Admin;
use crate::answer::answer;
use crate::error::QueryError;
use crate::time::rfc3339_signed;

/// An action.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    id: String,
    /// When it began.
    at: String,
    who: String,
    /// The machine, or the address of the client.
    from: String,
    /// `null` where it was about no tenant, or all.
    tenant: Option<String>,
    /// Such as `dead_letters.purge`.
    action: String,
    /// The particulars.
    #[schema(value_type = Object)]
    detail: Value,
    /// `started`, of which no end is known, `done`, `incomplete` or `failed`.
    outcome: &'static str,
    /// `null` where no end is known.
    ended_at: Option<String>,
}

impl Admin {
    /// A page of what was asked for of `tenant`, or of everybody, newest first, before `before`; and
    /// where the next one begins.
    ///
    /// # Errors
    /// [`QueryError::Store`], [`QueryError::Timeout`].
    pub async fn audited(
        &self,
        tenant: Option<&str>,
        before: Option<ObjectId>,
        limit: u64,
    ) -> Result<(Vec<AuditEntry>, Option<ObjectId>), QueryError> {
        let page = self.audit.page(tenant, before, limit + 1, self.time_limit);
        let mut found = answer(2 * self.time_limit, page).await?;
        let is_more = found.len() as u64 > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().filter(|_| is_more).map(|last| last.id);
        Ok((found.into_iter().map(AuditEntry::from).collect(), next))
    }
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        let time = |at: DateTime| rfc3339_signed(at.timestamp_millis());
        Self {
            id: entry.id.to_hex(),
            at: time(entry.at),
            who: entry.who,
            from: entry.from,
            tenant: entry.tenant,
            action: entry.what,
            detail: Bson::Document(entry.detail).into_relaxed_extjson(),
            outcome: entry.state.as_str(),
            ended_at: entry.ended.map(time),
        }
    }
}
