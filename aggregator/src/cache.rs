//! Values that are read once for everybody who asks at the same time, and kept for a moment.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache as Entries;

use crate::error::QueryError;
use crate::metrics::CacheMetrics;

/// A single-flight cache: however many ask for a key, one read of it is under way.
///
/// A value is at most its time to live, and the time of its read, behind. An error is given to all
/// who waited for that read, and not kept.
#[derive(Debug, Clone)]
pub struct Cache<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> {
    entries: Entries<K, Arc<V>>,
    metrics: CacheMetrics,
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> Cache<K, V> {
    /// Keeps values of up to `bytes` together, as `weigh` says, for `ttl` each: how many keys there
    /// are is up to clients.
    pub fn sized(bytes: usize, weigh: fn(&V) -> usize, ttl: Duration) -> Self {
        let weigh = move |_: &K, value: &Arc<V>| u32::try_from(weigh(value)).unwrap_or(u32::MAX);
        let entries = Entries::builder().weigher(weigh).time_to_live(ttl);
        Self {
            entries: entries.max_capacity(bytes as u64).build(),
            metrics: CacheMetrics::resolve(),
        }
    }

    /// The value of `key`, which `read` gets unless it is there or under way.
    ///
    /// # Errors
    /// Those of `read`.
    ///
    /// # Cancel safety
    /// Safe: when the one who reads goes away, another who waits reads.
    pub async fn get(
        &self,
        key: K,
        read: impl Future<Output = Result<V, QueryError>>,
    ) -> Result<Arc<V>, QueryError> {
        let read = async { read.await.map(Arc::new) };
        match self.entries.entry(key).or_try_insert_with(read).await {
            Ok(entry) => {
                let counter = if entry.is_fresh() {
                    &self.metrics.miss
                } else {
                    &self.metrics.hit
                };
                counter.increment(1);
                Ok(entry.into_value())
            }
            Err(error) => {
                self.metrics.error.increment(1);
                Err(QueryError::clone(&error))
            }
        }
    }

    /// Puts what `read` gets in the place of what is there, which is given out meanwhile.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn renew(
        &self,
        key: K,
        read: impl Future<Output = Result<V, QueryError>>,
    ) -> Result<(), QueryError> {
        let read = read.await;
        let counter = match &read {
            Ok(_) => &self.metrics.miss,
            Err(_) => &self.metrics.error,
        };
        counter.increment(1);
        self.entries.insert(key, Arc::new(read?)).await;
        Ok(())
    }
}

impl<V: Send + Sync + 'static> Cache<(), V> {
    /// Keeps the only value there is for `ttl`.
    pub fn one(ttl: Duration) -> Self {
        Self::sized(1, |_| 1, ttl)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cache(ttl: Duration) -> Cache<u8, usize> {
        Cache::sized(100, |_| 10, ttl)
    }

    #[tokio::test]
    async fn a_crowd_shares_one_read() {
        let cache = cache(Duration::from_secs(600));
        let reads = AtomicUsize::new(0);
        let ask = || {
            cache.get(1, async {
                tokio::task::yield_now().await;
                Ok(reads.fetch_add(1, Ordering::SeqCst))
            })
        };
        let answers = futures::future::join_all((0..100).map(|_| ask())).await;
        assert!(answers.iter().all(|answer| **answer.as_ref().unwrap() == 0));
        assert_eq!(reads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn keys_without_end_take_bounded_bytes() {
        let cache = cache(Duration::from_secs(600));
        for key in 0..=u8::MAX {
            let read = cache.get(key, async { Ok(usize::from(key)) }).await;
            assert_eq!(*read.unwrap(), usize::from(key));
        }
        cache.entries.run_pending_tasks().await;
        assert!((1..=10).contains(&cache.entries.entry_count()));
    }

    #[tokio::test]
    async fn an_error_is_not_kept() {
        let cache = cache(Duration::from_secs(600));
        let failed = cache.get(1, async { Err(QueryError::Timeout) }).await;
        assert!(matches!(failed, Err(QueryError::Timeout)));
        assert_eq!(*cache.get(1, async { Ok(7) }).await.unwrap(), 7);
        assert_eq!(*cache.get(1, async { Ok(8) }).await.unwrap(), 7);
        assert_eq!(*cache.get(2, async { Ok(9) }).await.unwrap(), 9);
    }

    #[tokio::test]
    async fn what_is_renewed_is_given_out_until_its_successor_is_there() {
        let cache = cache(Duration::from_secs(600));
        assert_eq!(*cache.get(1, async { Ok(7) }).await.unwrap(), 7);
        let renewal = cache.renew(1, async {
            assert_eq!(*cache.get(1, async { Ok(9) }).await.unwrap(), 7);
            Ok(8)
        });
        renewal.await.unwrap();
        let failed = cache.renew(1, async { Err(QueryError::Timeout) }).await;
        assert!(matches!(failed, Err(QueryError::Timeout)));
        assert_eq!(*cache.get(1, async { Ok(9) }).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_value_is_read_again_after_its_time() {
        let cache = cache(Duration::from_nanos(1));
        assert_eq!(*cache.get(1, async { Ok(7) }).await.unwrap(), 7);
        assert_eq!(*cache.get(1, async { Ok(8) }).await.unwrap(), 8);
    }
}
