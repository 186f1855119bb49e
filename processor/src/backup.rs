//! Backups: what Redis and `MongoDB` keep, as files of one moment, and the way back.
//!
//! # The moment
//! While mongod is locked ([`lock`]), no receipt is written, and Redis goes on acknowledging. In that
//! time Redis forks to save what it has ([`evp_shared::redis::Save`]). So every receipt in the
//! copy of mongod's files is settled in that of Redis, or its entry is still pending there, and every
//! event answered `202` by then is in one of the two: what comes back is a system that stood still.
//!
//! # How long it is locked
//! Mongod's files are copied before, and under the lock again as far as they have changed since
//! ([`mirror`]). Sealed spans have not; files that are as in the backup before are links to those.
//!
//! # Shape
//! A folder per backup: `mongo/`, as mongod had it; `redis/dump.rdb`; and [`manifest`], which is
//! written last, so that a folder without it is no backup.

pub mod folder;
pub mod lock;
pub mod make;
pub mod manifest;
pub mod mirror;
pub mod restore;
