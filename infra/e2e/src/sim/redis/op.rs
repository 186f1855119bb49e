//! What can be asked of Redis, and what it answers.

use std::collections::BTreeMap;
use std::rc::Rc;

use evp_processor::written::EventFacts;
use evp_shared::frame::{FrameId, ProducerId};
use evp_shared::stream::{Committed, EntryAck, EntryId, Hello, Settle};

/// A frame: its identity and what identifies its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Identity.
    pub id: FrameId,
    /// Its events.
    pub events: Vec<EventFacts>,
    /// True ms at which its ingest asked for the floor its events were compared with.
    pub floor_at_ms: u64,
}

impl Frame {
    /// Events in it.
    pub fn len(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap_or(i64::MAX)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// One entry as it was read; without a frame when it was deleted while pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEntry {
    /// Which partition's.
    pub partition: u16,
    /// Its id.
    pub id: EntryId,
    /// What it holds.
    pub frame: Option<Rc<Frame>>,
}

/// A commit as the script takes it.
#[derive(Debug, Clone, Default)]
pub struct CommitOp {
    /// Which partition.
    pub partition: u16,
    /// The life the caller knew before it read the entries.
    pub life: u64,
    /// Entries to acknowledge.
    pub acks: Vec<EntryAck>,
    /// Frames to settle.
    pub settles: Vec<Settle>,
    /// Ms for which acknowledged entries are kept.
    pub kept_ms: u64,
    /// Memory is short: none are kept.
    pub kept_none: bool,
    /// Only settled bits, no counts: what `Defect::BitInAnotherStep` does second.
    pub bits_only: bool,
}

/// What can be asked of Redis.
#[derive(Debug, Clone)]
pub enum RedisOp {
    /// hello.lua.
    Hello {
        /// Which partition.
        partition: u16,
        /// Highest life the caller knows.
        known: u64,
        /// Producer to register, and its token.
        producer: Option<(ProducerId, u64)>,
    },
    /// append.lua.
    Append {
        /// Which partition.
        partition: u16,
        /// The life the caller knows.
        life: u64,
        /// What to append.
        frames: Vec<Rc<Frame>>,
    },
    /// XREADGROUP `>`, over all partitions.
    ReadNew {
        /// Who reads.
        consumer: u32,
        /// Entries per partition at most.
        count: usize,
    },
    /// XREADGROUP from an id on.
    ReadPending {
        /// Which partition.
        partition: u16,
        /// Who reads.
        consumer: u32,
        /// Ids above it.
        after: EntryId,
    },
    /// One whole pass of XAUTOCLAIM.
    Claim {
        /// Which partition.
        partition: u16,
        /// Who claims.
        consumer: u32,
        /// Pending for so many ms.
        idle_ms: u64,
    },
    /// commit.lua.
    Commit(CommitOp),
    /// Minute buckets, summed over their fields.
    Minutes {
        /// Which partition.
        partition: u16,
    },
    /// Totals: events appended, acknowledged, lost.
    Totals {
        /// Which partition.
        partition: u16,
    },
    /// Writes the floor, unless a higher one is there.
    SetFloor(u64),
    /// Reads the floor.
    Floor,
    /// The oldest entry that is not acknowledged.
    Oldest {
        /// Which partition.
        partition: u16,
        /// The life the caller knows.
        life: u64,
    },
    /// FLUSHALL.
    Flush,
    /// DEL of the stream.
    DeleteStream {
        /// Which partition.
        partition: u16,
    },
    /// XGROUP DESTROY.
    DestroyGroup {
        /// Which partition.
        partition: u16,
    },
}

/// What Redis answers.
#[derive(Debug, Clone)]
pub enum RedisAnswer {
    /// To hello.
    Hello(Hello),
    /// To append.
    Appended(Vec<EntryId>),
    /// Another life than the caller knows; nothing was written.
    NewLife,
    /// No stream; nothing was written.
    NoStream,
    /// NOGROUP.
    NoGroup,
    /// OOM; nothing was written.
    Full,
    /// READONLY; nothing was written.
    ReadOnly,
    /// To reads and claims.
    Entries(Vec<ReadEntry>),
    /// To commit.
    Committed(Committed),
    /// Events per minute.
    Minutes(BTreeMap<u64, i64>),
    /// Events appended, acknowledged, lost.
    Totals([i64; 3]),
    /// The floor, if there is one.
    Floor(Option<u64>),
    /// Redis' ms, and the oldest entry that is not acknowledged.
    Oldest(u64, Option<EntryId>),
    /// Done by hand.
    Done,
}
