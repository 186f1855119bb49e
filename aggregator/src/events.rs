//! Events out of MongoDB: lists, and one by its id.
//!
//! Every command carries a time limit, and every condition a value of a fixed type: nothing a
//! client sends becomes an operator.

pub mod catalogue;
pub mod cursor;
pub mod filter;
pub mod lookup;
pub mod page;
pub mod plan;
pub mod position;

use std::time::Duration;

use bson::RawDocumentBuf;
use evp_shared::clock::Clock;
use evp_shared::store::{DEAD_LETTERS, EVENTS};
use mongodb::{Collection, Database};

use self::plan::Catalogue;
use crate::auth::Tenant;
use crate::cache::Cache;
use crate::deadline::Deadline;

/// The events of all tenants; a query is of one.
#[derive(Debug, Clone)]
pub struct Events {
    events: Collection<RawDocumentBuf>,
    dead_letters: Collection<RawDocumentBuf>,
    catalogues: Cache<Tenant, Catalogue>,
    clock: Clock,
    time_limit: Duration,
}

impl Events {
    /// Reads from `database`, each request for at most `time_limit`.
    pub fn new(database: &Database, clock: Clock, time_limit: Duration) -> Self {
        Self {
            events: database.collection(EVENTS),
            dead_letters: database.collection(DEAD_LETTERS),
            catalogues: catalogue::cache(),
            clock,
            time_limit,
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.time_limit, &self.clock)
    }
}
