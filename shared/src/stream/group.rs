//! Reading as a member of the consumer group: new entries, one's own pending ones, and those of
//! members that are gone.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, StreamsInterface};
use fred::prelude::Value;

use super::{Entry, EntryId, LEAVE, Stream, StreamError, answered, entry, ms, once, reply};
use crate::keys::GROUP;

/// How much longer than asked a blocking read may take before its connection counts as dead.
/// Source: Redis may return from BLOCK 5 s late under load (redis issue 12998).
const BLOCK_SLACK: Duration = Duration::from_secs(10);

/// One step of a claim pass.
#[derive(Debug, Clone, Copy)]
pub struct ClaimStep<'a> {
    /// Who claims.
    pub consumer: &'a str,
    /// Entries pending for at least this long are taken.
    pub idle: Duration,
    /// Where the last step ended; [`EntryId::ZERO`] begins a pass.
    pub cursor: EntryId,
    /// Entries to take at most.
    pub count: u64,
}

/// What one step of a claim pass found.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Where the next step goes on; [`EntryId::ZERO`] when the pass is over.
    pub cursor: EntryId,
    /// Entries that belong to this consumer from here on.
    pub entries: Vec<Entry>,
    /// Pending entries that were deleted from the stream: lost, unless they were kept entries.
    pub deleted: Vec<EntryId>,
}

/// A partition's pending entries list in short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingSummary {
    /// Entries delivered and not acknowledged.
    pub entries: u64,
    /// Lowest of them.
    pub oldest: Option<EntryId>,
}

/// One named member of the consumer group, on a connection of its own: a blocking read holds up
/// everything behind it.
#[derive(Debug)]
pub struct GroupReader<'a> {
    client: &'a Client,
    stream: &'a Stream,
    consumer: &'a str,
}

impl<'a> GroupReader<'a> {
    /// Reads as `consumer` over `client`, which nothing else uses.
    pub fn new(client: &'a Client, stream: &'a Stream, consumer: &'a str) -> Self {
        Self {
            client,
            stream,
            consumer,
        }
    }

    /// Entries nobody was given yet, of all partitions, at most `count` of each; waits up to
    /// `block` for the first one.
    ///
    /// # Errors
    /// [`StreamError::NoGroup`] asks for hello; after any error the reply may be lost and its
    /// entries pending under this consumer: read those first. A lost connection is such an error:
    /// read again by itself, it would hide what the lost reply held until others claim that.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped midway, delivered entries stay pending unseen.
    pub async fn read_new(&self, count: u64, block: Duration) -> Result<Vec<Entry>, StreamError> {
        let keys: Vec<String> = self
            .stream
            .partitions
            .iter()
            .map(|names| names.events.clone())
            .collect();
        let ids = vec![">"; keys.len()];
        let client = self.client.with_options(&once());
        let read = client.xreadgroup::<Value, _, _, _, _>(
            GROUP,
            self.consumer,
            Some(count),
            Some(ms(block).max(1)),
            false,
            keys,
            ids,
        );
        let reply = match tokio::time::timeout(block + BLOCK_SLACK, read).await {
            Ok(reply) => reply?,
            Err(_) => return Err(StreamError::Unknown { source: None }),
        };
        self.parse_streams(reply)
    }

    /// This consumer's own pending entries of `partition` with ids above `after`.
    ///
    /// # Errors
    /// As [`Self::read_new`].
    pub async fn read_pending(
        &self,
        partition: u16,
        after: EntryId,
        count: u64,
    ) -> Result<Vec<Entry>, StreamError> {
        let key = self.stream.keys(partition)?.events.clone();
        let client = self.client.with_options(&once());
        let read = client.xreadgroup::<Value, _, _, _, _>(
            GROUP,
            self.consumer,
            Some(count),
            None,
            false,
            key,
            after.to_string(),
        );
        self.parse_streams(answered(read).await?)
    }

    fn parse_streams(&self, reply: Value) -> Result<Vec<Entry>, StreamError> {
        let mut entries = Vec::new();
        for stream in reply::array(reply)? {
            let mut parts = reply::array(stream)?.into_iter();
            let key = reply::text(&mut parts)?;
            let partition = self.partition_of(&key)?;
            entries.extend(entry::parse_all(partition, parts.next())?);
        }
        Ok(entries)
    }

    fn partition_of(&self, key: &str) -> Result<u16, StreamError> {
        let mut all = self.stream.partitions.iter();
        all.find(|names| names.events == key)
            .map(|names| names.partition)
            .ok_or_else(|| StreamError::protocol(format!("stream {key}")))
    }
}

impl Stream {
    /// One step of a claim pass over `partition`.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    ///
    /// # Source
    /// XAUTOCLAIM looks at no more than ten times `count` entries, so a step may claim nothing
    /// and still not be the last: go on until the cursor is zero.
    pub async fn claim(&self, partition: u16, step: ClaimStep<'_>) -> Result<Claimed, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let idle_ms = ms(step.idle);
        let (from, count) = (step.cursor.to_string(), Some(step.count));
        let claim = self
            .client
            .xautoclaim(key, GROUP, step.consumer, idle_ms, from, count, false);
        let reply: Value = answered(claim).await?;
        let mut parts = reply::array(reply)?.into_iter();
        Ok(Claimed {
            cursor: reply::parse(&mut parts)?,
            entries: entry::parse_all(partition, parts.next())?,
            deleted: reply::parse_all(reply::array(parts.next())?)?,
        })
    }

    /// Takes `consumer` out of the group of `partition` if nothing is pending under it. Returns how
    /// many entries are: 0 says that it is out.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn leave(&self, partition: u16, consumer: &str) -> Result<u64, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let args = vec![GROUP.into(), consumer.into()];
        let mut reply = self.run(&LEAVE, vec![key], args).await?.into_iter();
        match reply::text(&mut reply)?.as_str() {
            "pending" => reply::parse(&mut reply),
            _ => Ok(0),
        }
    }

    /// The pending entries list of `partition` in short.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn pending(&self, partition: u16) -> Result<PendingSummary, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let reply: Value = answered(self.client.xpending(key, GROUP, ())).await?;
        let mut parts = reply::array(reply)?.into_iter();
        let entries = reply::parse(&mut parts)?;
        let oldest = parts.next().filter(|id| !id.is_null());
        Ok(PendingSummary {
            entries,
            oldest: reply::parse_all(oldest)?.pop(),
        })
    }

    /// The entry `id` of `partition`, if it is still on the stream.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn entry(&self, partition: u16, id: EntryId) -> Result<Option<Entry>, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let id = id.to_string();
        let range = self.client.xrange(key, id.as_str(), id.as_str(), Some(1));
        let reply: Value = answered(range).await?;
        Ok(entry::parse_all(partition, reply)?.pop())
    }
}
