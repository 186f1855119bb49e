//! Members: who is invited, kept in MongoDB.
//!
//! # Shape
//! Collection `members`: a [`Member`] each, `_id` the address.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use evp_shared::access::record::TenantId;
use evp_shared::access::store::AccessError;
use evp_shared::audit::{Action, Actor, Audit, Outcome};
use evp_shared::clock::Clock;
use evp_shared::store::{access, durable};
use futures::TryStreamExt as _;
use mongodb::{Collection, Database};
use tokio::sync::Mutex;

use super::SESSIONS;
use super::member::{Email, Member};
use super::moment::at;
use super::role::Role;
use crate::answer::in_time;

const MEMBERS: &str = "members";
/// People who may be invited.
const MEMBERS_MAX: u64 = 1_000;
/// Those of one tenant: a quarter of them all, as of what else all share.
const OF_TENANT_MAX: u64 = MEMBERS_MAX / 4;

/// Invited people, in MongoDB.
#[derive(Debug, Clone)]
pub struct Members {
    members: Collection<Document>,
    sessions: Collection<Document>,
    /// One invites after the other: several aggregators may pass a bound by one each.
    turn: Arc<Mutex<()>>,
    audit: Audit,
    clock: Clock,
    limit: Duration,
}

impl Members {
    /// Those of `database`, which may take `limit` for an answer.
    pub fn new(database: &Database, clock: Clock, limit: Duration) -> Self {
        Self {
            members: durable(&access(database), MEMBERS),
            sessions: durable(&access(database), SESSIONS),
            turn: Arc::default(),
            audit: Audit::new(database),
            clock,
            limit,
        }
    }

    /// All of them, in the order of their addresses.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn all(&self) -> Result<Vec<Member>, AccessError> {
        let found = self.members.find(doc! {}).sort(doc! { "_id": 1 });
        let found = found.max_time(self.limit);
        let found = async { found.await?.try_collect::<Vec<_>>().await };
        let found = in_time(self.limit, found).await?;
        found.into_iter().map(read).collect()
    }

    /// The member of this address.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn find(&self, email: &Email) -> Result<Option<Member>, AccessError> {
        let one = doc! { "_id": email.as_str() };
        let found = self.members.find_one(one).max_time(self.limit);
        let found = in_time(self.limit, found.into_future()).await?;
        found.map(read).transpose()
    }

    /// Invites somebody to `tenant`, or to all with `None`, as `role`; which is written down.
    ///
    /// # Errors
    /// [`AccessError`]: among others there are as many as may be.
    pub async fn put(
        &self,
        actor: &Actor,
        email: &Email,
        (tenant, role): (Option<&TenantId>, Role),
    ) -> Result<Member, AccessError> {
        if (role == Role::Operator) != tenant.is_none() {
            let fault = "an operator is of no tenant, and all others are of one".to_owned();
            let field = "tenant";
            return Err(AccessError::Invalid { field, fault });
        }
        let said = doc! { "email": email.as_str(), "role": role.as_str() };
        let action = Action::of("member.put", tenant, said);
        let put = async {
            let _turn = self.turn.lock().await;
            self.check_room(email, tenant).await?;
            let (place, now) = (place(tenant), at(self.clock.now_ms()));
            let change = doc! { "$set": {
                format!("{place}.role"): role.as_str(),
                format!("{place}.createdMs"): now,
            } };
            let one = doc! { "_id": email.as_str() };
            self.members.update_one(one, change).upsert(true).await?;
            self.find(email).await?.ok_or(AccessError::NoMember)
        };
        let put = self.audit.around(actor, action, put, Outcome::plain);
        in_time(self.limit, put).await
    }

    /// Takes that back, and ends the sessions that see that tenant, or all of an operator: the next
    /// invitation brings none of them back.
    ///
    /// # Errors
    /// [`AccessError`]; repeating is harmless.
    pub async fn remove(
        &self,
        actor: &Actor,
        email: &Email,
        tenant: Option<&TenantId>,
    ) -> Result<(), AccessError> {
        let remove = async {
            let place = place(tenant);
            let there = doc! { "_id": email.as_str(), &place: { "$exists": true } };
            let change = doc! { "$unset": { &place: "" } };
            let changed = self.members.update_one(there, change).await?;
            let of_none = doc! {
                "_id": email.as_str(),
                "operator": { "$exists": false },
                "tenants": { "$in": [Bson::Null, Bson::Document(doc! {})] },
            };
            self.members.delete_one(of_none).await?;
            let mut seeing = doc! { "person": email.as_str() };
            seeing.extend(tenant.map(|id| ("tenant".to_owned(), id.as_str().into())));
            self.sessions.delete_many(seeing).await?;
            // Only here: what died midway is finished by asking again.
            match changed.matched_count {
                0 => Err(AccessError::NoMember),
                _ => Ok(()),
            }
        };
        let said = doc! { "email": email.as_str() };
        let action = Action::of("member.remove", tenant, said);
        let remove = self.audit.around(actor, action, remove, Outcome::plain);
        in_time(self.limit, remove).await
    }

    /// Ends all sessions of `person`, as audits call whoever signed in; how many there were.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end_sessions(&self, actor: &Actor, person: &str) -> Result<u64, AccessError> {
        let end = async {
            let ended = self.sessions.delete_many(doc! { "person": person });
            Ok(ended.await?.deleted_count)
        };
        let action = Action::of("session.end", None::<&str>, doc! { "person": person });
        let counted = |ended: &u64| {
            let ended = i64::try_from(*ended).unwrap_or(i64::MAX);
            Outcome::done(doc! { "sessions": ended })
        };
        let end = self.audit.around(actor, action, end, counted);
        in_time(self.limit, end).await
    }

    /// Notes that a member came to see `tenant`, or all of them, by a code.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn note_sign_in(
        &self,
        email: &Email,
        tenant: Option<&TenantId>,
    ) -> Result<(), AccessError> {
        let (place, now) = (place(tenant), at(self.clock.now_ms()));
        // A membership that is gone is not made again.
        let one = doc! { "_id": email.as_str(), &place: { "$exists": true } };
        let change = doc! { "$set": { format!("{place}.signedInMs"): now } };
        let noted = self.members.update_one(one, change);
        in_time(self.limit, noted.into_future()).await?;
        Ok(())
    }

    /// Whether there is room for one more, where it would be one.
    async fn check_room(
        &self,
        email: &Email,
        tenant: Option<&TenantId>,
    ) -> Result<(), AccessError> {
        let there = self.find(email).await?;
        let is_of = |id: &TenantId| {
            there
                .as_ref()
                .is_some_and(|one| one.tenants.contains_key(id))
        };
        let fault = if there.is_none() && self.count(doc! {}).await? >= MEMBERS_MAX {
            format!("there may be {MEMBERS_MAX} members")
        } else if let Some(id) = tenant.filter(|id| !is_of(id))
            && self.count(is_in(id)).await? >= OF_TENANT_MAX
        {
            format!("a tenant may have {OF_TENANT_MAX} members, a quarter of all there may be")
        } else {
            return Ok(());
        };
        let field = "email";
        Err(AccessError::Invalid { field, fault })
    }

    async fn count(&self, filter: Document) -> Result<u64, AccessError> {
        let counted = self.members.count_documents(filter).max_time(self.limit);
        Ok(counted.await?)
    }
}

fn is_in(tenant: &TenantId) -> Document {
    doc! { place(Some(tenant)): { "$exists": true } }
}

/// Where a membership stands in a member.
fn place(tenant: Option<&TenantId>) -> String {
    match tenant {
        Some(id) => format!("tenants.{id}"),
        None => Role::Operator.as_str().to_owned(),
    }
}

fn read(document: Document) -> Result<Member, AccessError> {
    bson::deserialize_from_bson(Bson::Document(document)).map_err(|source| AccessError::Record {
        collection: MEMBERS,
        source,
    })
}
