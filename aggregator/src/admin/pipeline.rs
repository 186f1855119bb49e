//! The state of the pipeline: streams, consumers, totals, servers.

mod vitals;

use std::sync::Arc;
use std::time::Duration;

use bson::doc;
use evp_shared::dead_letters::Size;
use evp_shared::redis::{Memory, version};
use evp_shared::stream::{PartitionState, StreamError, Totals};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::vitals::Vitals;
use super::Admin;
use super::spans::StorageState;
use crate::deadline::answer_of_redis;
use crate::error::QueryError;

/// Longest Redis is waited for, and MongoDB, which is asked at the same time.
const DEADLINE: Duration = Duration::from_secs(2);

/// Partitions that are looked at at the same time.
const PARTITIONS_AT_ONCE: usize = 16;

/// The state of the pipeline as it is answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineState {
    /// Unix ms.
    as_of: u64,
    /// Unix ms before which everything accepted is stored.
    stored_through: Option<u64>,
    totals: PipelineTotals,
    partitions: Vec<Partition>,
    redis: RedisState,
    /// `None` while MongoDB does not answer.
    mongodb: Option<MongoState>,
    /// `None` while MongoDB does not answer.
    dead_letters: Option<LettersState>,
    /// `None` while MongoDB does not answer.
    storage: Option<StorageState>,
}

/// What became of all events since the beginning.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PipelineTotals {
    appended: i64,
    stored: i64,
    duplicates: i64,
    dead_lettered: i64,
    /// Events appended and not acknowledged: what waits to be stored.
    backlog: i64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Partition {
    partition: u16,
    /// Entries on the stream, those of the kept window included.
    entries: u64,
    /// Entries not delivered yet; `None` when Redis cannot tell.
    lag: Option<u64>,
    /// Entries delivered and not acknowledged.
    pending: u64,
    /// Ms since the frame of the oldest pending entry was received.
    oldest_pending_age_ms: Option<u64>,
    /// Bytes the stream takes.
    memory_bytes: Option<u64>,
    consumers: Vec<Consumer>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Consumer {
    name: String,
    /// Entries delivered to it and not acknowledged.
    pending: u64,
    /// Ms since it last asked for anything.
    idle_ms: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RedisState {
    version: String,
    used_memory_bytes: u64,
    /// 0: no limit.
    max_memory_bytes: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MongoState {
    version: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LettersState {
    events: u64,
    bytes: u64,
}

/// The state without what MongoDB says, and that.
type Outline = (PipelineState, Result<(MongoState, Size), QueryError>);

impl Admin {
    /// The state of the pipeline, read once for everybody who asks within a moment.
    ///
    /// # Errors
    /// [`QueryError::Counters`]: what MongoDB does not answer is left out instead.
    pub async fn pipeline(
        &self,
        stored_through: Option<u64>,
    ) -> Result<Arc<PipelineState>, QueryError> {
        let read = async {
            let outline = self.outline(stored_through);
            let storage = Box::pin(self.storage());
            let ((state, mongo), storage) = tokio::try_join!(outline, storage.map(Ok))?;
            let (mongodb, letters) = mongo.ok().unzip();
            Ok(PipelineState {
                mongodb,
                dead_letters: letters.map(LettersState::from),
                storage,
                ..state
            })
        };
        self.state.get((), read).await
    }

    /// What notices go by, as it is now.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub async fn vitals(&self, stored_through: Option<u64>) -> Result<Vitals, QueryError> {
        let (state, mongo) = self.outline(stored_through).await?;
        Ok(state.vitals(mongo.map(|(_, letters)| letters)))
    }

    /// The state of Redis and what MongoDB says, without the spans, which take a command for each.
    async fn outline(&self, stored_through: Option<u64>) -> Result<Outline, QueryError> {
        let redis = Box::pin(self.of_redis(stored_through));
        let redis = answer_of_redis(&self.stream, DEADLINE, redis);
        let mongo = tokio::time::timeout(DEADLINE, Box::pin(self.of_mongo()));
        let (state, mongo) = tokio::try_join!(redis, mongo.map(Ok))?;
        Ok((state, mongo.unwrap_or(Err(QueryError::Timeout))))
    }

    /// The state of the spans; `None` where MongoDB did not answer.
    async fn storage(&self) -> Option<StorageState> {
        let read = async {
            let now_ms = self.clock.now_ms();
            let read = StorageState::read(&self.database, now_ms, DEADLINE);
            let reason = match tokio::time::timeout(DEADLINE, read).await {
                Ok(Ok(state)) => return Ok(Some(state)),
                Ok(Err(error)) => error.to_string(),
                Err(late) => late.to_string(),
            };
            tracing::warn!(error = reason, "the state of the spans cannot be read");
            Ok(None)
        };
        let kept = self.storage.get((), read).await.ok()?;
        kept.as_ref().clone()
    }

    /// The state without what MongoDB says.
    async fn of_redis(&self, stored_through: Option<u64>) -> Result<PipelineState, StreamError> {
        let as_of = self.clock.now_ms();
        let stream = &self.stream;
        let look = |partition| async move {
            let state = stream.look(partition).await?;
            Ok::<_, StreamError>((partition, state, stream.totals(partition).await?))
        };
        let found: Vec<_> = stream::iter((0..stream.partitions()).map(look))
            .buffered(PARTITIONS_AT_ONCE)
            .try_collect()
            .await?;
        let mut totals = Totals::default();
        found.iter().for_each(|(_, _, own)| totals.add(own));
        let partition = |(number, state, _)| Partition::of(number, state, as_of);
        let memory = Memory::ask(stream.client()).await?;
        Ok(PipelineState {
            as_of,
            stored_through,
            totals: PipelineTotals {
                appended: totals.appended_events,
                stored: totals.counted_events,
                duplicates: totals.duplicate_events,
                dead_lettered: totals.dead_lettered_events,
                backlog: totals.backlog_events(),
            },
            partitions: found.into_iter().map(partition).collect(),
            redis: RedisState {
                version: version(stream.client()).await?,
                used_memory_bytes: memory.used,
                max_memory_bytes: memory.limit,
            },
            mongodb: None,
            dead_letters: None,
            storage: None,
        })
    }

    async fn of_mongo(&self) -> Result<(MongoState, Size), QueryError> {
        let asked = self.database.run_command(doc! { "buildInfo": 1 }).await?;
        let size = self.letters.size().await?;
        let version = asked.get_str("version").unwrap_or_default().to_owned();
        Ok((MongoState { version }, size))
    }
}

impl From<Size> for LettersState {
    fn from(Size { events, bytes }: Size) -> Self {
        Self { events, bytes }
    }
}

impl Partition {
    fn of(partition: u16, state: PartitionState, now_ms: u64) -> Self {
        let age = |received: u64| now_ms.saturating_sub(received);
        Self {
            partition,
            entries: state.entries,
            lag: state.lag,
            pending: state.pending,
            oldest_pending_age_ms: state.oldest_pending_received_ms.map(age),
            memory_bytes: state.memory_bytes,
            consumers: state
                .consumers
                .into_iter()
                .map(|consumer| Consumer {
                    name: consumer.name,
                    pending: consumer.pending,
                    idle_ms: consumer.idle_ms,
                })
                .collect(),
        }
    }
}
