//! The dead letters as those who run EVP see them: list, show, replay and purge, which is written down
//! ([`crate::audit`]).
//!
//! Used by `evp-processor dlq` and by the admin API, which must not depend on the processor; so it
//! is here. Writing dead letters is the processor's alone (`processor/src/store/dead_letter.rs`, where
//! their shape is described). Every operation may be repeated, and may run beside others.

mod filter;
mod letter;
mod operate;
mod pace;
mod person;
mod replay;
mod show;

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt as _;
use mongodb::error::Error as MongoError;
use mongodb::{Collection, Database};

use crate::store::{DEAD_LETTERS, durable, whole};
use crate::stream::{AppendError, StreamError};

pub use filter::{Below, Filter, Wanted};
pub use letter::{Kept, Letter, LetterId, LetterIdError, Replaying};
pub use operate::{Operation, Request};
pub use person::OfPerson;
pub use replay::{Handled, Replay};
pub use show::{fields_json, hex_json};

/// Letters handled by one call at most: more is more than dead letters may be.
pub const LIMIT_MAX: u64 = 1_000_000;

/// Letters read, purged or appended at once.
const PAGE: u64 = 100;

/// How much longer than MongoDB's own limit an answer is waited for: the way there and back.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// Why an operation on dead letters stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// MongoDB does not answer, or refuses.
    #[error("mongodb failed")]
    Mongo(#[from] MongoError),
    /// MongoDB does not answer in time.
    #[error("mongodb gave no answer within {0:?}")]
    NoAnswer(Duration),
    /// Redis does not answer, or refuses.
    #[error("redis failed")]
    Redis(#[from] StreamError),
    /// The frames of a replay could not be appended; they are appended by the next one.
    #[error("frames could not be appended")]
    Append(#[from] AppendError),
    /// No producer could be registered for the frames of a replay.
    #[error("no producer id is free on partition {partition}")]
    NoProducer {
        /// The partition.
        partition: u16,
    },
    /// A replay would give events other identities than the processor does.
    #[error(
        "the database holds events of another identity: dedupe.identity and storage.salt_bits must \
         be those of the processor"
    )]
    Identity,
    /// MongoDB did not write what it was asked to.
    #[error("mongodb did not write: {found}")]
    NotWritten {
        /// Its words.
        found: String,
    },
}

/// How many dead letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Events, and entries that do not decode.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How much of a letter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Without what was kept.
    Head,
    /// With what was kept.
    Kept,
}

/// The dead letters of one database.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    database: Database,
    read_limit: Duration,
}

impl DeadLetters {
    /// Those in `database`, where MongoDB may work on one read for `read_limit`; zero is no limit.
    pub fn new(database: Database, read_limit: Duration) -> Self {
        Self {
            database,
            read_limit,
        }
    }

    /// How many there are.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn size(&self) -> Result<Size, DeadLetterError> {
        let reply = self
            .database
            .run_command(doc! { "collStats": DEAD_LETTERS })
            .await?;
        let number = |name: &str| reply.get(name).and_then(whole).unwrap_or(0);
        Ok(Size {
            events: number("count"),
            bytes: number("size"),
        })
    }

    /// How many match `filter`.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn count(&self, filter: &Filter) -> Result<u64, DeadLetterError> {
        let letters = self.collection();
        let count = letters.count_documents(filter.to_bson());
        let count = count.max_time(self.read_limit);
        self.in_time(count.into_future()).await
    }

    /// The newest `limit` of those that match `filter` and come after `after` (its time in Unix ms
    /// and id), newest first, without what was kept.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<&(u64, LetterId)>,
        limit: u64,
    ) -> Result<Vec<Letter>, DeadLetterError> {
        let mut query = filter.to_bson();
        if let Some((at_ms, id)) = after {
            let at = DateTime::from_millis(i64::try_from(*at_ms).unwrap_or(i64::MAX));
            let older = doc! { "at": { "$lt": at } };
            let same = doc! { "at": at, "_id": { "$lt": id.to_bson() } };
            query = doc! { "$and": [query, { "$or": [older, same] }] };
        }
        self.newest(query, limit, Depth::Head).await
    }

    /// The newest `limit` of those that match `filter`, newest first, with what was kept.
    ///
    /// # Errors
    /// MongoDB's.
    pub async fn show(&self, filter: &Filter, limit: u64) -> Result<Vec<Letter>, DeadLetterError> {
        self.newest(filter.to_bson(), limit, Depth::Kept).await
    }

    async fn newest(
        &self,
        query: Document,
        limit: u64,
        depth: Depth,
    ) -> Result<Vec<Letter>, DeadLetterError> {
        let sort = doc! { "at": -1, "_id": -1 };
        let found = self.read(query, sort, limit, depth).await?;
        Ok(found.iter().filter_map(Letter::parse).collect())
    }

    /// Deletes up to `limit` of those that match `filter`, oldest event first; returns how many.
    ///
    /// # Errors
    /// MongoDB's; what was deleted before it stays deleted.
    pub async fn purge(&self, filter: &Filter, limit: u64) -> Result<u64, DeadLetterError> {
        let limit = limit.min(LIMIT_MAX);
        let mut deleted = 0;
        while deleted < limit {
            let page = PAGE.min(limit - deleted);
            let sort = doc! { "_id": 1 };
            let found = self.read(filter.to_bson(), sort, page, Depth::Head).await?;
            let ids: Vec<Bson> = found
                .into_iter()
                .filter_map(|mut letter| letter.remove("_id"))
                .collect();
            if ids.is_empty() {
                break;
            }
            deleted += self.delete(&ids).await?;
        }
        Ok(deleted)
    }

    /// The first `limit` of those that match `query`.
    async fn read(
        &self,
        query: Document,
        sort: Document,
        limit: u64,
        depth: Depth,
    ) -> Result<Vec<Document>, DeadLetterError> {
        let mut steps = vec![
            doc! { "$match": query },
            doc! { "$sort": sort },
            doc! { "$limit": i64::try_from(limit.clamp(1, LIMIT_MAX)).unwrap_or(i64::MAX) },
            doc! { "$set": { letter::BYTES: { "$bsonSize": "$$ROOT" } } },
        ];
        if depth == Depth::Head {
            steps.push(doc! { "$unset": "raw" });
        }
        let letters = self.collection();
        let found = letters
            .aggregate(steps)
            .allow_disk_use(true)
            .max_time(self.read_limit);
        self.in_time(async { found.await?.try_collect().await })
            .await
    }

    /// Waits for a read no longer than MongoDB may work on it, and a little: the driver has no
    /// limit of its own.
    async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, MongoError>>,
    ) -> Result<T, DeadLetterError> {
        if self.read_limit.is_zero() {
            return Ok(read.await?);
        }
        let limit = self.read_limit + ANSWER_SLACK;
        let answer = tokio::time::timeout(limit, read).await;
        Ok(answer.map_err(|_| DeadLetterError::NoAnswer(limit))??)
    }

    async fn delete(&self, ids: &[Bson]) -> Result<u64, DeadLetterError> {
        let letters = self.collection();
        let gone = letters.delete_many(doc! { "_id": { "$in": ids } }).await?;
        Ok(gone.deleted_count)
    }

    fn collection(&self) -> Collection<Document> {
        durable(&self.database, DEAD_LETTERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_without_an_answer_ends() {
        crate::testing::install_crypto();
        // Nothing listens there, and the driver goes on looking.
        let client = mongodb::Client::with_uri_str("mongodb://127.0.0.1:1").await;
        let letters = DeadLetters::new(client.unwrap().database("t"), Duration::from_millis(1));
        let read = letters.count(&Filter::default()).await;
        assert!(
            matches!(read, Err(DeadLetterError::NoAnswer(_))),
            "{read:?}"
        );
    }
}
