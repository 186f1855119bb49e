//! Counters out of Redis, each read once for everybody who asks within a moment.

pub mod block;
pub mod series;

use std::sync::Arc;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::counters::Step;
use evp_shared::stream::{Stream, StreamError, Totals};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::auth::Tenant;
use crate::cache::Cache;
use crate::counters::block::{Block, BlockId};
use crate::counters::series::{SeriesAnswer, SeriesFold, SeriesRequest};
use crate::counts::{ByType, LastMinute, Reading};
use crate::deadline::answer_of_redis;
use crate::error::QueryError;
use crate::slots::Slots;

/// Seconds of the last minute.
pub const WINDOW_S: u64 = 60;

/// Longest an answer waits for Redis.
const READ_DEADLINE: Duration = Duration::from_secs(2);
/// Longest a series waits: it may be 3,600 buckets of each partition.
const SERIES_DEADLINE: Duration = Duration::from_secs(10);
/// Partitions that are read at the same time.
const PARTITIONS_AT_ONCE: usize = 16;
/// Series that are summed at the same time: each may hold 58 MB.
pub const SERIES_AT_ONCE: usize = 4;
/// Blocks that one of them reads at the same time.
const BLOCKS_AT_ONCE: usize = 4;
/// Bytes of blocks that are kept: an hour of seconds of 1,000 types is 40 MB.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of counts of the last minute, and of those over all time, that are kept: 1,000 tenants of 20
/// types are 2 MB.
const COUNTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Counts and totals over all time.
#[derive(Debug, Clone, Default)]
pub struct AllTime {
    /// Events of a tenant by type.
    pub counts: ByType,
    /// What became of all events, of all tenants together.
    pub totals: Totals,
}

/// Reads counters, and answers from memory what was just read.
#[derive(Debug)]
pub struct Counters {
    stream: Stream,
    clock: Clock,
    last_minute: Cache<Tenant, Reading<LastMinute>>,
    all_time: Cache<Tenant, Reading<AllTime>>,
    stored_through: Cache<(), u64>,
    blocks: Cache<(Tenant, BlockId), Block>,
    series_slots: Slots,
}

impl Counters {
    /// Reads over `stream` and keeps each answer for `ttl`; as many series at once as there are
    /// `series_slots`.
    pub fn new(stream: Stream, clock: Clock, ttl: Duration, series_slots: Slots) -> Self {
        let of_minute = |read: &Reading<LastMinute>| read.value.weight();
        let of_all = |read: &Reading<AllTime>| read.value.counts.weight();
        Self {
            last_minute: Cache::sized(COUNTS_BYTES_MAX, of_minute, ttl),
            all_time: Cache::sized(COUNTS_BYTES_MAX, of_all, ttl),
            stored_through: Cache::one(ttl),
            blocks: Cache::sized(BLOCK_BYTES_MAX, Block::weight, ttl),
            series_slots,
            stream,
            clock,
        }
    }

    /// Events of `tenant` that arrived in the current second and the 59 before it.
    ///
    /// # Errors
    /// [`QueryError::Counters`].
    pub async fn last_minute(
        &self,
        tenant: &Tenant,
    ) -> Result<Arc<Reading<LastMinute>>, QueryError> {
        let read = self.read_last_minute(tenant);
        self.last_minute.get(tenant.clone(), read).await
    }

    /// The same, read now.
    ///
    /// # Errors
    /// [`QueryError::Counters`].
    pub async fn read_last_minute(
        &self,
        tenant: &Tenant,
    ) -> Result<Reading<LastMinute>, QueryError> {
        let read = async {
            let as_of_ms = self.clock.now_ms();
            let end = as_of_ms / 1_000 + 1;
            let buckets = end.saturating_sub(WINDOW_S)..end;
            let (stream, name) = (&self.stream, tenant.as_str());
            let read = |of| stream.tenant_buckets(of, name, Step::Second, buckets.clone());
            let value = self
                .of_partitions(read)
                .try_fold(LastMinute::default(), |mut sum, found| async move {
                    sum.add(&found);
                    Ok(sum)
                })
                .await?;
            Ok(Reading { as_of_ms, value })
        };
        answer_of_redis(&self.stream, READ_DEADLINE, read).await
    }

    /// Counts of `tenant` and totals over all time.
    ///
    /// # Errors
    /// [`QueryError::Counters`].
    pub async fn all_time(&self, tenant: &Tenant) -> Result<Arc<Reading<AllTime>>, QueryError> {
        let read = answer_of_redis(&self.stream, READ_DEADLINE, async {
            let as_of_ms = self.clock.now_ms();
            let value = self
                .of_partitions(|partition| async move {
                    let counts = self.stream.tenant_total(partition, tenant.as_str());
                    Ok((counts.await?, self.stream.totals(partition).await?))
                })
                .try_fold(AllTime::default(), |mut sum, (counts, totals)| async move {
                    sum.counts.add(&counts);
                    sum.totals.add(&totals);
                    Ok(sum)
                })
                .await?;
            Ok(Reading { as_of_ms, value })
        });
        self.all_time.get(tenant.clone(), read).await
    }

    /// Counts of `tenant` over time.
    ///
    /// # Errors
    /// [`QueryError::Counters`], and those of [`Slots::take`] when there was no place for it.
    pub async fn series(
        &self,
        tenant: &Tenant,
        request: &SeriesRequest,
    ) -> Result<SeriesAnswer, QueryError> {
        let _slot = self.series_slots.take(tenant, SERIES_DEADLINE).await?;
        let read = async {
            let blocks = BlockId::all_of(request.step, &request.buckets);
            let fold = stream::iter(blocks.map(|id| self.block(tenant, id)))
                .buffer_unordered(BLOCKS_AT_ONCE)
                .try_fold(SeriesFold::new(request), |mut fold, block| async move {
                    fold.add(&block);
                    Ok(fold)
                });
            fold.await.map(SeriesFold::finish)
        };
        let read = tokio::time::timeout(SERIES_DEADLINE, read).await;
        read.unwrap_or(Err(QueryError::Counters { source: None }))
    }

    async fn block(&self, tenant: &Tenant, id: BlockId) -> Result<Arc<Block>, QueryError> {
        let read = answer_of_redis(&self.stream, SERIES_DEADLINE, async {
            self.of_partitions(|partition| {
                let name = tenant.as_str();
                self.stream
                    .tenant_buckets(partition, name, id.step, id.buckets())
            })
            .try_fold(Block::new(id), |block, found| async {
                Ok(block.with(found))
            })
            .await
        });
        self.blocks.get((tenant.clone(), id), read).await
    }

    /// Unix ms before which everything accepted is stored.
    ///
    /// # Errors
    /// [`QueryError::Counters`].
    pub async fn stored_through_ms(&self) -> Result<u64, QueryError> {
        let read = answer_of_redis(&self.stream, READ_DEADLINE, async {
            // Read first: what is accepted while the partitions are asked is not promised.
            let now_ms = self.clock.now_ms();
            self.of_partitions(|partition| self.stream.oldest_uncommitted(partition))
                .try_fold(now_ms, |earliest, oldest| async move {
                    let received = oldest.map_or(now_ms, |oldest| oldest.received_at_ms);
                    Ok(earliest.min(received))
                })
                .await
        });
        Ok(*self.stored_through.get((), read).await?)
    }

    /// What `read` answers for each partition, in any order.
    fn of_partitions<'a, T, R>(
        &'a self,
        read: impl Fn(u16) -> R + 'a,
    ) -> impl stream::Stream<Item = Result<T, StreamError>> + 'a
    where
        R: Future<Output = Result<T, StreamError>> + 'a,
    {
        stream::iter((0..self.stream.partitions()).map(read)).buffer_unordered(PARTITIONS_AT_ONCE)
    }
}
