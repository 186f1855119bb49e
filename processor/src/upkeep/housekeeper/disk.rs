//! The disk MongoDB's data is on.

use std::time::Duration;

use bson::{Document, doc};
use evp_shared::store::whole;
use mongodb::Database;
use mongodb::error::Error as MongoError;

/// Permille used from which ingest refuses: mongod stops writing before the last byte, and the journal
/// and the drops that make room need some.
const FULL_PERMILLE: u64 = 950;

/// How long the mark of a full disk lives without being renewed: three rounds.
pub const FULL_LIFE: Duration = Duration::from_secs(180);

/// Bytes, as `dbStats` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Used, by whatever.
    pub used: u64,
    /// All of it.
    pub total: u64,
    /// What the database takes, with its indexes.
    pub stored: u64,
}

impl Disk {
    /// Asks; `None` where the server does not tell.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn ask(database: &Database) -> Result<Option<Self>, MongoError> {
        let stats = database.run_command(doc! { "dbStats": 1 }).await?;
        Ok(Self::parse(&stats))
    }

    fn parse(stats: &Document) -> Option<Self> {
        let bytes = |name: &str| whole(stats.get(name)?);
        Some(Self {
            used: bytes("fsUsedSize")?,
            total: bytes("fsTotalSize").filter(|total| *total > 0)?,
            stored: bytes("storageSize")? + bytes("indexSize")?,
        })
    }

    /// What is left.
    pub fn free(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// How much of it is used, in permille.
    pub fn used_permille(&self) -> u64 {
        self.used.saturating_mul(1_000) / self.total.max(1)
    }

    /// Whether nothing more is to be accepted.
    pub fn is_full(&self) -> bool {
        self.used_permille() >= FULL_PERMILLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_from_95_percent_on() {
        let stats = |used: f64| {
            doc! {
                "fsUsedSize": used, "fsTotalSize": 1_000.0, "storageSize": 7, "indexSize": 3_i64,
            }
        };
        let disk = |used| Disk::parse(&stats(used)).unwrap();
        assert!(!disk(949.0).is_full());
        assert!(disk(950.0).is_full());
        assert_eq!((disk(950.0).free(), disk(950.0).stored), (50, 10));
        assert_eq!(Disk::parse(&doc! { "fsTotalSize": 0 }), None);
    }
}
