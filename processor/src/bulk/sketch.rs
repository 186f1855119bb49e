//! Sketches of users and sessions: gathered beside the commit, written every second, best effort.
//!
//! Only events that this processor inserted are in them, each once: what a crash redelivers, or
//! another processor inserted, is not looked at again. So a crash loses what was gathered and not
//! written, a second by default (ten for the hours' top users), and never counts twice.
//!
//! Hot path: per event a walk over its first fields and two hashes, outside the lock, and a look
//! into four filters under it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evp_shared::canary;
use evp_shared::counters::Step;
use evp_shared::document::tags;
use evp_shared::sketch::{IdFilter, IdHash, TopItems};
use evp_shared::stream::{SketchBucket, SketchUpdate};
use parking_lot::{Mutex, RwLock};

/// The top users of an hour are written in every tenth round: they change little, and each writing
/// is 10 KB.
const HOUR_TOP_ROUNDS: u32 = 10;

/// Ids of one bucket that wait to be written; more come again with their next event.
const IDS_MAX: usize = 65_536;

/// Buckets at hand, about 50 KB each: the minute and hour of each of 32 tenants. What comes late takes
/// the place of minutes that are over. Beyond them the one that was used longest ago is closed.
const BUCKETS_MAX: usize = 64;

/// Bytes that closed buckets may hold until they are written, as a backlog of days closes hundreds
/// in a second. Beyond them what one holds is lost, and said to be.
const CLOSED_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// Buckets that are known to lack something, until that is written.
const LACKING_MAX: usize = 4_096;

/// A bucket nobody has looked at for this long is over.
const IDLE: Duration = Duration::from_secs(300);

/// What is gathered and not yet written.
#[derive(Debug)]
pub struct Sketches {
    gathered: Mutex<Gathered>,
    /// Of which tenants; of all as long as nothing was said.
    of: RwLock<Option<Arc<HashSet<Box<str>>>>>,
}

#[derive(Debug, Default)]
struct Gathered {
    /// What this processor's own sketches are known by, another one for each of its starts.
    name: String,
    buckets: HashMap<SketchBucket, Bucket>,
    closed: Vec<(SketchBucket, SketchUpdate)>,
    closed_bytes: usize,
    /// What they lack can not be made good, so it is written that they do.
    lacking: HashSet<SketchBucket>,
    /// How often something was lost since the last round.
    lost: u64,
    uses: u64,
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
    /// Higher than that of all buckets that were used before.
    used_last: u64,
}

/// What is noted of one event.
#[derive(Debug, Clone, Copy)]
struct Noted<'d> {
    tenant: &'d str,
    user: Option<Id<'d>>,
    session: Option<Id<'d>>,
}

/// An id and its hash.
type Id<'d> = (&'d str, IdHash);

impl<'d> Noted<'d> {
    /// Of an event whose tenant `is_wanted`.
    fn of(document: &'d [u8], is_wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let is_asked_for = |tenant: &str| tenant != canary::TENANT && is_wanted(tenant);
        let tags = tags(document).filter(|tags| is_asked_for(tags.tenant))?;
        let id = |text: &'d str| (text, IdHash::of(text.as_bytes()));
        Some(Self {
            tenant: tags.tenant,
            user: tags.user_id.map(id),
            session: tags.session_id.map(id),
        })
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
        if let Some((text, hash)) = id
            && self.due.len() < IDS_MAX
            && self.filter.lets_pass(hash)
        {
            self.due.push(text.into());
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
            // Without a user, too: who reads it has to tell none from not known.
            is_top_due: true,
            used: now,
            used_last: number,
        }
    }

    fn note(&mut self, event: &Noted<'_>, step: Step) {
        self.users.note(event.user);
        self.sessions.note(event.session);
        if let (Step::Minute, Some((user, _))) = (step, event.user) {
            self.top_new.note(user);
        }
    }

    /// Adds the top users of this round to its own, and gives them on to the hour.
    fn pass_on(&mut self) -> TopItems {
        let new = std::mem::take(&mut self.top_new);
        self.take_over(&new);
        new
    }

    fn take_over(&mut self, new: &TopItems) {
        self.top.merge(new);
        self.is_top_due = true;
    }

    /// Whether an id may have been held back.
    fn is_full(&self) -> bool {
        [&self.users, &self.sessions]
            .iter()
            .any(|ids| ids.due.len() == IDS_MAX)
    }

    /// What is to be written of it, as if it were.
    fn update(&mut self, name: &str, writes_top: bool) -> SketchUpdate {
        SketchUpdate {
            users: std::mem::take(&mut self.users.due),
            sessions: std::mem::take(&mut self.sessions.due),
            top: (self.is_top_due && writes_top).then(|| {
                self.is_top_due = false;
                (format!("{name}:{}", self.number), self.top.encode())
            }),
        }
    }
}

fn bytes_of(update: &SketchUpdate) -> usize {
    let ids = update.users.iter().chain(&update.sessions);
    let top = update.top.as_ref().map_or(0, |(_, sketch)| sketch.len());
    ids.map(|id| id.len() + 16).sum::<usize>() + top
}

impl Default for Sketches {
    fn default() -> Self {
        let gathered = Gathered {
            name: format!("{:016x}", rand::random::<u64>()),
            ..Gathered::default()
        };
        Self {
            gathered: Mutex::new(gathered),
            of: RwLock::default(),
        }
    }
}

/// The hour that the minute or hour at `place` lies in.
fn hour_of(place: &SketchBucket) -> SketchBucket {
    SketchBucket {
        step: Step::Hour,
        number: Step::Hour.bucket(place.number * place.step.seconds()),
        ..place.clone()
    }
}

impl Sketches {
    /// Gathers of these tenants from now on, and of no others.
    pub fn gather_of<'t>(&self, tenants: impl Iterator<Item = &'t str>) {
        *self.of.write() = Some(Arc::new(tenants.map(Into::into).collect()));
    }

    /// Notes events that were stored, all received at `received_at_ms`.
    pub fn note<'d>(
        &self,
        received_at_ms: u64,
        documents: impl Iterator<Item = &'d [u8]>,
        now: Instant,
    ) {
        let second = received_at_ms / 1_000;
        let of = self.of.read().clone();
        let is_wanted = |tenant: &str| of.as_ref().is_none_or(|of| of.contains(tenant));
        let noted = documents.filter_map(|document| Noted::of(document, is_wanted));
        let mut rest: Vec<Noted<'_>> = noted.collect();
        let mut gathered = self.gathered.lock();
        // Mostly one tenant: its buckets are looked for once and not for each event.
        while let Some(tenant) = rest.first().map(|event| event.tenant) {
            for step in [Step::Minute, Step::Hour] {
                let place = SketchBucket {
                    tenant: tenant.into(),
                    step,
                    number: step.bucket(second),
                };
                let bucket = gathered.bucket(place, now);
                let own = rest.iter().filter(|event| event.tenant == tenant);
                own.for_each(|event| bucket.note(event, step));
            }
            rest.retain(|event| event.tenant != tenant);
        }
    }

    /// What is to be written, as if it were, and how often something was lost before.
    pub fn take(&self, is_last: bool, now: Instant) -> (Vec<(SketchBucket, SketchUpdate)>, u64) {
        let mut gathered = self.gathered.lock();
        let gathered = &mut *gathered;
        gathered.rounds = gathered.rounds.wrapping_add(1);
        let writes_hours = is_last || gathered.rounds.is_multiple_of(HOUR_TOP_ROUNDS);
        gathered.pass_to_hours(now);
        let mut updates = std::mem::take(&mut gathered.closed);
        gathered.closed_bytes = 0;
        for (place, bucket) in &mut gathered.buckets {
            if bucket.is_full() {
                gathered.lost += 1;
                gathered.lacking.insert(place.clone());
            }
            let update = bucket.update(&gathered.name, place.step != Step::Hour || writes_hours);
            let is_empty = update.users.is_empty() && update.sessions.is_empty();
            if !is_empty || update.top.is_some() {
                updates.push((place.clone(), update));
            }
        }
        let lacking = gathered.lacking.drain();
        updates.extend(lacking.map(|place| (place, SketchUpdate::lacking())));
        let buckets = &mut gathered.buckets;
        buckets.retain(|_, bucket| bucket.is_top_due || now - bucket.used < IDLE);
        (updates, std::mem::take(&mut gathered.lost))
    }

    /// What was written of top users stays as it is, and is another's to change: further ones go
    /// into sketches beside it. What was not written is left out, mostly ten seconds of an hour;
    /// returns of how many minutes and hours, which [`Self::take`] tells as well.
    ///
    /// They are not said to be lacking: a whole hour would then have no top users, of all tenants.
    pub fn begin_top_anew(&self) -> u64 {
        let mut gathered = self.gathered.lock();
        let gathered = &mut *gathered;
        let mut left_out = 0;
        for bucket in gathered.buckets.values_mut() {
            gathered.uses += 1;
            bucket.number = gathered.uses;
            let is_held = !bucket.top_new.is_empty() || bucket.is_top_due && !bucket.top.is_empty();
            left_out += u64::from(is_held);
            (bucket.top, bucket.top_new) = (TopItems::default(), TopItems::default());
        }
        for (_, update) in &mut gathered.closed {
            if let Some((_, top)) = update.top.take() {
                gathered.closed_bytes = gathered.closed_bytes.saturating_sub(top.len());
                left_out += 1;
            }
        }
        gathered.lost += left_out;
        left_out
    }

    /// What was to be written to `places` was not: all is gathered anew, so that ids pass the
    /// filters again, and what is lost all the same is written down.
    pub fn forget(&self, places: Vec<SketchBucket>) {
        let mut gathered = self.gathered.lock();
        gathered.buckets.clear();
        places.into_iter().for_each(|place| gathered.lose(place));
    }
}

impl Gathered {
    /// The bucket at `place`; closes others while too many are at hand.
    fn bucket(&mut self, place: SketchBucket, now: Instant) -> &mut Bucket {
        while self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&place) {
            self.close_one(now);
        }
        self.uses += 1;
        let uses = self.uses;
        let bucket = self.buckets.entry(place);
        let bucket = bucket.or_insert_with(|| Bucket::new(uses, now));
        (bucket.used, bucket.used_last) = (now, uses);
        bucket
    }

    /// Closes the bucket that was used longest ago. One that comes again is opened anew: its ids
    /// change nothing a second time, and its top users are a sketch beside the first.
    fn close_one(&mut self, now: Instant) {
        let oldest = self.buckets.iter().min_by_key(|(_, one)| one.used_last);
        let oldest = oldest.map(|(place, _)| place.clone());
        let Some((place, mut bucket)) = oldest.and_then(|place| self.buckets.remove_entry(&place))
        else {
            return;
        };
        if !bucket.top_new.is_empty() {
            let new = bucket.pass_on();
            self.bucket(hour_of(&place), now).take_over(&new);
        }
        if bucket.is_full() {
            self.lose(place.clone());
        }
        let update = bucket.update(&self.name, true);
        self.closed_bytes += bytes_of(&update);
        if self.closed_bytes > CLOSED_BYTES_MAX {
            self.closed_bytes -= bytes_of(&update);
            return self.lose(place);
        }
        self.closed.push((place, update));
    }

    fn lose(&mut self, place: SketchBucket) {
        self.lost += 1;
        if self.lacking.len() < LACKING_MAX {
            self.lacking.insert(place);
        }
    }

    /// Adds the top users of this round to their minutes and hours.
    fn pass_to_hours(&mut self, now: Instant) {
        let due = self.buckets.iter_mut();
        let due = due.filter(|(_, bucket)| !bucket.top_new.is_empty());
        let due = due.map(|(place, bucket)| (hour_of(place), bucket.pass_on()));
        for (hour, new) in due.collect::<Vec<_>>() {
            self.bucket(hour, now).take_over(&new);
        }
    }
}

#[cfg(test)]
mod tests;
