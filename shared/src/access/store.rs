//! Where tenants and keys are kept: MongoDB's collections `tenants` and `keys` of the database
//! [`access`], a [`Tenant`] or a [`Key`] each, `_id` its id.
//!
//! A tenant is never deleted: its id is hashed into its events. A key that has ended is told from an
//! unknown one for 90 days.
//!
//! What there may be so many of is looked at and then added to, by one at a time of a process. Several
//! processes that do so at the same moment may pass such a bound by one each.

mod check;
mod counted;
mod version;

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::TryStreamExt as _;
use mongodb::error::{Error as MongoError, ErrorKind, WriteFailure};
use mongodb::{Collection, Database};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

pub use self::check::{Change, NewKey};
use self::check::{at_most, check_limits, checked_name};
pub use self::counted::NewTenant;
use super::record::{Key, Records, TENANTS_MAX, Tenant, TenantId, TenantState};
use super::token::{KeyHash, Token};
use crate::audit::Audit;
use crate::store::{access, durable};

const TENANTS: &str = "tenants";
const KEYS: &str = "keys";
const DUPLICATE_KEY: i32 = 11_000;
const KEY_ID_CHARS: usize = 12;

/// A key that has ended is told from an unknown one for so long.
const ENDED_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Longest a key that another one follows stays good.
pub const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Why something was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// MongoDB does not answer, or not as expected.
    #[error("mongodb did not answer")]
    Mongo(#[from] MongoError),
    /// A record cannot be read or written as BSON.
    #[error("a record of {collection} is damaged")]
    Record {
        /// Where it lies.
        collection: &'static str,
        /// What is wrong with it.
        #[source]
        source: bson::error::Error,
    },
    /// What is asked for is not allowed.
    #[error("{field}: {fault}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it, and what to do.
        fault: String,
    },
    /// There is no tenant of that id.
    #[error("there is no tenant {id}")]
    NoTenant {
        /// The id that was asked for.
        id: TenantId,
    },
    /// There is no such member.
    #[error("there is no such member")]
    NoMember,
    /// There is no key of that id.
    #[error("there is no key {id}")]
    NoKey {
        /// The id that was asked for.
        id: String,
    },
}

/// Tenants and keys, in MongoDB.
#[derive(Debug, Clone)]
pub struct AccessStore {
    database: Database,
    audit: Audit,
    /// Whose it is among those of all clones that look at a bound and add to what it bounds.
    turn: Arc<Mutex<()>>,
}

impl AccessStore {
    /// Those that belong to the events in `database`.
    pub fn new(database: &Database) -> Self {
        Self {
            database: access(database),
            audit: Audit::new(database),
            turn: Arc::default(),
        }
    }

    /// Where changes are written down.
    pub(super) fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// All there is, and the tenant `default`, which is always there.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn records(&self) -> Result<Records, AccessError> {
        Ok(Records {
            tenants: self.tenants().await?,
            keys: self.all(KEYS).await?,
        })
    }

    /// All tenants, `default` among them, in the order of their ids.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn tenants(&self) -> Result<Vec<Tenant>, AccessError> {
        let mut tenants: Vec<Tenant> = self.all(TENANTS).await?;
        let default = TenantId::default_tenant();
        if let Err(at) = tenants.binary_search_by(|tenant| tenant.id.cmp(&default)) {
            tenants.insert(at, Tenant::new(default, "default".to_owned(), 0));
        }
        Ok(tenants)
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// [`AccessError`]: among others there is one of this id.
    pub async fn add_tenant(&self, new: NewTenant, now_ms: u64) -> Result<Tenant, AccessError> {
        let name = checked_name(&new.name)?;
        let id = new.id;
        let _turn = self.turn.lock().await;
        let records = self.records().await?;
        if records.tenants.iter().any(|tenant| tenant.id == id) {
            let fault = format!("there is a tenant {id} already, and ids are never given again");
            return Err(AccessError::Invalid { field: "id", fault });
        }
        at_most("id", "tenants", records.tenants.len() + 1, TENANTS_MAX)?;
        let tenant = Tenant {
            types: new.types,
            analytics: new.analytics,
            ..Tenant::new(id, name, now_ms)
        };
        counted::check(&tenant, &records)?;
        self.insert(TENANTS, &tenant).await?;
        Ok(tenant)
    }

    /// Changes what is said of a tenant, all of it or nothing.
    ///
    /// # Errors
    /// [`AccessError`]; repeating is harmless.
    pub async fn change(&self, id: &TenantId, change: &Change) -> Result<(), AccessError> {
        let mut set = doc! {};
        if let Some(state) = change.state {
            set.insert("state", state.as_str());
        }
        if let Some(limits) = change.limits {
            check_limits(limits)?;
            let limits =
                bson::serialize_to_bson(&limits).map_err(|source| AccessError::Record {
                    collection: TENANTS,
                    source,
                })?;
            set.insert("limits", limits);
        }
        if let Some(per_day) = change.events_per_day {
            let per_day = i64::try_from(per_day).map_err(|_| AccessError::Invalid {
                field: "eventsPerDay",
                fault: "has to fit 63 bits".to_owned(),
            })?;
            let none = (per_day == 0).then_some(Bson::Null);
            set.insert("eventsPerDay", none.unwrap_or(Bson::Int64(per_day)));
        }
        let _turn = self.turn.lock().await;
        self.set_counted(id, change, &mut set).await?;
        // The tenant `default` has a record only once something is set of it.
        let is_default = *id == TenantId::default_tenant();
        let mut made = doc! { "name": id.as_str(), "createdMs": 0_i64 };
        if change.state.is_none() {
            made.insert("state", TenantState::Active.as_str());
        }
        let change = doc! { "$set": set, "$setOnInsert": made };
        let tenants = durable(&self.database, TENANTS);
        let done = tenants
            .update_one(doc! { "_id": id.as_str() }, change)
            .upsert(is_default)
            .await?;
        if done.matched_count == 0 && !is_default {
            return Err(AccessError::NoTenant { id: id.clone() });
        }
        Ok(())
    }

    /// Makes a key, and hands out its text, which is kept nowhere.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn add_key(&self, new: NewKey, now_ms: u64) -> Result<(Key, Token), AccessError> {
        self.forget_ended(now_ms).await?;
        let _turn = self.turn.lock().await;
        let records = self.records().await?;
        new.check(&records)?;
        let token = Token::generate(new.kind);
        let id = rand::rng().sample_iter(Alphanumeric).take(KEY_ID_CHARS);
        let key = Key {
            id: format!("key_{}", id.map(char::from).collect::<String>()),
            hash: KeyHash::of(token.expose()),
            name: checked_name(&new.name)?,
            kind: new.kind,
            scope: new.scope,
            tenant: new.tenant,
            types: new.types,
            origins: new.origins,
            limits: new.limits,
            created_ms: now_ms,
            expires_ms: new.expires_ms,
            revoked_ms: None,
        };
        self.insert(KEYS, &key).await?;
        Ok((key, token))
    }

    /// Makes a key like `id`, which ends after `overlap`.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn rotate_key(
        &self,
        id: &str,
        overlap: Duration,
        now_ms: u64,
    ) -> Result<(Key, Token), AccessError> {
        if overlap > OVERLAP_MAX {
            let fault = format!("the old key may stay good for at most {OVERLAP_MAX:?}");
            return Err(AccessError::Invalid {
                field: "overlap",
                fault,
            });
        }
        let old = self.key(id).await?;
        let has_come = |moment: Option<u64>| moment.is_some_and(|moment| moment <= now_ms);
        if has_come(old.revoked_ms) || has_come(old.expires_ms) {
            let fault = "has ended: make a new key".to_owned();
            return Err(AccessError::Invalid { field: "id", fault });
        }
        let new = NewKey {
            name: old.name.clone(),
            kind: old.kind,
            scope: old.scope,
            tenant: old.tenant.clone(),
            types: old.types.clone(),
            origins: old.origins.clone(),
            limits: old.limits,
            expires_ms: old.expires_ms,
        };
        let made = self.add_key(new, now_ms).await?;
        let overlap_ms = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
        // As revoked from then on: another rotation takes over the expiry it was made with.
        self.end(id, now_ms.saturating_add(overlap_ms)).await?;
        Ok(made)
    }

    /// Has a key refused from now on.
    ///
    /// # Errors
    /// [`AccessError`]; repeating is harmless.
    pub async fn revoke_key(&self, id: &str, now_ms: u64) -> Result<(), AccessError> {
        self.end(id, now_ms).await
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn key(&self, id: &str) -> Result<Key, AccessError> {
        let found = self.collection(KEYS).find_one(doc! { "_id": id }).await?;
        read(KEYS, found.ok_or_else(|| no_key(id))?)
    }

    /// Deletes keys that ended so long ago that nobody asks why.
    async fn forget_ended(&self, now_ms: u64) -> Result<(), AccessError> {
        let kept_ms = u64::try_from(ENDED_KEPT.as_millis()).unwrap_or(u64::MAX);
        let before = i64::try_from(now_ms.saturating_sub(kept_ms)).unwrap_or(i64::MAX);
        let ended = doc! { "$or": [
            { "revokedMs": { "$lt": before } },
            { "expiresMs": { "$lt": before } },
        ] };
        durable(&self.database, KEYS).delete_many(ended).await?;
        Ok(())
    }

    /// Has a key refused from `at_ms` on; an end that comes earlier stays.
    async fn end(&self, id: &str, at_ms: u64) -> Result<(), AccessError> {
        let at = i64::try_from(at_ms).unwrap_or(i64::MAX);
        let end = doc! { "$min": { "revokedMs": at } };
        let keys = durable(&self.database, KEYS);
        let done = keys.update_one(doc! { "_id": id }, end).await?;
        if done.matched_count == 0 {
            return Err(no_key(id));
        }
        Ok(())
    }

    async fn insert(
        &self,
        collection: &'static str,
        record: &impl Serialize,
    ) -> Result<(), AccessError> {
        let document = bson::serialize_to_document(record);
        let document = document.map_err(|source| AccessError::Record { collection, source })?;
        let into = durable(&self.database, collection);
        match into.insert_one(document).await {
            Err(error) if is_duplicate(&error) => Err(AccessError::Invalid {
                field: "id",
                fault: "there is one of this id already".to_owned(),
            }),
            other => Ok(other.map(drop)?),
        }
    }

    async fn all<T: DeserializeOwned>(
        &self,
        collection: &'static str,
    ) -> Result<Vec<T>, AccessError> {
        let records = self.collection(collection);
        let found = records.find(doc! {}).sort(doc! { "_id": 1 }).await?;
        let found: Vec<Document> = found.try_collect().await?;
        found
            .into_iter()
            .map(|found| read(collection, found))
            .collect()
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }
}

fn no_key(id: &str) -> AccessError {
    AccessError::NoKey { id: id.to_owned() }
}

fn read<T: DeserializeOwned>(
    collection: &'static str,
    document: Document,
) -> Result<T, AccessError> {
    bson::deserialize_from_bson(Bson::Document(document))
        .map_err(|source| AccessError::Record { collection, source })
}

fn is_duplicate(error: &MongoError) -> bool {
    matches!(
        error.kind.as_ref(),
        ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == DUPLICATE_KEY
    )
}
