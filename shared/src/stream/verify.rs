//! Checking and mending counters: what the hashes of counts hold, and setting them to what the
//! receipts say.

use std::collections::HashSet;

use fred::interfaces::SetsInterface;
use fred::prelude::Value;

use super::counts::Bucket;
use super::{Life, READ_COUNTS, SET_COUNTS, Stream, StreamError, answered, reply};
use crate::counters::{Step, split_field};

/// Hashes read in one call. Source: 500 of them with ten fields each take the script 2 ms.
pub const HASHES_MAX: usize = 500;

/// Fields set in one call, so that Redis' only thread is not held up.
pub const FIELDS_MAX: usize = 1_000;

/// Which hash of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CountHash {
    /// The bucket of a step with this number.
    Bucket(Step, u64),
    /// Counts over all time.
    Total,
}

/// A hash of counts as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundCounts {
    /// What can be read of it.
    pub counts: Bucket,
    /// The key holds another type, or a value in it is no number.
    pub damaged: bool,
}

/// Counts to be written.
#[derive(Debug, Clone)]
pub struct SetCounts<'a> {
    /// The life that was known before the counts were read.
    pub life: Life,
    /// What is set.
    pub hash: CountHash,
    /// It is damaged: what it holds is thrown away first.
    pub anew: bool,
    /// Hashes whose present value is added to each count.
    pub plus: &'a [CountHash],
    /// What each field is set to, at most [`FIELDS_MAX`]; a row of 0 removes its field.
    pub rows: &'a [(&'a str, i64)],
}

impl Stream {
    /// Reads `hashes` of `partition`, at most [`HASHES_MAX`], in one step.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn read_counts(
        &self,
        partition: u16,
        hashes: &[CountHash],
    ) -> Result<Vec<FoundCounts>, StreamError> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.count_keys(partition, hashes)?;
        let reply = self.run(&READ_COUNTS, keys, Vec::new()).await?;
        if reply.len() != hashes.len() {
            return Err(StreamError::protocol("fewer replies than hashes"));
        }
        reply.into_iter().map(parse).collect()
    }

    /// Sets counts; returns how many fields were set.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn set_counts(
        &self,
        partition: u16,
        set: &SetCounts<'_>,
    ) -> Result<u64, StreamError> {
        let names = self.keys(partition)?;
        let mut keys = vec![names.life.clone(), names.never.clone()];
        keys.extend(self.count_keys(partition, &[set.hash])?);
        keys.extend(self.count_keys(partition, set.plus)?);
        let ttl = match set.hash {
            CountHash::Bucket(step, _) => step.kept().as_secs(),
            CountHash::Total => 0,
        };
        let mut args: Vec<Value> = vec![
            set.life.0.to_string().into(),
            ttl.to_string().into(),
            if set.anew { "1" } else { "0" }.into(),
            (&*names.base).into(),
        ];
        for (field, count) in set.rows {
            let (tenant, event_type) = split_field(field).unwrap_or(("", field));
            args.push(tenant.into());
            args.push(event_type.into());
            args.push(self.caps.of(tenant).to_string().into());
            args.push(count.to_string().into());
        }
        let reply = self.run(&SET_COUNTS, keys, args).await?;
        let mut values = reply.into_iter();
        reply::written(&mut values)?;
        reply::parse(&mut values)
    }

    /// The types of `tenant` that are counted by name on `partition`.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn types(
        &self,
        partition: u16,
        tenant: &str,
    ) -> Result<HashSet<String>, StreamError> {
        let key = self.keys(partition)?.types(tenant);
        answered(self.client.smembers(key)).await
    }

    fn count_keys(&self, partition: u16, hashes: &[CountHash]) -> Result<Vec<String>, StreamError> {
        let names = self.keys(partition)?;
        let key = |hash: &CountHash| match *hash {
            CountHash::Bucket(step, number) => names.count_bucket(step.as_str(), number),
            CountHash::Total => names.count_total.clone(),
        };
        Ok(hashes.iter().map(key).collect())
    }
}

fn parse(value: Value) -> Result<FoundCounts, StreamError> {
    let Value::Array(values) = value else {
        return Ok(FoundCounts {
            counts: Bucket::new(),
            damaged: true,
        });
    };
    let mut found = FoundCounts::default();
    let mut values = values.into_iter();
    while values.len() > 0 {
        let field = reply::text(&mut values)?;
        match reply::parse(&mut values) {
            Ok(count) => drop(found.counts.insert(field, count)),
            Err(_) => found.damaged = true,
        }
    }
    Ok(found)
}
