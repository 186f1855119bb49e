//! Which event types a span has, asked of MongoDB and remembered for a second.
//!
//! They come from the type index, not from the counters: a Redis that forgot them must not hide
//! stored events. It is one seek per type.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, doc};
use evp_shared::store::{Index, code_of};

use super::Events;
use crate::auth::Tenant;
use crate::cache::Cache;
use crate::deadline::Deadline;
use crate::error::QueryError;

/// An event of a type nobody sent before is listed without a type filter at most this much later.
const TTL: Duration = Duration::from_secs(1);
/// Bytes of all catalogues.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// mongod does not answer with more than 16 MiB.
const DISTINCT_TOO_BIG: i32 = 17_217;

/// The types of a tenant in a span; `None` when they are more than mongod answers with.
pub(super) type Types = Option<Vec<String>>;

/// For the types of the tenants that ask, by span.
pub(super) fn cache() -> Cache<(Tenant, String), Types> {
    Cache::sized(BYTES_MAX, weight, TTL)
}

fn weight(types: &Types) -> usize {
    let types = types.iter().flatten();
    let each = types.map(|kind| size_of::<String>() + kind.len());
    size_of::<Types>() + each.sum::<usize>()
}

impl Events {
    /// The types of `tenant` in the span that is called `span`.
    pub(super) async fn types(
        &self,
        tenant: &Tenant,
        span: &str,
        deadline: &Deadline,
    ) -> Result<Arc<Types>, QueryError> {
        let read = async {
            let limit = deadline.left()?;
            let of_tenant = doc! { "tenant": tenant.as_str() };
            let collection = self.span(span);
            let distinct = collection.distinct(Index::Type.field(), of_tenant);
            let distinct = distinct.max_time(limit);
            let values = match deadline.answer(limit, distinct).await {
                Ok(values) => values,
                Err(QueryError::Store {
                    source: Some(error),
                }) if code_of(&error) == Some(DISTINCT_TOO_BIG) => return Ok(None),
                Err(error) => return Err(error),
            };
            let types = values.iter().filter_map(Bson::as_str).map(str::to_owned);
            Ok(Some(types.collect()))
        };
        self.types
            .get((tenant.clone(), span.to_owned()), read)
            .await
    }
}
