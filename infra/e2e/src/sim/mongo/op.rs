//! What can be asked of MongoDB, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use evp_processor::written::{Id, StoredFacts, Written};
use evp_shared::frame::FrameId;
use evp_shared::stream::Settle;

use crate::sim::span::Span;

/// Where a document beside the events is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// In `receipts`.
    Receipt(FrameId),
    /// In `dead_letters`.
    Dead(Id, FrameId),
}

/// Such a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Of `receipts`, with the server's time of writing.
    Receipt(Receipt),
    /// Of `dead_letters`, with the event's type.
    Dead(String),
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What is settled.
    pub settle: Settle,
    /// The lowest time among the ids it counts.
    pub oldest_ms: Option<u64>,
    /// Which events it means. No real receipt has it, and no party reads it: it is for the check.
    pub events: Vec<(Id, As)>,
}

/// As what a receipt counts an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// New.
    Counted,
    /// Stored before.
    Duplicate,
    /// A dead letter.
    Dead,
    /// Below `gone`.
    Expired,
}

/// What a read may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadConcern {
    /// What a majority has.
    Majority,
    /// What the server asked happens to have.
    Local,
}

/// An index of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Index {
    /// By bucket, from the start.
    Recent,
    /// The exact one, of a sealed span.
    User,
}

/// The row of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The collection's.
    pub uuid: u64,
    /// Its indexes are those of a span that ended.
    pub is_sealed: bool,
    /// Indexes a reader may name.
    pub indexes: BTreeSet<Index>,
}

/// A mark, which only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing below it is accepted.
    Floor,
    /// Nothing below it is stored.
    Gone,
}

/// A floor that Redis has, and since when: by partition its life and its server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The floor.
    pub floor_ms: u64,
    /// Life and ms, by partition.
    pub since: Vec<(u64, u64)>,
}

/// What `meta` holds, in one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// The spans.
    pub rows: BTreeMap<Span, Row>,
    /// [`Mark::Floor`].
    pub floor_ms: u64,
    /// [`Mark::Gone`].
    pub gone_ms: u64,
    /// The floor `gone` follows next.
    pub standing: Option<Standing>,
    /// Who keeps house, and until when.
    pub lease: (u32, u64),
}

/// What can be asked about spans. All writes wait for a majority.
#[derive(Debug, Clone)]
pub enum SpanOp {
    /// Rows and marks, in one majority snapshot.
    Read,
    /// create.
    Create(Span),
    /// listCollections and listIndexes: local reads.
    List,
    /// createIndexes, of the collection with this UUID where one is named.
    Index(Span, Option<u64>, Index),
    /// dropIndexes.
    Unindex(Span, Index),
    /// Inserts a row.
    AddRow(Span, Row),
    /// Updates the row, where it has this UUID.
    ChangeRow(Span, Row),
    /// Deletes the row, where it has this UUID.
    RemoveRow(Span, u64),
    /// drop.
    Drop(Span),
    /// `$max`, or `$set` as `Defect::MarkIsSet` has it.
    Raise(Mark, u64),
    /// Notes which floor `gone` follows next.
    Stand(Standing),
    /// Takes or renews the lease for so many ms.
    Lease(u32, u64),
    /// Deletes dead letters with a time below.
    Purge(u64),
}

/// What can be asked of MongoDB.
#[derive(Debug, Clone)]
pub enum MongoOp {
    /// One unordered insert of receipts or dead letters, with write concern majority.
    Insert(Vec<(Key, Document)>),
    /// One unordered insert of events, into the collection with this UUID where one is named.
    Store(Span, Option<u64>, Vec<StoredFacts>),
    /// Receipts and dead letters by `_id`.
    Find(Vec<Key>, ReadConcern),
    /// Events by `_id`.
    LookUp(Span, Vec<Id>, ReadConcern),
    /// hello.
    Server,
    /// A write that changes nothing, with write concern majority.
    Sync,
    /// The receipts of a partition whose frames were received in these minutes.
    Receipts(u16, std::ops::Range<u64>),
    /// About spans.
    Span(SpanOp),
}

/// A collection as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its UUID.
    pub uuid: u64,
    /// Its indexes, also those that are being built.
    pub indexes: BTreeSet<Index>,
}

/// What MongoDB answers.
#[derive(Debug, Clone)]
pub enum MongoAnswer {
    /// What became of each document.
    Inserted(Vec<Written>),
    /// As well, but a write concern error stands beside it.
    WriteConcernError(Vec<Written>),
    /// A code outside the closed list, in `writeErrors` or for the command: 189 and its like.
    Systemic,
    /// 361, for each document: another collection than was named, or none.
    Mismatch,
    /// What was found.
    Found(BTreeMap<Key, Document>),
    /// Events that were found.
    LookedUp(BTreeMap<Id, StoredFacts>),
    /// Receipts.
    Receipts(Vec<Settle>),
    /// The number of the process, of a server of its own.
    Server(Option<u64>),
    /// Rows and marks, and `$$NOW`.
    Meta(Meta, u64),
    /// Collections of spans.
    Collections(BTreeMap<Span, Listed>),
    /// Done.
    Done,
    /// 48, or E11000 of a row.
    Exists,
    /// Another has the lease.
    Taken,
    /// The command goes on in the server until then.
    Building(u64),
}
