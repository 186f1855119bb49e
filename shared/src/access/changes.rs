//! Changes of tenants and keys, each of them written down.

use std::time::Duration;

use bson::{Document, doc};

use super::record::{Key, Tenant, TenantId};
use super::store::{AccessError, AccessStore, Change, NewKey, NewTenant};
use super::token::Token;
use crate::audit::{Action, Actor, Audit, Outcome};

/// Changes that somebody asks for.
#[derive(Debug, Clone)]
pub struct Changes {
    store: AccessStore,
    audit: Audit,
    actor: Actor,
}

impl AccessStore {
    /// Changes that `actor` asks for, which are written down.
    pub fn by(&self, actor: Actor) -> Changes {
        Changes {
            audit: self.audit(),
            store: self.clone(),
            actor,
        }
    }
}

impl Changes {
    /// As [`AccessStore::add_tenant`].
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn add_tenant(&self, new: NewTenant, now_ms: u64) -> Result<Tenant, AccessError> {
        let action = action("tenant.add", Some(&new.id), doc! {});
        let work = self.store.add_tenant(new, now_ms);
        let named = |made: &Tenant| Outcome::done(doc! { "name": &made.name });
        self.audit.around(&self.actor, action, work, named).await
    }

    /// As [`AccessStore::change`].
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change(&self, id: &TenantId, change: &Change) -> Result<(), AccessError> {
        let action = action("tenant.change", Some(id), change.describe());
        let work = self.store.change(id, change);
        self.audit.around(&self.actor, action, work, no_more).await
    }

    /// As [`AccessStore::add_key`].
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn add_key(&self, new: NewKey, now_ms: u64) -> Result<(Key, Token), AccessError> {
        let said = doc! { "scope": new.scope.as_str(), "kind": new.kind.as_str() };
        let action = action("key.add", new.tenant.as_ref(), said);
        let work = self.store.add_key(new, now_ms);
        self.audit.around(&self.actor, action, work, made).await
    }

    /// As [`AccessStore::rotate_key`], of `old`.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn rotate_key(
        &self,
        old: &Key,
        overlap: Duration,
        now_ms: u64,
    ) -> Result<(Key, Token), AccessError> {
        let overlap_s = i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX);
        let said = doc! { "of": &old.id, "overlapSeconds": overlap_s };
        let action = action("key.rotate", old.tenant.as_ref(), said);
        let work = self.store.rotate_key(&old.id, overlap, now_ms);
        self.audit.around(&self.actor, action, work, made).await
    }

    /// As [`AccessStore::revoke_key`], of `key`.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn revoke_key(&self, key: &Key, now_ms: u64) -> Result<(), AccessError> {
        let action = action("key.revoke", key.tenant.as_ref(), doc! { "key": &key.id });
        let work = self.store.revoke_key(&key.id, now_ms);
        self.audit.around(&self.actor, action, work, no_more).await
    }
}

fn action(what: &'static str, tenant: Option<&TenantId>, detail: Document) -> Action {
    Action {
        what,
        tenant: tenant.map(ToString::to_string),
        detail,
    }
}

fn made((key, _): &(Key, Token)) -> Outcome {
    Outcome::done(doc! { "key": &key.id, "name": &key.name })
}

fn no_more((): &()) -> Outcome {
    Outcome::done(doc! {})
}

impl Change {
    fn describe(&self) -> Document {
        let mut said = doc! {};
        if let Some(state) = self.state {
            said.insert("state", state.as_str());
        }
        if let Some(limits) = self.limits {
            said.insert("limits", format!("{limits:?}"));
        }
        if let Some(per_day) = self.events_per_day {
            let per_day = i64::try_from(per_day).unwrap_or(i64::MAX);
            said.insert("eventsPerDay", per_day);
        }
        said.extend(
            self.analytics
                .map(|has| ("analytics".to_owned(), has.into())),
        );
        said.extend(
            self.types
                .map(|types| ("types".to_owned(), i64::from(types).into())),
        );
        said
    }
}
