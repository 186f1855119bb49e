//! From POST to stored, by sampling.
//!
//! The commit script leaves a note of every entry it acknowledges on the list of kept entries:
//! entry id and time in ms. Four times a second up to ten of the newest notes are chosen at random
//! and their entries are read back from the stream, where they stay for a while. Every document in
//! them carries the time its request was due, so that each gives an exact latency, whatever the
//! order in which bulks were stored. Each counts for as many as it was chosen from, so that what is
//! caught up with after a stall weighs as much as there was of it. What is measured ends with the commit: stored, receipted and
//! counted. It costs Redis about 50 commands a second.

use evp_shared::document::TIMESTAMP_OFFSET;
use evp_shared::frame::OpenFrame;
use evp_shared::stream::{EntryId, Stream, StreamError};
use fred::interfaces::ListInterface;
use hdrhistogram::Histogram;

use crate::load::ids::Random;

/// Notes looked at in one go; at 1,000 frames a second a quarter of it is new.
const NOTES: i64 = 1_000;
/// Entries read in one go.
const ENTRIES: usize = 10;
/// Longest latency that is told apart from longer ones, ms.
const LATENCY_MAX_MS: u64 = 600_000;
const PARTITION: u16 = 0;

/// What an event's latency counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The time in its document: when its request was due, or, where the client sent none, when
    /// ingest took it.
    Timestamp,
    /// When ingest took its frame: for loads with duplicates, which carry the time of the original.
    Received,
}

/// Samples latencies.
#[derive(Debug)]
pub struct Sampler {
    stream: Stream,
    since: Since,
    random: Random,
    newest: String,
    /// Latencies in ms.
    pub histogram: Histogram<u64>,
}

struct Note {
    entry: EntryId,
    acknowledged_ms: u64,
}

impl Sampler {
    /// Samples what is acknowledged on `stream` from now on.
    ///
    /// # Errors
    /// Never; the type is that of the histogram's bounds.
    pub fn new(stream: Stream, since: Since) -> anyhow::Result<Self> {
        Ok(Self {
            stream,
            since,
            random: Random::new(1),
            newest: String::new(),
            histogram: Histogram::new_with_bounds(1, LATENCY_MAX_MS, 3)?,
        })
    }

    /// Takes some of what was acknowledged since the last call; `record` says whether it counts.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn sample(&mut self, record: bool) -> Result<(), StreamError> {
        let kept = self.stream.keys(PARTITION)?.kept.clone();
        let notes: Vec<String> = self.stream.client().lrange(kept, -NOTES, -1).await?;
        let seen = notes.iter().rposition(|note| *note == self.newest);
        let fresh = notes
            .get(seen.map_or(0, |seen| seen + 1)..)
            .unwrap_or_default();
        let mut chosen = Vec::new();
        let number = ENTRIES.min(fresh.len());
        if record {
            for _ in 0..number {
                chosen.extend(Note::parse(&fresh[self.random.below(fresh.len())]));
            }
        }
        let weights = weights(fresh.len(), number);
        if let Some(newest) = notes.last() {
            self.newest.clone_from(newest);
        }
        for (note, weight) in chosen.into_iter().zip(weights) {
            self.read(&note, weight).await?;
        }
        Ok(())
    }

    async fn read(&mut self, note: &Note, weight: u64) -> Result<(), StreamError> {
        let entry = self.stream.entry(PARTITION, note.entry).await?;
        // One that has left the kept window meanwhile is no sample.
        let Some(Ok(frame)) = entry.and_then(|entry| entry.frame).map(|raw| raw.open()) else {
            return Ok(());
        };
        for begin_ms in begins(&frame, self.since) {
            let latency_ms = note.acknowledged_ms.saturating_sub(begin_ms);
            self.histogram.saturating_record_n(latency_ms, weight);
        }
        Ok(())
    }
}

/// For how many of `all` entries each of the `chosen` counts.
fn weights(all: usize, chosen: usize) -> impl Iterator<Item = u64> {
    let share = move |index: usize| (all + index).checked_div(chosen).unwrap_or_default();
    (0..chosen).map(move |index| u64::try_from(share(index)).unwrap_or(u64::MAX))
}

fn begins(frame: &OpenFrame, since: Since) -> impl Iterator<Item = u64> {
    frame.iter().filter_map(move |document| match since {
        Since::Received => Some(frame.header.received_at_ms),
        Since::Timestamp => {
            let bytes = document.get(TIMESTAMP_OFFSET..)?.first_chunk::<8>()?;
            u64::try_from(i64::from_le_bytes(*bytes)).ok()
        }
    })
}

impl Note {
    /// # Source
    /// `shared/src/stream/commit.lua`: entry id, bytes, time of the acknowledgement in ms.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let entry = parts.next()?.parse().ok()?;
        let acknowledged_ms = parts.nth(1)?.parse().ok()?;
        Some(Self {
            entry,
            acknowledged_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_chosen_count_for_all() {
        assert_eq!(weights(3, 3).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(weights(11, 4).collect::<Vec<_>>(), [2, 3, 3, 3]);
        assert_eq!(weights(0, 0).count(), 0);
    }

    #[test]
    fn a_note_names_the_entry_and_the_time_of_its_acknowledgement() {
        let note = Note::parse("1763733600123-4 8600 1763733600160").unwrap();
        assert_eq!(note.entry.to_string(), "1763733600123-4");
        assert_eq!(note.acknowledged_ms, 1_763_733_600_160);
        assert!(Note::parse("x 1 2").is_none());
    }
}
