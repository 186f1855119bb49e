//! Reading what commits have counted: totals of a partition, and the buckets of its counters.

use std::collections::HashMap;

use fred::interfaces::HashesInterface;
use serde::Deserialize;
use serde::de::value::MapDeserializer;

use super::{Stream, StreamError, answered};
use crate::counters::Step;

/// Totals of one partition since it exists.
///
/// `appended = acknowledged + lost + backlog`, and
/// `settled events = counted + duplicate + dead-lettered`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Events whose frames were appended; a frame appended twice counts twice.
    pub appended_events: i64,
    /// Their bytes, uncompressed.
    pub appended_bytes: i64,
    /// Events whose entries were acknowledged.
    pub acknowledged_events: i64,
    /// Their bytes.
    pub acknowledged_bytes: i64,
    /// Events of a backlog that was found missing.
    pub lost_events: i64,
    /// Their bytes.
    pub lost_bytes: i64,
    /// Frames settled.
    pub settled_frames: i64,
    /// Events added to the counters: stored for the first time.
    pub counted_events: i64,
    /// Events that were stored before.
    pub duplicate_events: i64,
    /// Events among the dead letters.
    pub dead_lettered_events: i64,
    /// Events whose time had ended before they were stored.
    pub expired_events: i64,
}

impl Totals {
    /// Events appended and not acknowledged.
    pub fn backlog_events(&self) -> i64 {
        self.appended_events - self.acknowledged_events - self.lost_events
    }

    /// Their bytes.
    pub fn backlog_bytes(&self) -> i64 {
        self.appended_bytes - self.acknowledged_bytes - self.lost_bytes
    }

    /// Adds those of another partition.
    pub fn add(&mut self, other: &Self) {
        self.appended_events += other.appended_events;
        self.appended_bytes += other.appended_bytes;
        self.acknowledged_events += other.acknowledged_events;
        self.acknowledged_bytes += other.acknowledged_bytes;
        self.lost_events += other.lost_events;
        self.lost_bytes += other.lost_bytes;
        self.settled_frames += other.settled_frames;
        self.counted_events += other.counted_events;
        self.duplicate_events += other.duplicate_events;
        self.dead_lettered_events += other.dead_lettered_events;
        self.expired_events += other.expired_events;
    }
}

/// One bucket: counter field (`tenant \x1f type`) to events.
pub type Bucket = HashMap<String, i64>;

impl Stream {
    /// The totals of `partition`.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn totals(&self, partition: u16) -> Result<Totals, StreamError> {
        let key = self.keys(partition)?.totals.clone();
        let fields: HashMap<String, i64> = answered(self.client.hgetall(key)).await?;
        let fields = MapDeserializer::<_, serde::de::value::Error>::new(fields.into_iter());
        Totals::deserialize(fields).map_err(|error| StreamError::protocol(error.to_string()))
    }

    /// The counts of `partition` over all time.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn count_total(&self, partition: u16) -> Result<Bucket, StreamError> {
        let key = self.keys(partition)?.count_total.clone();
        answered(self.client.hgetall(key)).await
    }

    /// The buckets of `partition` numbered `buckets`, in that order, in one round trip; an empty
    /// one where nothing was counted.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn count_buckets(
        &self,
        partition: u16,
        step: Step,
        buckets: std::ops::Range<u64>,
    ) -> Result<Vec<Bucket>, StreamError> {
        let names = self.keys(partition)?;
        let pipeline = self.client.pipeline();
        let mut asked = 0;
        for bucket in buckets {
            let () = pipeline
                .hgetall(names.count_bucket(step.as_str(), bucket))
                .await?;
            asked += 1;
        }
        if asked == 0 {
            return Ok(Vec::new());
        }
        let found: Vec<Bucket> = answered(pipeline.all()).await?;
        if found.len() != asked {
            return Err(StreamError::protocol("fewer replies than commands"));
        }
        Ok(found)
    }
}
