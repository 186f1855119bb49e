//! Looking at a partition, for people: how long its stream is, who reads it, what is pending.

use std::collections::HashMap;

use fred::interfaces::{ClientLike, StreamsInterface};
use fred::prelude::{Error as RedisError, Value};
use fred::types::CustomCommand;

use super::{EntryId, Stream, StreamError, answered};
use crate::keys::GROUP;

/// A partition as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// Entries on the stream, the kept window included.
    pub entries: u64,
    /// Entries not delivered yet; `None` when Redis cannot tell.
    pub lag: Option<u64>,
    /// Entries delivered and not acknowledged.
    pub pending: u64,
    /// Unix ms at which the frame of the oldest pending entry was received.
    pub oldest_pending_received_ms: Option<u64>,
    /// Bytes the stream takes, by sampling; `None` where Redis does not say.
    pub memory_bytes: Option<u64>,
    /// The members of the group.
    pub consumers: Vec<ConsumerState>,
}

/// A member of the group as it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerState {
    /// Its name.
    pub name: String,
    /// Entries delivered to it and not acknowledged.
    pub pending: u64,
    /// Ms since it last asked for anything.
    pub idle_ms: u64,
}

pub(super) type Fields = HashMap<String, Value>;

impl Stream {
    /// Looks at `partition`; all zeros where there is no stream.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn look(&self, partition: u16) -> Result<PartitionState, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let Some(group) = self.group(partition).await? else {
            return Ok(PartitionState {
                entries: self.client.xlen(key).await?,
                ..PartitionState::default()
            });
        };
        let consumers = self.client.xinfo_consumers(&key, GROUP);
        let consumers: Vec<Fields> = or_none(answered(consumers).await)?;
        let pending = number(&group, "pending").unwrap_or(0);
        let oldest = if pending > 0 {
            self.oldest_uncommitted(partition).await?
        } else {
            None
        };
        Ok(PartitionState {
            lag: number(&group, "lag"),
            pending,
            oldest_pending_received_ms: oldest.map(|oldest| oldest.received_at_ms),
            memory_bytes: self.memory_of(&key).await?,
            entries: self.client.xlen(key).await?,
            consumers: consumers.iter().filter_map(consumer).collect(),
        })
    }

    /// The id that was given last on `partition`; [`EntryId::ZERO`] where there is no stream.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn last_entry(&self, partition: u16) -> Result<EntryId, StreamError> {
        let key = self.keys(partition)?.events.as_str();
        let stream = self.client.xinfo_stream::<Fields, _>(key, false, None);
        let fields = or_none(answered(stream).await.map(|fields| vec![fields]))?;
        let Some(id) = fields
            .first()
            .and_then(|fields| text(fields, "last-generated-id"))
        else {
            return Ok(EntryId::ZERO);
        };
        id.parse().map_err(|_| StreamError::protocol(id))
    }

    /// What the server says of EVP's group on `partition`, if there is one.
    pub(super) async fn group(&self, partition: u16) -> Result<Option<Fields>, StreamError> {
        let key = self.keys(partition)?.events.as_str();
        let groups = or_none(answered(self.client.xinfo_groups(key)).await)?;
        let is_ours = |group: &Fields| text(group, "name").as_deref() == Some(GROUP);
        Ok(groups.into_iter().find(is_ours))
    }

    async fn memory_of(&self, key: &str) -> Result<Option<u64>, StreamError> {
        let command = CustomCommand::new_static("MEMORY", key, false);
        let asked: Result<Option<u64>, RedisError> =
            self.client.custom(command, vec!["USAGE", key]).await;
        match asked.map_err(StreamError::from) {
            Ok(bytes) => Ok(bytes),
            // Managed servers forbid it.
            Err(StreamError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn consumer(fields: &Fields) -> Option<ConsumerState> {
    Some(ConsumerState {
        name: text(fields, "name")?,
        pending: number(fields, "pending")?,
        idle_ms: number(fields, "idle")?,
    })
}

pub(super) fn text(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_string)
}

fn number(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name).and_then(Value::as_u64)
}

/// Nothing, where there is no stream or no group.
fn or_none(found: Result<Vec<Fields>, StreamError>) -> Result<Vec<Fields>, StreamError> {
    match found {
        Err(StreamError::NoGroup) => Ok(Vec::new()),
        Err(StreamError::Refused { source }) if source.details().starts_with("ERR no such key") => {
            Ok(Vec::new())
        }
        other => other,
    }
}
