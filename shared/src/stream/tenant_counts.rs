//! Reading the counters of one tenant out of hashes that hold those of all.
//!
//! A hash is read by the tenant's fields where it holds many more than those, and whole where it does not:
//! so what a reading costs Redis is bounded by the tenant's own types, and by what was counted.

use std::collections::HashMap;
use std::ops::Range;

use fred::interfaces::{HashesInterface, SetsInterface};
use fred::prelude::Value;
use fred::types::MultipleKeys;

use super::{Stream, StreamError, answered};
use crate::counters::{FIELD_SEPARATOR, OTHER_TYPE, Step, field};

/// How much more a field costs when it is asked for by name. Source: of hashes of 20,000 fields, 0.5 us and
/// 0.24 us.
const BY_NAME: usize = 2;

/// Counts of one tenant: event type to events.
pub type TypeCounts = HashMap<Box<str>, i64>;

/// What is looked for in a hash: the fields of a tenant that may be there, and their types.
struct Wanted {
    start: String,
    types: Vec<String>,
    fields: MultipleKeys,
}

impl Stream {
    /// The counts of `tenant` on `partition` over all time.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn tenant_total(
        &self,
        partition: u16,
        tenant: &str,
    ) -> Result<TypeCounts, StreamError> {
        let keys = vec![self.keys(partition)?.count_total.clone()];
        let found = self.tenant_counts(partition, tenant, keys).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// The counts of `tenant` in the buckets of `partition` numbered `buckets`, in that order, in two
    /// round trips; empty ones where nothing was counted.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn tenant_buckets(
        &self,
        partition: u16,
        tenant: &str,
        step: Step,
        buckets: Range<u64>,
    ) -> Result<Vec<TypeCounts>, StreamError> {
        let names = self.keys(partition)?;
        let keys = buckets.map(|bucket| names.count_bucket(step.as_str(), bucket));
        self.tenant_counts(partition, tenant, keys.collect()).await
    }

    /// A type gets its name in the step that counts it first. So one that is not in the table when that
    /// is read has no counts of before.
    async fn tenant_counts(
        &self,
        partition: u16,
        tenant: &str,
        keys: Vec<String>,
    ) -> Result<Vec<TypeCounts>, StreamError> {
        let table = self.keys(partition)?.types(tenant);
        let asked = self.client.pipeline();
        let () = asked.smembers(table).await?;
        for key in &keys {
            let () = asked.hlen(key).await?;
        }
        let mut sizes = all(asked.all(), keys.len() + 1).await?.into_iter();
        let types: Vec<String> = sizes.next().unwrap_or(Value::Null).convert()?;
        let wanted = Wanted::new(tenant, types);
        let sizes = sizes.map(|size| Ok(size.convert()?));
        let sizes: Vec<usize> = sizes.collect::<Result<_, StreamError>>()?;

        let asked = self.client.pipeline();
        let there = || keys.iter().zip(&sizes).filter(|(_, size)| **size > 0);
        for (key, size) in there() {
            let () = if wanted.is_all_of(*size) {
                asked.hgetall(key).await?
            } else {
                asked.hmget(key, wanted.fields.clone()).await?
            };
        }
        let read = match there().count() {
            0 => Vec::new(),
            read => all(asked.all(), read).await?,
        };
        let mut read = read.into_iter();
        let counts = sizes.into_iter().map(|size| match size {
            0 => Ok(TypeCounts::new()),
            size => wanted.counts(size, read.next().unwrap_or(Value::Null)),
        });
        counts.collect()
    }
}

/// The answers to a pipeline of `commands` commands.
async fn all(
    answers: impl Future<Output = Result<Vec<Value>, fred::error::Error>>,
    commands: usize,
) -> Result<Vec<Value>, StreamError> {
    let found = answered(answers).await?;
    if found.len() == commands {
        Ok(found)
    } else {
        Err(StreamError::protocol("fewer replies than commands"))
    }
}

impl Wanted {
    fn new(tenant: &str, mut types: Vec<String>) -> Self {
        types.push(OTHER_TYPE.to_owned());
        let fields: Vec<String> = types.iter().map(|kind| field(tenant, kind)).collect();
        Self {
            start: format!("{tenant}{FIELD_SEPARATOR}"),
            types,
            fields: fields.into(),
        }
    }

    /// Whether a hash of `size` fields costs no more as a whole.
    fn is_all_of(&self, size: usize) -> bool {
        size <= BY_NAME * self.types.len()
    }

    /// What was answered of a hash that had `size` fields when its reading was decided on.
    fn counts(&self, size: usize, answer: Value) -> Result<TypeCounts, StreamError> {
        if self.is_all_of(size) {
            let found: HashMap<String, i64> = answer.convert()?;
            let own = found.into_iter().filter_map(|(field, count)| {
                let event_type = field.strip_prefix(&self.start)?;
                Some((event_type.into(), count))
            });
            return Ok(own.collect());
        }
        let found: Vec<Option<i64>> = answer.convert()?;
        let found = self.types.iter().zip(found);
        let found = found.filter_map(|(kind, count)| Some((kind.as_str().into(), count?)));
        Ok(found.collect())
    }
}
