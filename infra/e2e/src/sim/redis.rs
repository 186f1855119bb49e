//! The model of Redis: the partitions' data, and a log of what changed them, so that it can be
//! rolled back to a prefix.
//!
//! Its scripts are the ones of `evp_shared::stream`, line by line; `tests/sim/conformance.rs`
//! holds them against the real ones.

mod group;
mod op;
mod script;

pub use self::op::{CommitOp, Frame, ReadEntry, RedisAnswer, RedisOp};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use evp_shared::frame::ProducerId;
use evp_shared::stream::EntryId;

use super::defect::Defect;

/// A pending entry: whose, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Whose.
    pub consumer: u32,
    /// Redis' ms of its last delivery.
    pub since_ms: u64,
}

/// The consumer group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Last entry anybody was given.
    pub delivered: EntryId,
    /// Pending entries list.
    pub pending: BTreeMap<EntryId, Pending>,
}

/// A stream.
#[derive(Debug, Clone, Default)]
pub struct StreamData {
    /// Entries.
    pub entries: BTreeMap<EntryId, Rc<Frame>>,
    /// last-generated-id.
    pub last: EntryId,
    /// The group, unless it was destroyed.
    pub group: Option<Group>,
}

/// The keys of one partition.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    /// Life and replication id it was recorded under.
    pub life: Option<(u64, u64)>,
    /// Recorded lives with their cuts, oldest first.
    pub cuts: Vec<(u64, EntryId)>,
    /// The stream.
    pub stream: Option<StreamData>,
    /// Events appended.
    pub appended: i64,
    /// Events acknowledged.
    pub acknowledged: i64,
    /// Events of a backlog that was not there.
    pub lost: i64,
    /// Acknowledged entries still on the stream, with Redis' ms of their acknowledgement.
    pub kept: VecDeque<(EntryId, u64)>,
    /// Settled bits.
    pub bits: BTreeSet<(ProducerId, u32)>,
    /// Counts by minute.
    pub minutes: BTreeMap<u64, i64>,
    /// Counts by type.
    pub counts: BTreeMap<Box<str>, i64>,
    /// Registered producers.
    pub producers: BTreeMap<ProducerId, u64>,
}

impl Partition {
    /// Events appended and not committed, as the totals say.
    pub fn backlog(&self) -> i64 {
        self.appended - self.acknowledged - self.lost
    }

    /// Whether entries are pending under `consumer`.
    pub fn has_pending_of(&self, consumer: u32) -> bool {
        let group = self
            .stream
            .as_ref()
            .and_then(|stream| stream.group.as_ref());
        let mut pending = group.into_iter().flat_map(|group| group.pending.values());
        pending.any(|pending| pending.consumer == consumer)
    }

    /// Entries that are pending or were never delivered.
    pub fn uncommitted(&self) -> usize {
        let Some(stream) = &self.stream else { return 0 };
        let Some(group) = &stream.group else {
            return stream.entries.len();
        };
        let undelivered = stream
            .entries
            .keys()
            .filter(|id| **id > group.delivered)
            .count();
        group.pending.len() + undelivered
    }
}

/// When and under which server an operation ran.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// True ms.
    pub at_ms: u64,
    /// The server's clock.
    pub server_ms: u64,
    /// The server's replication id.
    pub replication: u64,
}

/// One Redis server.
#[derive(Debug, Clone)]
pub struct Redis {
    /// The data, by partition.
    pub partitions: Vec<Partition>,
    /// What ingest is told not to accept.
    pub floor_ms: Option<u64>,
    log: Vec<(Moment, RedisOp)>,
    replication: u64,
    clock_ms: i64,
    defect: Option<Defect>,
    /// Answers writes with READONLY.
    pub is_read_only: bool,
    /// Entries on the streams from which on an append is refused.
    pub entries_max: usize,
}

impl Redis {
    /// An empty server.
    pub fn new(partitions: u16, defect: Option<Defect>) -> Self {
        Self {
            partitions: vec![Partition::default(); usize::from(partitions)],
            floor_ms: None,
            log: Vec::new(),
            replication: 1,
            clock_ms: 0,
            defect,
            is_read_only: false,
            entries_max: usize::MAX,
        }
    }

    /// Writes so far.
    pub fn written(&self) -> usize {
        self.log.len()
    }

    /// Writes so far that were done before true ms `at_ms`.
    pub fn written_before(&self, at_ms: u64) -> usize {
        self.log.partition_point(|(moment, _)| moment.at_ms < at_ms)
    }

    /// Comes back as the prefix of `writes` writes, under a new replication id and with a clock
    /// that is off by `clock_ms`.
    pub fn come_back(&mut self, writes: usize, replication: u64, clock_ms: i64) {
        if writes < self.log.len() {
            let mut log = std::mem::take(&mut self.log);
            log.truncate(writes);
            let none = Partition::default();
            self.partitions.fill(none);
            self.floor_ms = None;
            for (moment, op) in &log {
                self.apply(*moment, op);
            }
            self.log = log;
        }
        self.replication = replication;
        self.clock_ms = clock_ms;
        self.is_read_only = false;
    }

    /// Share of the memory in use is high: no acknowledged entry is to be kept.
    pub fn is_memory_short(&self) -> bool {
        self.entries() * 10 >= self.entries_max.saturating_mul(8)
    }

    /// Runs `op` at true ms `now_ms`.
    pub fn run(&mut self, now_ms: u64, op: &RedisOp) -> RedisAnswer {
        if let RedisOp::Minutes { partition } = op {
            return RedisAnswer::Minutes(self.partitions[usize::from(*partition)].minutes.clone());
        }
        if let RedisOp::Totals { partition } = op {
            let at = &self.partitions[usize::from(*partition)];
            return RedisAnswer::Totals([at.appended, at.acknowledged, at.lost]);
        }
        if matches!(op, RedisOp::Floor) {
            return RedisAnswer::Floor(self.floor_ms);
        }
        if self.is_read_only {
            return RedisAnswer::ReadOnly;
        }
        let moment = Moment {
            at_ms: now_ms,
            server_ms: now_ms.saturating_add_signed(self.clock_ms),
            replication: self.replication,
        };
        if let RedisOp::Oldest { partition, life } = op {
            return self.partitions[usize::from(*partition)].oldest(moment, *life);
        }
        let answer = match op {
            RedisOp::Append {
                partition,
                life,
                frames,
            } if self.entries() >= self.entries_max => {
                self.refused(moment, *partition, *life, frames)
            }
            op => self.apply(moment, op),
        };
        if !matches!(
            answer,
            RedisAnswer::NewLife | RedisAnswer::NoStream | RedisAnswer::NoGroup | RedisAnswer::Full
        ) {
            self.log.push((moment, op.clone()));
        }
        answer
    }

    fn entries(&self) -> usize {
        let streams = self.partitions.iter().flat_map(|one| &one.stream);
        streams.map(|stream| stream.entries.len()).sum()
    }

    /// At maxmemory the life is compared before the first XADD fails.
    fn refused(
        &self,
        moment: Moment,
        partition: u16,
        life: u64,
        _frames: &[Rc<Frame>],
    ) -> RedisAnswer {
        let at = &self.partitions[usize::from(partition)];
        if at.life == Some((life, moment.replication)) {
            RedisAnswer::Full
        } else {
            RedisAnswer::NewLife
        }
    }

    fn apply(&mut self, moment: Moment, op: &RedisOp) -> RedisAnswer {
        let defect = self.defect;
        let at = |partition: u16| usize::from(partition);
        match op {
            RedisOp::Hello {
                partition,
                known,
                producer,
            } => self.partitions[at(*partition)].hello(moment, *known, *producer, defect),
            RedisOp::Append {
                partition,
                life,
                frames,
            } => self.partitions[at(*partition)].append(moment, *life, frames, defect),
            RedisOp::Commit(commit) => {
                self.partitions[at(commit.partition)].commit(moment, commit, defect)
            }
            RedisOp::ReadNew { consumer, count } => self.read_new(moment, *consumer, *count),
            RedisOp::ReadPending {
                partition,
                consumer,
                after,
            } => {
                self.partitions[at(*partition)].read_pending(*partition, moment, *consumer, *after)
            }
            RedisOp::Claim {
                partition,
                consumer,
                idle_ms,
            } => self.partitions[at(*partition)].claim(*partition, moment, *consumer, *idle_ms),
            RedisOp::SetFloor(floor_ms) => {
                self.floor_ms = self.floor_ms.max(Some(*floor_ms));
                RedisAnswer::Floor(self.floor_ms)
            }
            RedisOp::Flush => {
                self.partitions.fill(Partition::default());
                self.floor_ms = None;
                RedisAnswer::Done
            }
            RedisOp::DeleteStream { partition } => {
                self.partitions[at(*partition)].stream = None;
                RedisAnswer::Done
            }
            RedisOp::DestroyGroup { partition } => {
                if let Some(stream) = &mut self.partitions[at(*partition)].stream {
                    stream.group = None;
                }
                RedisAnswer::Done
            }
            RedisOp::Minutes { .. }
            | RedisOp::Totals { .. }
            | RedisOp::Floor
            | RedisOp::Oldest { .. } => RedisAnswer::Done,
        }
    }

    fn read_new(&mut self, moment: Moment, consumer: u32, count: usize) -> RedisAnswer {
        let missing = |one: &Partition| one.stream.as_ref().is_none_or(|at| at.group.is_none());
        if self.partitions.iter().any(missing) {
            return RedisAnswer::NoGroup;
        }
        let mut read = Vec::new();
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            read.extend(partition.read_new(number, moment, consumer, count));
        }
        RedisAnswer::Entries(read)
    }
}
