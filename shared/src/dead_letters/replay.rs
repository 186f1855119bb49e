//! Replay: a dead letter goes onto the stream again, as a frame of its own.
//!
//! The frame's id is written into the letter before the frame is appended, so that a replay that
//! dies midway, or two at once, append the same frame again: it is stored and counted once. The
//! letter is deleted when the frame's receipt exists; refused again, it is a new dead letter.

mod frame;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::Collection;

use self::frame::frame_of;
use super::letter::{Kept, Letter, LetterId};
use super::{DeadLetterError, DeadLetters, Depth, Filter, LIMIT_MAX, PAGE, pace};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::frame::{Frame, FrameId, ProducerId};
use crate::redis::connected;
use crate::store::{DEAD_LETTERS, RECEIPTS, stored_fingerprint};
use crate::stream::{AppendError, Life, ProducerState, Registration, Stream, StreamError};

/// Attempts of one append: with the pauses between them they outlast a fail-over of Redis.
const ATTEMPTS: usize = 12;

/// Attempts to get a producer id that nobody has, out of 16 million.
const REGISTRATIONS: usize = 4;

/// Between two looks for receipts.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Letters named that cannot be replayed; all are counted.
const NAMED_MAX: usize = 100;

/// How to replay.
#[derive(Debug)]
pub struct Replay {
    /// Where the frames go.
    pub stream: Stream,
    /// How long to wait for the connection to it.
    pub connect_timeout: Duration,
    /// Fingerprint of the identity the events were made under.
    pub fingerprint: u32,
    /// The time.
    pub clock: Clock,
    /// Letters per second at most.
    pub per_second: NonZeroU32,
    /// How long to wait for the processor to be done with what was appended.
    pub receipt_wait: Duration,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handled {
    /// Letters deleted: purged, or replayed in a frame that is through.
    pub done: u64,
    /// Frames appended.
    pub appended: u64,
    /// Letters whose frame has no receipt yet; the next replay goes on with them.
    pub waiting: u64,
    /// Letters that cannot be replayed.
    pub impossible: u64,
    /// The first of them, and why.
    pub reasons: Vec<(LetterId, String)>,
}

impl DeadLetters {
    /// Replays those that match `filter`, at most `limit`. Ends early when the processor does not
    /// get through with what was appended.
    pub(super) async fn replay(
        &self,
        filter: &Filter,
        limit: u64,
        replay: &Replay,
    ) -> Result<Handled, DeadLetterError> {
        let stored = stored_fingerprint(&self.database, self.read_limit);
        let stored = self.in_time(stored).await?;
        if stored.is_some_and(|stored| stored != replay.fingerprint) {
            // Frames of another identity would stay pending for ever.
            return Err(DeadLetterError::Identity);
        }
        let there = connected(replay.stream.client(), replay.connect_timeout).await;
        there.map_err(|error| StreamError::Unknown {
            source: Some(error),
        })?;
        let mut run = Run {
            letters: self,
            replay,
            producers: HashMap::new(),
            lives: HashMap::new(),
            taken: 0,
            handled: Handled::default(),
        };
        let rate = replay.per_second;
        let begun = replay.clock.now();
        // What is refused again during this replay is left to the next one.
        let query = filter.clone().until(replay.clock.now_ms() + 1).to_bson();
        let limit = limit.min(LIMIT_MAX);
        let mut next = query.clone();
        while run.taken < limit {
            let page = pace::at_once(rate, PAGE).min(limit - run.taken);
            let found = self
                .read(next, doc! { "_id": 1 }, page, Depth::Kept)
                .await?;
            let Some(last) = found.last() else { break };
            next = doc! { "$and": [&query, { "_id": { "$gt": last.get("_id") } }] };
            if !run.step(found).await? {
                break;
            }
            let elapsed = replay.clock.now() - begun;
            tokio::time::sleep(pace::wait(rate, run.taken, elapsed)).await;
        }
        Ok(run.handled)
    }
}

/// One replay.
struct Run<'a> {
    letters: &'a DeadLetters,
    replay: &'a Replay,
    producers: HashMap<u16, (ProducerId, u32)>,
    lives: HashMap<u16, Life>,
    /// Letters taken up.
    taken: u64,
    handled: Handled,
}

impl Run<'_> {
    /// Replays a page of letters; `false` when the processor does not get through with them.
    async fn step(&mut self, found: Vec<Document>) -> Result<bool, DeadLetterError> {
        let ready = self.prepare(found).await?;
        let frames: Vec<FrameId> = ready.iter().map(|(_, frame)| frame.id).collect();
        let before = self.receipts(&frames).await?;
        let mut by_partition: HashMap<u16, Vec<Frame>> = HashMap::new();
        let new = ready.iter().map(|(_, frame)| frame);
        for frame in new.filter(|frame| !before.contains(&frame.id)) {
            let frames = by_partition.entry(frame.id.producer().partition());
            frames.or_default().push(frame.clone());
        }
        for (partition, frames) in &by_partition {
            self.append(*partition, frames).await?;
            self.handled.appended += frames.len() as u64;
        }
        let through = self.wait_for_receipts(&frames).await?;
        let (done, waiting): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .partition(|(_, frame)| through.contains(&frame.id));
        let done: Vec<Bson> = done.iter().map(|(id, _)| id.to_bson().into()).collect();
        self.handled.done += self.letters.delete(&done).await?;
        self.handled.waiting += waiting.len() as u64;
        Ok(waiting.is_empty())
    }

    /// The letters of a page that can be replayed, each with its frame.
    async fn prepare(
        &mut self,
        found: Vec<Document>,
    ) -> Result<Vec<(LetterId, Frame)>, DeadLetterError> {
        let (mut known, mut fresh) = (Vec::new(), Vec::new());
        for letter in found.iter().filter_map(Letter::parse) {
            let needs_frame =
                matches!(letter.kept, Some(Kept::Event(_))) && letter.replay.is_none();
            match &letter.id {
                // Refused again a moment ago, where the clocks differ.
                LetterId::Event { frame, .. } if self.is_own(*frame) => {}
                _ if needs_frame => fresh.push(letter),
                _ => known.push(letter),
            }
        }
        known.extend(self.give_frames(&fresh).await?);
        self.taken += known.len() as u64;
        let fingerprint = self.replay.fingerprint;
        let partitions = self.replay.stream.partitions();
        let mut ready = Vec::with_capacity(known.len());
        for letter in known {
            match frame_of(&letter, fingerprint, partitions) {
                Ok(frame) => ready.push((letter.id, frame)),
                Err(reason) => {
                    self.handled.impossible += 1;
                    if self.handled.reasons.len() < NAMED_MAX {
                        self.handled.reasons.push((letter.id, reason));
                    }
                }
            }
        }
        Ok(ready)
    }

    fn is_own(&self, frame: FrameId) -> bool {
        let mut own = self.producers.values();
        own.any(|(producer, _)| *producer == frame.producer())
    }

    /// Writes a frame id into each of `letters` that has none, and reads them back: another
    /// replay may have been first.
    async fn give_frames(&mut self, letters: &[Letter]) -> Result<Vec<Letter>, DeadLetterError> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        let second = u32::try_from(self.replay.clock.now_ms() / 1_000).unwrap_or(u32::MAX);
        let mut updates = Vec::with_capacity(letters.len());
        let mut ids: Vec<Bson> = Vec::with_capacity(letters.len());
        for letter in letters {
            let partition = letter.partition % self.replay.stream.partitions().max(1);
            let frame = self.next_frame(partition, second).await?;
            let given = doc! { "f": ObjectId::from_bytes(frame.bytes()), "at": DateTime::now() };
            updates.push(doc! {
                "q": { "_id": letter.id.to_bson(), "replay": { "$exists": false } },
                "u": { "$set": { "replay": given } },
            });
            ids.push(letter.id.to_bson().into());
        }
        let reply = self
            .letters
            .database
            .run_command(doc! {
                "update": DEAD_LETTERS,
                "updates": updates,
                "writeConcern": { "w": "majority", "j": true },
            })
            .await?;
        for fault in ["writeErrors", "writeConcernError"] {
            if let Some(found) = reply.get(fault) {
                return Err(DeadLetterError::NotWritten {
                    found: found.to_string(),
                });
            }
        }
        let given = doc! { "_id": { "$in": ids } };
        let given = self
            .letters
            .read(given, doc! { "_id": 1 }, PAGE, Depth::Kept)
            .await?;
        Ok(given.iter().filter_map(Letter::parse).collect())
    }

    async fn next_frame(
        &mut self,
        partition: u16,
        second: u32,
    ) -> Result<FrameId, DeadLetterError> {
        let (producer, number) = match self.producers.get(&partition) {
            Some(next) => *next,
            None => (self.register(partition).await?, 0),
        };
        self.producers.insert(partition, (producer, number + 1));
        Ok(FrameId::new(second, producer, number))
    }

    async fn register(&mut self, partition: u16) -> Result<ProducerId, DeadLetterError> {
        for _ in 0..REGISTRATIONS {
            let registration = Registration {
                id: ProducerId::new(partition, rand::random()),
                token: format!("{:032x}", rand::random::<u128>()),
            };
            if self.greet(partition, Some(&registration)).await? == ProducerState::Registered {
                return Ok(registration.id);
            }
        }
        Err(DeadLetterError::NoProducer { partition })
    }

    async fn greet(
        &mut self,
        partition: u16,
        registration: Option<&Registration>,
    ) -> Result<ProducerState, DeadLetterError> {
        let known = self.lives.get(&partition).copied().unwrap_or_default();
        let hello = self
            .replay
            .stream
            .hello(partition, known, registration)
            .await?;
        self.lives.insert(partition, hello.life);
        Ok(hello.producer)
    }

    /// Appends until it is acknowledged; once more is harmless.
    async fn append(&mut self, partition: u16, frames: &[Frame]) -> Result<(), DeadLetterError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), 2, Duration::from_secs(5));
        let mut attempt = 1;
        loop {
            let life = self.lives.get(&partition).copied().unwrap_or_default();
            match self.replay.stream.append(partition, life, frames).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => return Err(error.into()),
                Err(AppendError::SayHello) => {
                    self.greet(partition, None).await?;
                }
                Err(_) => tokio::time::sleep(backoff.next_delay()).await,
            }
            attempt += 1;
        }
    }

    /// Which of `frames` have a receipt.
    async fn receipts(&self, frames: &[FrameId]) -> Result<HashSet<FrameId>, DeadLetterError> {
        if frames.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<_> = frames
            .iter()
            .map(|frame| ObjectId::from_bytes(frame.bytes()))
            .collect();
        let receipts: Collection<Document> = self.letters.database.collection(RECEIPTS);
        let found = receipts
            .distinct("_id", doc! { "_id": { "$in": ids } })
            .max_time(self.letters.read_limit);
        let found = self.letters.in_time(found.into_future()).await?;
        let ids = found.iter().filter_map(Bson::as_object_id);
        Ok(ids.map(|id| FrameId::from_bytes(id.bytes())).collect())
    }

    async fn wait_for_receipts(
        &self,
        frames: &[FrameId],
    ) -> Result<HashSet<FrameId>, DeadLetterError> {
        let begun = self.replay.clock.now();
        loop {
            let found = self.receipts(frames).await?;
            let waited = self.replay.clock.now() - begun;
            if frames.iter().all(|frame| found.contains(frame))
                || waited >= self.replay.receipt_wait
            {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
