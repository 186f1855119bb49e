//! Sketches of users and sessions: gathered beside the commit, written every second, best effort.
//!
//! Only events that this processor inserted are in them, each once: what a crash redelivers, or
//! another processor inserted, is not looked at again. So a crash loses what was gathered and not
//! written, a second by default (ten for the hours' top users), and never counts twice.
//!
//! Hot path: per event a walk over its first fields and two hashes, outside the lock, and a look
//! into four filters under it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evp_shared::counters::Step;
use evp_shared::document::tags;
use evp_shared::shutdown::Shutdown;
use evp_shared::sketch::{IdFilter, IdHash, TopItems};
use evp_shared::stream::{SketchBucket, SketchUpdate, StreamError};
use tracing::debug;

use crate::context::Context;

const EVERY: Duration = Duration::from_secs(1);

/// The top users of an hour are written in every tenth round: they change little, and each writing
/// is 10 KB.
const HOUR_TOP_ROUNDS: u32 = 10;

/// Ids of one bucket that wait to be written; more come again with their next event.
const IDS_MAX: usize = 65_536;

/// Buckets at hand, about 50 KB each: the minute and hour of each busy tenant, and some for what
/// comes late.
const BUCKETS_MAX: usize = 64;

/// A bucket nobody has looked at for this long is over.
const IDLE: Duration = Duration::from_secs(300);

/// What is gathered and not yet written.
#[derive(Debug)]
pub struct Sketches {
    /// What this processor's own sketches are known by, another one for each of its starts.
    name: String,
    gathered: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    buckets: HashMap<SketchBucket, Bucket>,
    opened: u64,
    rounds: u32,
}

#[derive(Debug)]
struct Bucket {
    /// Tells its top users from those of an earlier bucket of the same time.
    number: u64,
    users: Ids,
    sessions: Ids,
    top: TopItems,
    /// Of a minute: those of this round, which the hour takes over with less work than each event.
    top_new: TopItems,
    is_top_due: bool,
    used: Instant,
}

/// What is noted of one event.
#[derive(Debug, Clone, Copy)]
struct Noted<'d> {
    tenant: &'d str,
    user: Option<Id<'d>>,
    session: Option<Id<'d>>,
}

#[derive(Debug, Clone, Copy)]
struct Id<'d> {
    text: &'d str,
    hash: IdHash,
}

impl<'d> Noted<'d> {
    /// `None` for an event without user and session.
    fn of(document: &'d [u8]) -> Option<Self> {
        let tags = tags(document)?;
        let id = |text: &'d str| Id {
            text,
            hash: IdHash::of(text.as_bytes()),
        };
        let noted = Self {
            tenant: tags.tenant,
            user: tags.user_id.map(id),
            session: tags.session_id.map(id),
        };
        (noted.user.is_some() || noted.session.is_some()).then_some(noted)
    }
}

/// Ids of one kind.
#[derive(Debug, Default)]
struct Ids {
    filter: IdFilter,
    due: Vec<Box<str>>,
}

impl Ids {
    fn note(&mut self, id: Option<Id<'_>>) {
        if let Some(id) = id
            && self.due.len() < IDS_MAX
            && self.filter.lets_pass(id.hash)
        {
            self.due.push(id.text.into());
        }
    }
}

impl Bucket {
    fn new(number: u64, now: Instant) -> Self {
        Self {
            number,
            users: Ids::default(),
            sessions: Ids::default(),
            top: TopItems::default(),
            top_new: TopItems::default(),
            is_top_due: false,
            used: now,
        }
    }

    fn note(&mut self, event: &Noted<'_>, step: Step) {
        self.users.note(event.user);
        self.sessions.note(event.session);
        if let (Step::Minute, Some(user)) = (step, event.user) {
            self.top_new.note(user.text);
        }
    }
}

impl Default for Sketches {
    fn default() -> Self {
        Self {
            name: format!("{:016x}", rand::random::<u64>()),
            gathered: Mutex::default(),
        }
    }
}

impl Sketches {
    /// Notes events that were stored, all received at `received_at_ms`.
    pub fn note<'d>(
        &self,
        received_at_ms: u64,
        documents: impl Iterator<Item = &'d [u8]>,
        now: Instant,
    ) {
        let second = received_at_ms / 1_000;
        let mut rest: Vec<Noted<'_>> = documents.filter_map(Noted::of).collect();
        let mut gathered = self.gathered();
        // Mostly one tenant: its buckets are looked for once and not for each event.
        while let Some(tenant) = rest.first().map(|event| event.tenant) {
            for step in [Step::Minute, Step::Hour] {
                if let Some(bucket) = gathered.bucket(tenant, step, second, now) {
                    let own = rest.iter().filter(|event| event.tenant == tenant);
                    own.for_each(|event| bucket.note(event, step));
                }
            }
            rest.retain(|event| event.tenant != tenant);
        }
    }

    /// What is to be written, as if it were.
    fn take(&self, is_last: bool, now: Instant) -> Vec<(SketchBucket, SketchUpdate)> {
        let mut gathered = self.gathered();
        gathered.rounds = gathered.rounds.wrapping_add(1);
        let writes_hours = is_last || gathered.rounds.is_multiple_of(HOUR_TOP_ROUNDS);
        gathered.pass_to_hours(now);
        let mut updates = Vec::new();
        for (place, bucket) in &mut gathered.buckets {
            let writes_top = bucket.is_top_due && (place.step != Step::Hour || writes_hours);
            let update = SketchUpdate {
                users: std::mem::take(&mut bucket.users.due),
                sessions: std::mem::take(&mut bucket.sessions.due),
                top: writes_top.then(|| {
                    bucket.is_top_due = false;
                    let name = format!("{}:{}", self.name, bucket.number);
                    (name, bucket.top.encode())
                }),
            };
            let is_empty = update.users.is_empty() && update.sessions.is_empty();
            if !is_empty || update.top.is_some() {
                updates.push((place.clone(), update));
            }
        }
        gathered
            .buckets
            .retain(|_, bucket| bucket.is_top_due || now - bucket.used < IDLE);
        updates
    }

    /// What was to be written was not: all is gathered anew, so that ids pass the filters again.
    fn forget(&self) {
        self.gathered().buckets.clear();
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // Best effort: what a panic left half done is no worse than what a crash loses.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    /// The bucket of a second; `None` while too many are at hand.
    fn bucket(
        &mut self,
        tenant: &str,
        step: Step,
        second: u64,
        now: Instant,
    ) -> Option<&mut Bucket> {
        let place = SketchBucket {
            tenant: tenant.into(),
            step,
            number: step.bucket(second),
        };
        if !self.buckets.contains_key(&place) {
            if self.buckets.len() >= BUCKETS_MAX {
                return None;
            }
            self.opened += 1;
            self.buckets
                .insert(place.clone(), Bucket::new(self.opened, now));
        }
        let bucket = self.buckets.get_mut(&place)?;
        bucket.used = now;
        Some(bucket)
    }

    /// Adds the top users of this round to their minutes and hours.
    fn pass_to_hours(&mut self, now: Instant) {
        let mut fresh = Vec::new();
        for (place, bucket) in &mut self.buckets {
            if !bucket.top_new.is_empty() {
                let new = std::mem::take(&mut bucket.top_new);
                bucket.top.merge(&new);
                bucket.is_top_due = true;
                let second = place.number * place.step.seconds();
                fresh.push((place.tenant.clone(), second, new));
            }
        }
        for (tenant, second, new) in fresh {
            if let Some(hour) = self.bucket(&tenant, Step::Hour, second, now) {
                hour.top.merge(&new);
                hour.is_top_due = true;
            }
        }
    }
}

/// Writes what is gathered, for the last time when `is_last`.
pub async fn write(context: &Context, is_last: bool) {
    let updates = context.sketches.take(is_last, context.clock.now());
    if updates.is_empty() {
        return;
    }
    // Memory is for what has to be kept; what was gathered is left out.
    if context.memory_short.load(Ordering::Relaxed) {
        context.metrics.sketches_lost.increment(1);
        return context.sketches.forget();
    }
    if let Err(error) = write_all(context, updates).await {
        debug!(%error, "sketches not written");
        context.metrics.sketches_lost.increment(1);
        context.sketches.forget();
    }
}

async fn write_all(
    context: &Context,
    updates: Vec<(SketchBucket, SketchUpdate)>,
) -> Result<(), StreamError> {
    for (bucket, update) in updates {
        context.stream.add_to_sketches(&bucket, update).await?;
    }
    Ok(())
}

/// Writes every second until the shutdown; what comes after that is written last of all.
///
/// # Errors
/// None: what fails is left out.
pub async fn run(context: Arc<Context>, shutdown: Shutdown) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.triggered() => return Ok(()),
            _ = ticks.tick() => write(&context, false).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::clock::Clock;
    use evp_shared::frame::{ProducerId, RawFrame};
    use evp_shared::testing::events::{TestEvent, frame_of};

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn note(sketches: &Sketches, at_ms: u64, users: &[&str], clock: &Clock) {
        let events: Vec<_> = users
            .iter()
            .map(|user| TestEvent::new("e", "click").of_user(*user))
            .collect();
        let frame = frame_of(ProducerId::new(0, 1), 1, at_ms, &events);
        let frame = RawFrame::from(&frame).open().unwrap();
        sketches.note(at_ms, frame.iter(), clock.now());
    }

    fn users(updates: &[(SketchBucket, SketchUpdate)], step: Step) -> Vec<&str> {
        let of_step = updates.iter().filter(|(place, _)| place.step == step);
        of_step
            .flat_map(|(_, update)| update.users.iter().map(|user| &**user))
            .collect()
    }

    #[test]
    fn an_id_is_written_once_for_each_minute_and_hour() {
        let (clock, sketches) = (Clock::manual(0), Sketches::default());
        note(&sketches, HOUR_MS, &["a", "b", "a"], &clock);
        let updates = sketches.take(false, clock.now());
        assert_eq!(users(&updates, Step::Minute), ["a", "b"]);
        assert_eq!(users(&updates, Step::Hour), ["a", "b"]);
        note(&sketches, HOUR_MS, &["a", "c"], &clock);
        note(&sketches, HOUR_MS + 60_000, &["a"], &clock);
        let updates = sketches.take(false, clock.now());
        let mut minutes = users(&updates, Step::Minute);
        minutes.sort_unstable();
        assert_eq!(minutes, ["a", "c"]);
        assert_eq!(users(&updates, Step::Hour), ["c"]);
    }

    #[test]
    fn the_top_of_an_hour_is_that_of_its_minutes() {
        let (clock, sketches) = (Clock::manual(0), Sketches::default());
        for minute in 0..3 {
            note(
                &sketches,
                HOUR_MS + minute * 60_000,
                &["a", "b", "a"],
                &clock,
            );
            drop(sketches.take(false, clock.now()));
        }
        note(&sketches, HOUR_MS, &["b"], &clock);
        let updates = sketches.take(true, clock.now());
        let hour = updates.iter().find(|(place, _)| place.step == Step::Hour);
        let (_, bytes) = hour.unwrap().1.top.clone().unwrap();
        let top = TopItems::decode(&bytes).unwrap().top(5);
        let top: Vec<_> = top.iter().map(|item| (&*item.item, item.count)).collect();
        assert_eq!(top, [("a", 6), ("b", 4)]);
    }

    #[test]
    fn buckets_are_bounded_and_end() {
        let (clock, sketches) = (Clock::manual(0), Sketches::default());
        for minute in 0..200 {
            note(&sketches, minute * 60_000, &["a"], &clock);
        }
        assert_eq!(sketches.gathered().buckets.len(), BUCKETS_MAX);
        drop(sketches.take(true, clock.now()));
        clock.advance(IDLE);
        drop(sketches.take(true, clock.now()));
        assert!(sketches.gathered().buckets.is_empty());
        note(&sketches, 0, &["a"], &clock);
        let updates = sketches.take(true, clock.now());
        let (name, _) = updates[0].1.top.clone().unwrap();
        note(&sketches, 0, &["b"], &clock);
        assert!(name.starts_with(&sketches.name), "{name}");
    }

    #[test]
    fn what_was_not_written_comes_again() {
        let (clock, sketches) = (Clock::manual(0), Sketches::default());
        note(&sketches, 0, &["a"], &clock);
        drop(sketches.take(false, clock.now()));
        sketches.forget();
        note(&sketches, 0, &["a"], &clock);
        let updates = sketches.take(false, clock.now());
        assert_eq!(users(&updates, Step::Minute), ["a"]);
    }
}
