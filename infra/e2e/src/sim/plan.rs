//! What a seed is about: how many parties, what Redis promises, and how often what goes wrong.

use super::rng::Rng;

/// What Redis keeps of what it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// All of it.
    Fsync,
    /// It may forget the last two seconds; ingest holds the last five.
    Window,
    /// It may forget any tail, or everything; ingest holds nothing.
    Nothing,
}

/// How often what goes wrong, in thousandths of the scheduler's steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mix {
    /// Something on the network is lost.
    pub lose: u64,
    /// What is sent arrives seconds late, in thousandths of everything sent.
    pub delay: u64,
    /// A request is done twice.
    pub repeat: u64,
    /// A party dies, and another takes its place.
    pub crash: u64,
    /// A party stands still.
    pub pause: u64,
    /// Redis restarts, or is replaced.
    pub redis: u64,
    /// Redis answers READONLY for a while.
    pub read_only: u64,
    /// Somebody deletes keys.
    pub hand: u64,
    /// MongoDB loses its majority, steps down, or answers from a deposed primary.
    pub mongo: u64,
    /// MongoDB is killed and starts again.
    pub mongo_killed: u64,
    /// Everything stands still for seconds, time does not.
    pub leap: u64,
    /// The validator is switched on or off.
    pub validator: u64,
}

/// How long spans are, and what waits for what: all waits of storage, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// A span's length.
    pub unit_ms: u64,
    /// Spans that ended so long ago are dropped.
    pub keep_ms: Option<u64>,
    /// The floor stands for so long before `gone` follows.
    pub hold_ms: u64,
    /// A span that ended so long ago is sealed.
    pub quiet_ms: u64,
    /// An index of a collection with documents is built for so long.
    pub build_ms: u64,
    /// The lease of who keeps house.
    pub lease_ms: u64,
}

impl Waits {
    /// Those of `seed`, or none: then all events are undated, and nothing ends.
    fn of(seed: u64) -> Option<Self> {
        // Numbers of their own, so that the rest of a plan is what it was before there were spans.
        let mut rng = Rng::new(seed.rotate_left(32) ^ 0x5bd1_e995);
        if rng.permille(550) {
            return None;
        }
        let unit_ms = 1_000 * (3 + rng.below(6));
        let keep_ms = 2 * unit_ms + rng.below(unit_ms);
        Some(Self {
            unit_ms,
            keep_ms: rng.permille(850).then_some(keep_ms),
            hold_ms: 1_000 + rng.below(7_000),
            quiet_ms: rng.below(unit_ms),
            build_ms: 500 + rng.below(14_000),
            lease_ms: 4_000 + rng.below(8_000),
        })
    }

    /// Ms within which what there is now ends: entries of sleepers are claimed, the floor rises,
    /// it stands, and what is below is dropped.
    pub fn night_ms(&self) -> u64 {
        30_000 + self.keep_ms.unwrap_or(0) + self.unit_ms + 2 * self.hold_ms
    }
}

/// What one simulation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What Redis promises.
    pub promise: Promise,
    /// Partitions.
    pub partitions: u16,
    /// Ingest instances.
    pub ingests: usize,
    /// Processors.
    pub processors: usize,
    /// Events after which clients send no more.
    pub events_max: u64,
    /// Entries on the streams at which memory is full.
    pub entries_max: usize,
    /// MongoDB refuses events of the type `bad`.
    pub has_validator: bool,
    /// MongoDB is a server of its own.
    pub is_standalone: bool,
    /// Servers' and parties' clocks are off by up to this many ms.
    pub skew_ms: u64,
    /// Spans, where there are any but the undated one.
    pub waits: Option<Waits>,
    /// What goes wrong.
    pub mix: Mix,
    /// Steps for which it does.
    pub steps: usize,
    /// Steps for which it does again, after a night in which what was awake has its peace.
    pub steps_after_night: usize,
}

impl Plan {
    /// Nothing goes wrong by itself: for scripted histories.
    pub const QUIET: Self = Self {
        promise: Promise::Fsync,
        partitions: 1,
        ingests: 1,
        processors: 1,
        events_max: 0,
        entries_max: usize::MAX,
        has_validator: true,
        is_standalone: false,
        skew_ms: 0,
        waits: None,
        mix: Mix {
            lose: 0,
            delay: 0,
            repeat: 0,
            crash: 0,
            pause: 0,
            redis: 0,
            read_only: 0,
            hand: 0,
            mongo: 0,
            mongo_killed: 0,
            leap: 0,
            validator: 0,
        },
        steps: 0,
        steps_after_night: 0,
    };

    fn is_standalone(seed: u64) -> bool {
        // A number of its own, so that the rest of a plan is what it was before.
        Rng::new(seed.rotate_left(16) ^ 0x2545_f491).permille(400)
    }

    /// The plan of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(!seed);
        let promise = match rng.below(4) {
            0 | 1 => Promise::Fsync,
            2 => Promise::Window,
            _ => Promise::Nothing,
        };
        let mut rate = |most: u64| {
            if rng.permille(400) {
                0
            } else {
                rng.below(most)
            }
        };
        let mut mix = Mix {
            lose: rate(60),
            delay: rate(250),
            repeat: rate(30),
            crash: rate(10),
            pause: rate(6),
            redis: rate(25),
            read_only: rate(4),
            hand: rate(10),
            mongo: rate(20),
            mongo_killed: 0,
            leap: 0,
            validator: rate(16),
        };
        if promise != Promise::Nothing {
            mix.hand = 0;
        }
        if !rng.permille(250) {
            mix.validator = 0;
        }
        let waits = Waits::of(seed);
        if waits.is_some() {
            (mix.mongo_killed, mix.leap) = (mix.mongo / 2, mix.lose % 4);
        }
        Self {
            promise,
            waits,
            partitions: 1 + u16::from(rng.permille(400)),
            ingests: 1 + rng.index(2),
            processors: 1 + rng.index(3),
            events_max: 20 + rng.below(100),
            entries_max: if rng.permille(200) { 14 } else { usize::MAX },
            has_validator: rng.permille(500),
            is_standalone: Self::is_standalone(seed),
            skew_ms: if rng.permille(500) { 3_000 } else { 0 },
            mix,
            steps: 300 + rng.index(700),
            steps_after_night: if waits.is_some() { 250 } else { 0 },
        }
    }
}
