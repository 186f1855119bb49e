//! What became of each tenant's events, by the hour, and when each key was used last.

use std::collections::HashMap;

use fred::interfaces::{HashesInterface, KeysInterface};

use super::{Stream, StreamError, answered};

/// Hours that are looked back.
pub const USAGE_HOURS: u64 = 24;
const HOUR_S: i64 = 3_600;
const LIFE_S: i64 = 25 * HOUR_S;

/// What became of a tenant's events: counts by name.
pub type UsageCounts = HashMap<String, u64>;

impl Stream {
    /// Adds to what is known of `tenant` in `hour`, counted from 1970.
    ///
    /// # Errors
    /// [`StreamError`]; some of it may have been added.
    pub async fn add_usage(
        &self,
        tenant: &str,
        hour: u64,
        counts: &[(&'static str, u64)],
    ) -> Result<(), StreamError> {
        let key = self.keys.usage(tenant, hour);
        let pipeline = self.client.pipeline();
        for (name, count) in counts {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            let _queued: () = pipeline.hincrby(&key, *name, count).await?;
        }
        let _queued: () = pipeline.expire(&key, LIFE_S, None).await?;
        let _counts: Vec<i64> = answered(pipeline.all()).await?;
        Ok(())
    }

    /// What became of the events of `tenant` in the 24 hours up to `hour`, added up.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn usage(&self, tenant: &str, hour: u64) -> Result<UsageCounts, StreamError> {
        let pipeline = self.client.pipeline();
        for ago in 0..USAGE_HOURS {
            let key = self.keys.usage(tenant, hour.saturating_sub(ago));
            let () = pipeline.hgetall(key).await?;
        }
        let hours: Vec<UsageCounts> = answered(pipeline.all()).await?;
        let mut sum = UsageCounts::new();
        for (name, count) in hours.into_iter().flatten() {
            *sum.entry(name).or_default() += count;
        }
        Ok(sum)
    }

    /// Notes when keys were used last: their ids, in Unix ms.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn say_used(&self, keys: Vec<(String, u64)>) -> Result<(), StreamError> {
        let fields: Vec<(String, String)> = keys
            .into_iter()
            .map(|(id, at_ms)| (id, at_ms.to_string()))
            .collect();
        let set = self.client.hset::<(), _, _>(self.keys.used(), fields);
        answered(set).await
    }

    /// When keys were used last, Unix ms by id.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn used(&self) -> Result<HashMap<String, u64>, StreamError> {
        answered(self.client.hgetall(self.keys.used())).await
    }

    /// How much of `tenant`'s quota of `day` was given out to instances.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn quota_given(&self, tenant: &str, day: u64) -> Result<u64, StreamError> {
        let given = self.client.hget(self.keys.quotas(day), tenant);
        let given: Option<u64> = answered(given).await?;
        Ok(given.unwrap_or(0))
    }
}
