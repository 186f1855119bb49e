//! What a read saw, made sure of.
//!
//! A majority read of a replica set shows only what no fail-over undoes. A server of its own shows what
//! is not synced yet, and forgets it when it is killed. What is synced after the read, by the same
//! process, covers what the read saw.

use super::Processor;
use super::bulk::Failure;
use crate::sim::defect::Defect;
use crate::sim::mongo::{MongoAnswer, MongoOp};

impl Processor {
    /// The process that answers, of a server of its own.
    pub(super) async fn server(&self) -> Result<Option<u64>, Failure> {
        match self.mongo(MongoOp::Server).await {
            Some(MongoAnswer::Server(process)) => Ok(process),
            _ => Err(Failure::Store),
        }
    }

    /// Makes sure that what was read stays, where `since` answered before it was read.
    pub(super) async fn make_sure(&self, since: Option<u64>) -> Result<(), Failure> {
        if self.has(Defect::ReadWithoutSync) {
            return Ok(());
        }
        if since.is_some() {
            match self.mongo(MongoOp::Sync).await {
                Some(MongoAnswer::Done) => {}
                _ => return Err(Failure::Store),
            }
        }
        if self.has(Defect::SyncOfAnyProcess) || self.server().await? == since {
            return Ok(());
        }
        Err(Failure::Store)
    }
}
