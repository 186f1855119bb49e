//! The oldest entry that is not committed: what delay is measured by, and up to when everything
//! accepted is stored.

use fred::interfaces::StreamsInterface;
use fred::prelude::Value;

use super::{Entry, EntryId, Stream, StreamError, answered, entry, look};

/// The oldest entry of a partition that is not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uncommitted {
    /// Its id.
    pub id: EntryId,
    /// When its frame was received, in Unix ms by the clock of its ingest; the ms of `id` where
    /// the entry does not tell (it is poison, or was deleted while pending).
    pub received_at_ms: u64,
}

impl Stream {
    /// The oldest entry of `partition` that is pending or was never delivered; `None` when
    /// everything on the stream is committed, or there is no stream.
    ///
    /// A frame is received before it is appended, and accepted after that. So whatever was
    /// accepted before the answer's `received_at_ms` was appended before this entry, and is
    /// committed. Asked while a processor works, the answer may be an entry that has been
    /// committed meanwhile, never one that is younger than the oldest uncommitted.
    ///
    /// # Errors
    /// [`StreamError`].
    ///
    /// # Ordering
    /// The group's position is read before the pending entries: an entry that is delivered in
    /// between is then found in either place, where the other order would miss it.
    pub async fn oldest_uncommitted(
        &self,
        partition: u16,
    ) -> Result<Option<Uncommitted>, StreamError> {
        let delivered = self.last_delivered(partition).await?;
        let undelivered = self.first_after(partition, delivered).await?;
        let oldest = match self.pending(partition).await {
            Err(StreamError::NoGroup) => None,
            pending => pending?.oldest,
        };
        if let Some(oldest) = oldest {
            let pending = self.entry(partition, oldest).await?;
            return Ok(Some(describe(oldest, pending.as_ref())));
        }
        Ok(undelivered.map(|entry| describe(entry.id, Some(&entry))))
    }

    /// The group's position; [`EntryId::ZERO`] without a group.
    async fn last_delivered(&self, partition: u16) -> Result<EntryId, StreamError> {
        let Some(group) = self.group(partition).await? else {
            return Ok(EntryId::ZERO);
        };
        let id = look::text(&group, "last-delivered-id").unwrap_or_default();
        id.parse().map_err(|_| StreamError::protocol(id))
    }

    async fn first_after(&self, partition: u16, id: EntryId) -> Result<Option<Entry>, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let after = format!("({id}");
        let reply: Value = answered(self.client.xrange(key, after, "+", Some(1))).await?;
        Ok(entry::parse_all(partition, reply)?.pop())
    }
}

fn describe(id: EntryId, entry: Option<&Entry>) -> Uncommitted {
    let frame = entry.and_then(|entry| entry.frame.as_ref());
    let header = frame.and_then(|frame| frame.header().ok());
    Uncommitted {
        id,
        received_at_ms: header.map_or(id.ms, |header| header.received_at_ms),
    }
}
