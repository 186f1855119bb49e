//! The deep check after Redis forgot: a day after a new life, one processor compares receipts with
//! the events themselves and mends what differs.
//!
//! It finds what nothing else can: documents that were stored, whose processor died before the
//! receipt and whose entry was forgotten. Before a day is over the frame might still come again.
//!
//! # Shape
//! One document of the collection `meta`: `{_id: "deep_verify", lives: [<lives it knows>],
//! due: <when the next is due>, until: <when the one that runs it counts as gone>}`. A life's
//! number is the time at which it was recorded, in Unix ms.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use evp_shared::shutdown::Shutdown;
use evp_shared::store::META;
use evp_shared::stream::Life;
use fred::interfaces::ClientLike as _;
use mongodb::Collection;
use mongodb::error::Error as MongoError;
use mongodb::options::ReturnDocument;
use tracing::{debug, info, warn};

use crate::command::open_context;
use crate::command::verify::{Verify, run_with};
use crate::context::Context;

const ID: &str = "deep_verify";
const LOOK_EVERY: Duration = Duration::from_secs(60);
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// A check is a full scan. One that took this long is taken up by another processor.
const LEASE_MS: u64 = 6 * 3_600 * 1_000;
/// After one that failed.
const AGAIN_AFTER_MS: u64 = 600 * 1_000;
/// Lives that are remembered as known; Redis itself records far fewer.
const LIVES_MAX: i32 = 1_000;

/// Runs due checks for one processor until the shutdown.
#[derive(Debug)]
pub struct DeepVerifyLoop {
    /// What the loops share.
    pub context: Arc<Context>,
}

impl DeepVerifyLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = shutdown.triggered() => return Ok(()),
            }
            tokio::select! {
                looked = self.look() => if let Err(error) = looked {
                    debug!(%error, "deep check not looked at");
                },
                // Its lease ends, and another takes it up; repeating is harmless.
                () = shutdown.triggered() => return Ok(()),
            }
        }
    }

    async fn look(&self) -> Result<(), MongoError> {
        self.note_lives().await?;
        let now = self.context.clock.now_ms();
        let Some(lives) = self.take(now).await? else {
            return Ok(());
        };
        info!("deep check begins");
        let mended = self.check().await;
        match &mended {
            Ok(mended) => info!(receipts = mended, "deep check is over: receipts mended"),
            Err(error) => warn!(error = format!("{error:#}"), "deep check failed"),
        }
        self.give_back(now, &lives, mended.is_ok()).await
    }

    /// Makes a check due a day after each life that is not known yet.
    async fn note_lives(&self) -> Result<(), MongoError> {
        let lives = self.context.lives.recorded();
        if lives.is_empty() {
            return Ok(());
        }
        let meta = self.meta();
        let first = doc! { "$setOnInsert": { "lives": [] } };
        meta.update_one(doc! { "_id": ID }, first)
            .upsert(true)
            .await?;
        for life in lives {
            let number = number(life);
            let push = doc! { "lives": { "$each": [number], "$slice": -LIVES_MAX } };
            let noted = doc! { "$push": push, "$min": { "due": due(life) } };
            let unknown = doc! { "_id": ID, "lives": { "$ne": number } };
            meta.update_one(unknown, noted).await?;
        }
        Ok(())
    }

    /// Takes the check on if it is due and nobody else has; returns the lives it is for.
    async fn take(&self, now: u64) -> Result<Option<Vec<Life>>, MongoError> {
        let free = doc! { "$or": [
            { "until": { "$exists": false } },
            { "until": { "$lt": time(now) } },
        ] };
        let due = doc! { "_id": ID, "due": { "$lte": time(now) }, "$and": [free] };
        let taken = doc! { "$set": { "until": time(now + LEASE_MS) } };
        let found = self
            .meta()
            .find_one_and_update(due, taken)
            .return_document(ReturnDocument::After)
            .await?;
        Ok(found.map(|found| lives_in(&found)))
    }

    /// Says when the next one is due: a day after the first life that was too young for this one.
    async fn give_back(&self, began: u64, lives: &[Life], held: bool) -> Result<(), MongoError> {
        let young = lives.iter().filter(|life| life.0 + DAY_MS > began);
        let next = young.min();
        let change = match (held, next) {
            (false, _) => doc! { "$set": { "until": time(began + AGAIN_AFTER_MS) } },
            (true, Some(life)) => {
                doc! { "$set": { "due": due(*life) }, "$unset": { "until": "" } }
            }
            (true, None) => doc! { "$unset": { "due": "", "until": "" } },
        };
        let known: Vec<Bson> = lives.iter().map(|life| number(*life).into()).collect();
        // A life noted meanwhile has its own time, which must not be taken back.
        let unchanged = doc! { "_id": ID, "lives": &known };
        let given = self.meta().update_one(unchanged, change).await?;
        if given.matched_count == 0 {
            let free = doc! { "$unset": { "until": "" } };
            self.meta().update_one(doc! { "_id": ID }, free).await?;
        }
        Ok(())
    }

    /// Checks and mends, over connections with a deadline for full scans.
    async fn check(&self) -> anyhow::Result<u64> {
        let context = open_context(&self.context.config).await?;
        let how = Verify {
            repair: true,
            deep: true,
            ..Verify::default()
        };
        let report = run_with(&context, &how).await;
        context.stream.client().quit().await.ok();
        Ok(report?.deep.map_or(0, |deep| deep.mended))
    }

    fn meta(&self) -> Collection<Document> {
        self.context.inserter.database().collection(META)
    }
}

fn lives_in(document: &Document) -> Vec<Life> {
    let lives = document.get_array("lives").into_iter().flatten();
    lives
        .filter_map(|life| Some(Life(u64::try_from(life.as_i64()?).ok()?)))
        .collect()
}

fn number(life: Life) -> i64 {
    i64::try_from(life.0).unwrap_or(i64::MAX)
}

fn due(life: Life) -> DateTime {
    time(life.0.saturating_add(DAY_MS))
}

fn time(ms: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}
