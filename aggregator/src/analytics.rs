//! What happened in the last 15 minutes, hour, day or week: counts exactly, the rest by sketches.
//!
//! An answer is read by one caller for all, kept for a while after it is due, and given out while
//! its successor is read: nobody waits for a reading but the first.

pub mod answer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use evp_shared::clock::Clock;
use evp_shared::keys::SketchKind;
use evp_shared::stream::{Stream, StreamError};
use evp_shared::tasks::TaskPool;
use futures::stream::{self, StreamExt, TryStreamExt};

use self::answer::{AnalyticsAnswer, Counted, Missing, Sketched, TimeRange, Unique};
use crate::auth::Tenant;
use crate::cache::Cache;
use crate::deadline::answer_of_redis;
use crate::error::QueryError;

/// How old an answer is when the next one is due.
const FRESH: Duration = Duration::from_secs(10);
/// How old it may be when it is given out while the next one is read.
const STALE: Duration = Duration::from_secs(60);

/// Longest a reading waits for Redis.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of answers that are kept, of all tenants and ranges; one has 256 KiB at most.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Readings for later at the same time.
const REFRESHES: usize = 4;
/// Partitions that are read at the same time; one is up to 168 hashes.
const PARTITIONS_AT_ONCE: usize = 4;
/// Users an answer names.
const TOP_USERS: usize = 20;

/// A tenant, and whether its users are sketched.
type Asked = (Tenant, bool);

type Key = (Asked, TimeRange);

/// Answers `/analytics`.
#[derive(Debug, Clone)]
pub struct Analytics {
    stream: Stream,
    clock: Clock,
    kept: Arc<Cache<Key, Rendered>>,
    refreshes: TaskPool,
}

/// An answer as it is sent.
#[derive(Debug)]
pub struct Rendered {
    /// The body, JSON.
    pub body: Bytes,
    /// When it was read.
    read_at: Instant,
    /// Whether its successor is being read, or there.
    is_renewed: AtomicBool,
}

impl Analytics {
    /// Reads over `stream`.
    pub fn new(stream: Stream, clock: Clock) -> Self {
        let weigh = |answer: &Rendered| answer.body.len();
        Self {
            stream,
            clock,
            kept: Arc::new(Cache::sized(KEPT_BYTES_MAX, weigh, STALE)),
            refreshes: TaskPool::new("refresh", REFRESHES),
        }
    }

    /// The answer for a tenant over `range`.
    ///
    /// # Errors
    /// [`QueryError::Counters`], only while there is none that is young enough.
    pub async fn get(&self, asked: Asked, range: TimeRange) -> Result<Arc<Rendered>, QueryError> {
        let key = (asked, range);
        let kept = self.kept.get(key.clone(), self.bounded(&key)).await?;
        if self.clock.now() - kept.read_at >= FRESH
            && let Some(slot) = self.refreshes.try_slot()
            && !kept.is_renewed.swap(true, Ordering::Relaxed)
        {
            let (this, kept) = (self.clone(), Arc::clone(&kept));
            drop(slot.spawn(async move {
                let renewed = this.kept.renew(key.clone(), this.bounded(&key)).await;
                // It is given out until it is too old; then the error is.
                kept.is_renewed.store(renewed.is_ok(), Ordering::Relaxed);
            }));
        }
        Ok(kept)
    }

    async fn bounded(&self, key: &Key) -> Result<Rendered, QueryError> {
        let read = Box::pin(self.read(&key.0, key.1));
        answer_of_redis(&self.stream, READ_DEADLINE, read).await
    }

    async fn read(
        &self,
        (tenant, is_sketched): &Asked,
        range: TimeRange,
    ) -> Result<Rendered, StreamError> {
        let read_at = self.clock.now();
        let now_ms = self.clock.now_ms();
        let (step, buckets) = (range.step, range.buckets(now_ms));
        let name = tenant.as_str();
        let counts = (0..self.stream.partitions()).map(|partition| {
            self.stream
                .tenant_buckets(partition, name, step, buckets.clone())
        });
        let counted = stream::iter(counts)
            .buffer_unordered(PARTITIONS_AT_ONCE)
            .try_fold(Counted::new(&buckets), |mut counted, found| async move {
                counted.add(&found);
                Ok(counted)
            })
            .await?;
        let sketched = match is_sketched {
            true => self.sketched(tenant, range, now_ms, &counted).await?,
            false => Err(Missing::NotEnabled),
        };
        let answer = AnalyticsAnswer::new(range, now_ms, &counted, sketched);
        // Numbers and texts always serialise.
        let body = serde_json::to_vec(&answer).unwrap_or_default();
        Ok(Rendered {
            body: body.into(),
            read_at,
            is_renewed: AtomicBool::new(false),
        })
    }

    async fn sketched(
        &self,
        tenant: &Tenant,
        range: TimeRange,
        now_ms: u64,
        counted: &Counted,
    ) -> Result<Sketched, StreamError> {
        let (name, step, buckets) = (tenant.as_str(), range.step, range.buckets(now_ms));
        let unique = |kind| self.stream.unique(kind, name, step, buckets.clone());
        let unique = Unique {
            users: unique(SketchKind::Users).await?,
            sessions: unique(SketchKind::Sessions).await?,
        };
        let (top, lacking) = self.stream.top_users(name, step, buckets.clone()).await?;
        if counted.lacks(range, now_ms, &lacking) {
            return Ok(Err(Missing::Incomplete));
        }
        Ok(Ok((unique, top.top(TOP_USERS))))
    }
}
