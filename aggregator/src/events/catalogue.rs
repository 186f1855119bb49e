//! Which indexes and event types there are, asked of MongoDB and remembered for a second.
//!
//! The types come from the type index, not from the counters: a Redis that forgot them must not
//! hide stored events. With the index it is one seek per type.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, doc};
use evp_shared::store::{Index, code_of};

use super::Events;
use super::filter::TYPES_MAX;
use super::plan::Catalogue;
use crate::auth::Tenant;
use crate::cache::Cache;
use crate::deadline::{Deadline, answer};
use crate::error::QueryError;

/// An event of a type nobody sent before is listed without a type filter at most this much later.
const TTL: Duration = Duration::from_secs(1);
/// Bytes of all catalogues; one has 200 types of 100 characters at most.
const BYTES_MAX: usize = 32 * 1024 * 1024;

const NAMESPACE_NOT_FOUND: i32 = 26;

/// For the catalogues of the tenants that ask.
pub(super) fn cache() -> Cache<Tenant, Catalogue> {
    Cache::sized(BYTES_MAX, Catalogue::weight, TTL)
}

impl Events {
    pub(super) async fn catalogue(
        &self,
        tenant: &Tenant,
        deadline: &Deadline,
    ) -> Result<Arc<Catalogue>, QueryError> {
        let read = async {
            let indexes = self.indexes(deadline).await?;
            let types = if indexes.contains(&Index::Type) {
                self.types(tenant, deadline).await?
            } else {
                None
            };
            Ok(Catalogue { indexes, types })
        };
        self.catalogues.get(tenant.clone(), read).await
    }

    async fn indexes(&self, deadline: &Deadline) -> Result<Vec<Index>, QueryError> {
        let list = self.events.list_index_names();
        let names: Vec<String> = match answer(deadline.left()?, list).await {
            Ok(names) => names,
            // There are no events yet.
            Err(QueryError::Store {
                source: Some(error),
            }) if code_of(&error) == Some(NAMESPACE_NOT_FOUND) => Vec::new(),
            Err(error) => return Err(error),
        };
        let exists = |index: &Index| names.iter().any(|name| name == index.as_str());
        Ok(Index::ALL.into_iter().filter(exists).collect())
    }

    /// The types of `tenant`; `None` when there are more than a query can merge.
    async fn types(
        &self,
        tenant: &Tenant,
        deadline: &Deadline,
    ) -> Result<Option<Vec<String>>, QueryError> {
        let limit = deadline.left()?;
        let of_tenant = doc! { "tenant": tenant.as_str() };
        let distinct = self.events.distinct(Index::Type.field(), of_tenant);
        let values = answer(limit, distinct.max_time(limit)).await?;
        if values.len() > TYPES_MAX {
            return Ok(None);
        }
        let types = values.iter().filter_map(Bson::as_str).map(str::to_owned);
        Ok(Some(types.collect()))
    }
}
