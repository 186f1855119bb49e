//! Kinds of requests, and what a scripted history does to one.

use super::mongo::{Key, MongoOp, SpanOp};
use super::redis::RedisOp;
use super::world::Op;

/// What a scripted history does to the next request of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    LoseRequest,
    /// It is done, the answer never arrives.
    LoseReply,
    /// It is done, the answer arrives only when the script says so.
    HoldReply,
    /// It is answered READONLY by a replica that was not told yet.
    ReadOnly,
    /// It arrives only when the script says so; its sender is told nothing.
    Hold,
    /// It is done twice.
    Repeat,
}

/// A kind of request, for scripted histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// hello.lua.
    Hello,
    /// append.lua.
    Append,
    /// Any XREADGROUP.
    Read,
    /// XAUTOCLAIM.
    Claim,
    /// commit.lua with entries or frames.
    Commit,
    /// Insert of events.
    Insert,
    /// Insert of receipts.
    Receipt,
    /// Insert of dead letters.
    DeadLetter,
    /// A find by `_id`.
    LookUp,
    /// A find of the receipts of some minutes.
    Reconcile,
    /// create.
    Create,
    /// A find of the rows and marks.
    Meta,
    /// listCollections.
    List,
    /// Insert of a row.
    Row,
    /// Any change of a mark.
    Raise,
    /// drop.
    Drop,
    /// createIndexes.
    Index,
}

impl Op {
    /// Its kind; `None` for what histories leave alone.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Redis(RedisOp::Hello { .. }) => Some(Kind::Hello),
            Self::Redis(RedisOp::Append { .. }) => Some(Kind::Append),
            Self::Redis(RedisOp::ReadNew { .. } | RedisOp::ReadPending { .. }) => Some(Kind::Read),
            Self::Redis(RedisOp::Claim { .. }) => Some(Kind::Claim),
            Self::Redis(RedisOp::Commit(op)) if !op.acks.is_empty() || !op.settles.is_empty() => {
                Some(Kind::Commit)
            }
            Self::Mongo(MongoOp::Insert(documents)) => match documents.first()? {
                (Key::Receipt(_), _) => Some(Kind::Receipt),
                (Key::Dead(..), _) => Some(Kind::DeadLetter),
            },
            Self::Mongo(MongoOp::Store(..)) => Some(Kind::Insert),
            Self::Mongo(MongoOp::Find(..) | MongoOp::LookUp(..)) => Some(Kind::LookUp),
            Self::Mongo(MongoOp::Receipts(..)) => Some(Kind::Reconcile),
            Self::Mongo(MongoOp::Span(op)) => of_span(op),
            Self::Mongo(MongoOp::Server | MongoOp::Sync) | Self::Redis(_) => None,
        }
    }
}

fn of_span(op: &SpanOp) -> Option<Kind> {
    match op {
        SpanOp::Create(_) => Some(Kind::Create),
        SpanOp::Read => Some(Kind::Meta),
        SpanOp::List => Some(Kind::List),
        SpanOp::AddRow(..) => Some(Kind::Row),
        SpanOp::Raise(..) => Some(Kind::Raise),
        SpanOp::Drop(_) => Some(Kind::Drop),
        SpanOp::Index(..) => Some(Kind::Index),
        _ => None,
    }
}
