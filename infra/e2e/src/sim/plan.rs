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
    /// The validator is switched on or off.
    pub validator: u64,
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
    /// Servers' and parties' clocks are off by up to this many ms.
    pub skew_ms: u64,
    /// What goes wrong.
    pub mix: Mix,
    /// Steps for which it does.
    pub steps: usize,
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
        skew_ms: 0,
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
            validator: 0,
        },
        steps: 0,
    };

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
            validator: rate(8),
        };
        if promise != Promise::Nothing {
            mix.hand = 0;
        }
        if !rng.permille(250) {
            mix.validator = 0;
        }
        Self {
            promise,
            partitions: 1 + u16::from(rng.permille(400)),
            ingests: 1 + rng.index(2),
            processors: 1 + rng.index(3),
            events_max: 20 + rng.below(100),
            entries_max: if rng.permille(200) { 14 } else { usize::MAX },
            has_validator: rng.permille(500),
            skew_ms: if rng.permille(500) { 3_000 } else { 0 },
            mix,
            steps: 300 + rng.index(700),
        }
    }
}
