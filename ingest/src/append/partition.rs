//! One partition as this instance sees it: the life it knows, the producer it is, the frames it
//! holds, and what is wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use evp_shared::frame::{FRAME_NUMBER_MAX, Frame, FrameId, ProducerId};
use evp_shared::stream::{AppendError, EntryId, Hello, Life, ProducerState, Registration};
use parking_lot::{Mutex, MutexGuard};

use super::greeting::{Fault, Target};
use super::held::{Held, ReplayLimits};
use crate::append::frames::HeldLimits;

/// Producer ids tried in one greeting; of 2^24 few are taken.
const REGISTRATIONS_MAX: usize = 8;

/// What is appended in one call of a replay: about as much as in other calls, which have to be
/// answered within the same deadlines.
const REPLAYED_AT_ONCE: ReplayLimits = ReplayLimits {
    frames: 16,
    bytes: 4 * 1024 * 1024,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) number: u16,
    clock: Clock,
    /// Held by the one who greets; the others wait for what it finds.
    greeting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The life that appends go to: what this instance holds is on its stream.
    life: Life,
    /// The highest life heard of. While it is above `life`, a replay is under way or due, and an
    /// answer to an append counts for nothing.
    heard: Life,
    wants_hello: bool,
    producer: Option<Producer>,
    held: Held,
    replayed: Replayed,
    fault: Option<Arc<Fault>>,
    last_hello: Instant,
    last_answer: Instant,
    /// When the last question was asked that Redis has answered in `life`: what it kept so far is
    /// as safe as its age at that moment makes it.
    lived_at: Instant,
}

/// How far the replay in a life that is not entered yet has come: the first of the held frames
/// have these entries. Those held do not change meanwhile.
#[derive(Debug, Default)]
struct Replayed {
    life: Life,
    entries: Vec<EntryId>,
}

#[derive(Debug)]
struct Producer {
    registration: Registration,
    next_number: u32,
}

impl Partition {
    pub(super) fn new(number: u16, held: HeldLimits, clock: &Clock) -> Self {
        let now = clock.now();
        let state = State {
            life: Life::UNKNOWN,
            heard: Life::UNKNOWN,
            wants_hello: true,
            producer: None,
            held: Held::new(held),
            replayed: Replayed::default(),
            fault: Some(Fault::Starting.into()),
            last_hello: now,
            last_answer: now,
            lived_at: now,
        };
        Self {
            number,
            clock: clock.clone(),
            greeting: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn fault(&self) -> Option<Arc<Fault>> {
        self.state().fault.clone()
    }

    /// Whether hello is due: something went wrong, or nothing was heard for `idle`, or the last
    /// one was `busy` ago.
    pub(crate) fn wants_hello(&self, idle: Duration, busy: Duration) -> bool {
        let now = self.clock.now();
        let state = self.state();
        state.wants_hello || now - state.last_answer >= idle || now - state.last_hello >= busy
    }

    /// Memory has become free.
    pub(crate) fn clear_full(&self) {
        let is_full = |fault: &mut Arc<Fault>| matches!(**fault, Fault::Full);
        drop(self.state().fault.take_if(is_full));
    }

    /// Lets go of frames that were older than the replay window when Redis last showed that it had
    /// them. Not by the time it is: a Redis that is silent may be gone, and what it comes back
    /// without is appended again from here.
    pub(crate) fn let_go(&self) {
        let mut state = self.state();
        // What a replay under way appends again stays as it is.
        if state.heard == state.life {
            let lived_at = state.lived_at;
            state.held.let_go(lived_at);
        }
    }

    /// Whether frames are held that a new life of Redis may lack.
    pub(crate) fn owes_replay(&self) -> bool {
        let state = self.state();
        state.heard != state.life && !state.held.is_empty()
    }

    /// A question was not answered: hello comes before the next append.
    pub(crate) fn doubt(&self) {
        self.state().wants_hello = true;
    }

    /// The life to append in; says hello first where that is due.
    pub(super) async fn greeted(&self, target: &Target) -> Result<Life, Arc<Fault>> {
        if let Some(life) = self.known_life() {
            return Ok(life);
        }
        let _greeting = self.greeting.lock().await;
        match self.known_life() {
            Some(life) => Ok(life),
            None => self.say_hello(target).await,
        }
    }

    /// As [`greeted`](Self::greeted), but says hello in any case.
    pub(super) async fn greet(&self, target: &Target) -> Result<Life, Arc<Fault>> {
        let _greeting = self.greeting.lock().await;
        self.say_hello(target).await
    }

    fn known_life(&self) -> Option<Life> {
        let state = self.state();
        (!state.wants_hello && state.producer.is_some()).then_some(state.life)
    }

    async fn say_hello(&self, target: &Target) -> Result<Life, Arc<Fault>> {
        let result = self.try_hello(target).await.map_err(Arc::new);
        let mut state = self.state();
        state.wants_hello = result.is_err();
        match &result {
            Ok(_) => {
                let now = self.clock.now();
                (state.last_hello, state.last_answer) = (now, now);
                // Hello works at maxmemory too, so it says nothing about memory.
                drop(state.fault.take_if(|fault| !matches!(**fault, Fault::Full)));
            }
            Err(fault) => state.fault = Some(Arc::clone(fault)),
        }
        result
    }

    async fn try_hello(&self, target: &Target) -> Result<Life, Fault> {
        let Target {
            stream, metrics, ..
        } = target;
        let heard = self.state().heard;
        for _ in 0..REGISTRATIONS_MAX {
            let (registration, is_new) = self.registration();
            let asked = self.clock.now();
            let hello = stream
                .hello(self.number, heard, Some(&registration))
                .await?;
            // Before anything that can fail: hello reports a loss once.
            let lost = u64::try_from(hello.lost_events).unwrap_or(0);
            metrics.backlog_lost.increment(lost);
            if hello.producer == ProducerState::Taken {
                self.state().producer = None;
                continue;
            }
            // Kept also when what follows fails, or each probe would register another one.
            if !self.keeps(registration, is_new) {
                continue;
            }
            // After every hello that follows a fault the server may be another one.
            target.check().await?;
            if self.hears(hello.life, asked) {
                self.enter_life(target, &hello).await?;
            }
            return Ok(hello.life);
        }
        Err(Fault::Away("no producer id is free".into()))
    }

    /// Notes the life a hello found; whether it is still to be entered.
    fn hears(&self, life: Life, asked: Instant) -> bool {
        let mut state = self.state();
        state.heard = state.heard.max(life);
        if state.life == life {
            state.lived_at = state.lived_at.max(asked);
        }
        state.life != life
    }

    /// Appends what is held again, before anybody appends anything new, and only then knows the
    /// life. A replay that fails, or is cut by the deadline of who greets, is gone on with by the
    /// next greeting: begun again each time, one that takes longer would never end, and fill Redis.
    async fn enter_life(&self, target: &Target, hello: &Hello) -> Result<(), Fault> {
        let Target {
            stream, metrics, ..
        } = target;
        loop {
            let some = self.still_to_replay(hello.life);
            if some.is_empty() {
                break;
            }
            let appended = stream.append(self.number, hello.life, &some).await;
            let entries = appended.map_err(|error| match error {
                AppendError::Full => Fault::Full,
                error => Fault::Away(error.into()),
            })?;
            self.state().replayed.entries.extend(entries);
        }
        let mut state = self.state();
        let entries = std::mem::take(&mut state.replayed).entries;
        let is_first = state.life == Life::UNKNOWN;
        let lost = match hello.cut_since(state.life) {
            Some(cut) => state.held.enter_life(cut, &entries, self.clock.now()),
            None => 0,
        };
        state.life = hello.life;
        drop(state);
        if is_first {
            // There was nothing to hold, and so nothing to lose.
            tracing::info!(partition = self.number, life = hello.life.0, "redis lives");
            return Ok(());
        }
        metrics.lives.increment(1);
        metrics.replayed.increment(entries.len() as u64);
        metrics.possibly_lost.increment(lost);
        tracing::warn!(
            partition = self.number,
            life = hello.life.0,
            frames_replayed = entries.len(),
            events_possibly_lost = lost,
            "redis lives a new life"
        );
        Ok(())
    }

    /// The frames to append next in `life`, oldest first; none when all were.
    fn still_to_replay(&self, life: Life) -> Vec<Frame> {
        let mut state = self.state();
        if state.replayed.life != life {
            let entries = Vec::new();
            state.replayed = Replayed { life, entries };
        }
        let done = state.replayed.entries.len();
        state.held.frames_after(done, REPLAYED_AT_ONCE)
    }

    /// What to register, and whether it was drawn for this call.
    fn registration(&self) -> (Registration, bool) {
        if let Some(producer) = &self.state().producer {
            return (producer.registration.clone(), false);
        }
        let token = format!("{:032x}", rand::random::<u128>());
        let id = ProducerId::new(self.number, rand::random());
        (Registration { id, token }, true)
    }

    /// Keeps a producer that Redis has registered; `false` when there is none to keep.
    ///
    /// A known one may have been used up while hello was under way. It must not begin anew: the
    /// bits of its numbers are set, so its frames would never be counted.
    fn keeps(&self, registration: Registration, is_new: bool) -> bool {
        let mut state = self.state();
        if is_new {
            state.producer = Some(Producer {
                registration,
                next_number: 0,
            });
        }
        state.producer.is_some()
    }

    /// The next `count` frame ids; `None` when the producer is missing or has not so many left:
    /// then it is given up, and the next greeting registers another one.
    pub(super) fn frame_ids(
        &self,
        second: u32,
        count: usize,
    ) -> Option<impl Iterator<Item = FrameId> + use<>> {
        let mut state = self.state();
        let producer = state.producer.as_mut()?;
        let first = producer.next_number;
        let after = u32::try_from(count)
            .ok()
            .and_then(|count| first.checked_add(count));
        let Some(after) = after.filter(|after| *after <= FRAME_NUMBER_MAX) else {
            state.producer = None;
            return None;
        };
        producer.next_number = after;
        let id = producer.registration.id;
        Some((first..after).map(move |number| FrameId::new(second, id, number)))
    }

    /// Notes frames that were sent to `life` and acknowledged; `false` when a new one has begun
    /// since.
    pub(super) fn acknowledge(
        &self,
        life: Life,
        sent_at: Instant,
        frames: &[Frame],
        entries: &[EntryId],
    ) -> bool {
        let now = self.clock.now();
        let mut state = self.state();
        let is_current = (state.life, state.heard) == (life, life);
        if !is_current || entries.len() != frames.len() {
            return false;
        }
        state.last_answer = now;
        state.lived_at = state.lived_at.max(sent_at);
        let lived_at = state.lived_at;
        for (frame, entry) in frames.iter().zip(entries) {
            state.held.add(frame, *entry, now);
        }
        state.held.let_go(lived_at);
        true
    }

    /// Notes what a failed append says about the partition. After anything but a full memory,
    /// hello comes before the next append: the connection, or the server behind it, may be another.
    pub(super) fn failed(&self, error: &AppendError) {
        let mut state = self.state();
        if matches!(error, AppendError::Full) {
            state.fault = Some(Fault::Full.into());
        } else {
            state.wants_hello = true;
        }
    }

    /// An append had no answer within its deadline.
    pub(crate) fn mark_silent(&self) {
        let mut state = self.state();
        state.wants_hello = true;
        state.fault = Some(Fault::Away("no answer in time".into()).into());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests;
