//! What the members of the group do about their membership: keep what they still work on, and
//! take out those that are gone.

use std::time::Duration;

use fred::interfaces::StreamsInterface;
use fred::prelude::Value;
use fred::types::streams::{XID, XPendingArgs};

use super::{EntryId, SWEEP, Stream, StreamError, answered, ms, reply};
use crate::keys::GROUP;

impl Stream {
    /// Entries of `partition` above `after` that have been pending under `consumer` for at least
    /// `idle`, at most `count`, lowest first.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn pending_longer(
        &self,
        partition: u16,
        (consumer, idle): (&str, Duration),
        after: EntryId,
        count: u64,
    ) -> Result<Vec<EntryId>, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let asked = XPendingArgs {
            idle: Some(ms(idle)),
            start: Some(XID::Manual(format!("({after}").into())),
            end: Some(XID::Manual("+".into())),
            count: Some(count),
            consumer: Some(consumer.into()),
        };
        let reply: Value = answered(self.client.xpending(key, GROUP, asked)).await?;
        reply::array(reply)?
            .into_iter()
            .map(|entry| reply::parse(&mut reply::array(entry)?.into_iter()))
            .collect()
    }

    /// Makes `entries` as young under `consumer` as if they were delivered now, so that nobody
    /// claims them. Those that are younger than `idle`, because another has claimed them since,
    /// stay where they are. Returns how many were refreshed.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn refresh(
        &self,
        partition: u16,
        (consumer, idle): (&str, Duration),
        entries: &[EntryId],
    ) -> Result<usize, StreamError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let key = self.keys(partition)?.events.clone();
        let ids: Vec<XID> = entries
            .iter()
            .map(|id| XID::Manual(id.to_string().into()))
            .collect();
        // Only the ids come back, and the delivery count stays.
        let claim = self.client.xclaim(
            key,
            GROUP,
            consumer,
            ms(idle),
            ids,
            None,
            None,
            None,
            false,
            true,
        );
        let reply: Value = answered(claim).await?;
        Ok(reply::array(reply)?.len())
    }

    /// Takes the consumers out of the group of `partition` that have nothing pending and gave no
    /// sign for at least `idle`, and gives a sign of `own`. Returns the names of those taken out.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    ///
    /// # Source
    /// To Redis 7.0 a consumer that waits for entries gives no sign (measured on 7.0.15: its idle
    /// time grows over reads that find nothing), so each has to give one by itself.
    pub async fn sweep(
        &self,
        partition: u16,
        own: &str,
        idle: Duration,
    ) -> Result<Vec<String>, StreamError> {
        let key = self.keys(partition)?.events.clone();
        let args = vec![GROUP.into(), own.into(), ms(idle).to_string().into()];
        let reply = self.run(&SWEEP, vec![key], args).await?;
        let names = reply.into_iter().filter_map(|name| name.into_string());
        Ok(names.collect())
    }
}
