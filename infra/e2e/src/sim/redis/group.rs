//! Reading and claiming as a member of the consumer group.

use evp_shared::stream::EntryId;

use super::{Moment, Partition, Pending, ReadEntry, RedisAnswer};

/// Entries per page and per claim pass.
const PAGE: usize = 100;

impl Partition {
    pub(super) fn read_new(
        &mut self,
        partition: u16,
        moment: Moment,
        consumer: u32,
        count: usize,
    ) -> Vec<ReadEntry> {
        let Some(stream) = &mut self.stream else {
            return Vec::new();
        };
        let Some(group) = &mut stream.group else {
            return Vec::new();
        };
        let news: Vec<EntryId> = stream
            .entries
            .keys()
            .copied()
            .filter(|id| *id > group.delivered)
            .take(count)
            .collect();
        for id in &news {
            group.delivered = *id;
            let since_ms = moment.server_ms;
            group.pending.insert(*id, Pending { consumer, since_ms });
        }
        let entry = |id: EntryId| ReadEntry {
            partition,
            id,
            frame: stream.entries.get(&id).cloned(),
        };
        news.into_iter().map(entry).collect()
    }

    pub(super) fn oldest(&self, moment: Moment, life: u64) -> RedisAnswer {
        if !self.lives(moment, life) {
            return RedisAnswer::NewLife;
        }
        let Some((stream, group)) = self.stream.as_ref().and_then(|stream| {
            let group = stream.group.as_ref()?;
            Some((stream, group))
        }) else {
            return RedisAnswer::NoGroup;
        };
        let pending = group.pending.keys().next();
        let mut waiting = stream.entries.keys().filter(|id| **id > group.delivered);
        let oldest = pending.into_iter().chain(waiting.next()).min();
        RedisAnswer::Oldest(moment.server_ms, oldest.copied())
    }

    pub(super) fn read_pending(
        &mut self,
        partition: u16,
        moment: Moment,
        consumer: u32,
        after: EntryId,
    ) -> RedisAnswer {
        let Some((stream, group)) = self.stream.as_mut().and_then(|stream| {
            let group = stream.group.as_mut()?;
            Some((&stream.entries, group))
        }) else {
            return RedisAnswer::NoGroup;
        };
        let own = group
            .pending
            .iter_mut()
            .filter(|(id, pending)| **id > after && pending.consumer == consumer);
        let read = own.take(PAGE).map(|(id, pending)| {
            pending.since_ms = moment.server_ms;
            ReadEntry {
                partition,
                id: *id,
                frame: stream.get(id).cloned(),
            }
        });
        RedisAnswer::Entries(read.collect())
    }

    pub(super) fn claim(
        &mut self,
        partition: u16,
        moment: Moment,
        consumer: u32,
        idle_ms: u64,
    ) -> RedisAnswer {
        let Some((entries, group)) = self.stream.as_mut().and_then(|stream| {
            let group = stream.group.as_mut()?;
            Some((&stream.entries, group))
        }) else {
            return RedisAnswer::NoGroup;
        };
        let idle = |pending: &Pending| moment.server_ms.saturating_sub(pending.since_ms);
        let due: Vec<EntryId> = group
            .pending
            .iter()
            .filter(|(_, pending)| idle(pending) >= idle_ms)
            .map(|(id, _)| *id)
            .take(PAGE)
            .collect();
        let mut claimed = Vec::new();
        for id in due {
            // A deleted entry leaves the pending list when it is claimed.
            let Some(frame) = entries.get(&id) else {
                group.pending.remove(&id);
                continue;
            };
            let since_ms = moment.server_ms;
            group.pending.insert(id, Pending { consumer, since_ms });
            claimed.push(ReadEntry {
                partition,
                id,
                frame: Some(frame.clone()),
            });
        }
        RedisAnswer::Entries(claimed)
    }
}
