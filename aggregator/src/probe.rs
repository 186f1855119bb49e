//! Asks the dependencies for a sign of life, and tells readiness.

use std::convert::Infallible;
use std::time::Duration;

use bson::doc;
use evp_shared::health::{Beat, Condition, Health};
use evp_shared::redis;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::Stream;
use mongodb::Database;

const EVERY: Duration = Duration::from_secs(2);
/// While one of them does not answer: a start, or the end of an outage, is not to be waited for.
const EVERY_DURING_OUTAGE: Duration = Duration::from_millis(200);
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// Three rounds in which nothing answers.
const BEAT_MAX: Duration = Duration::from_secs(12);

/// Looks after Redis and MongoDB.
#[derive(Debug)]
pub struct Probe {
    stream: Stream,
    database: Database,
    redis: Dependency,
    mongo: Dependency,
    beat: Beat,
}

#[derive(Debug)]
struct Dependency {
    name: &'static str,
    condition: Condition,
    answered: Option<bool>,
}

impl Probe {
    /// Registers the conditions `redis` and `mongo`.
    pub fn new(health: &Health, stream: Stream, database: Database) -> Self {
        let dependency = |name| Dependency {
            name,
            condition: health.condition(name),
            answered: None,
        };
        Self {
            stream,
            database,
            redis: dependency("redis"),
            mongo: dependency("mongo"),
            beat: health.loop_beat("probe", BEAT_MAX),
        }
    }

    /// Asks until the shutdown.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                () = tokio::time::sleep(pause) => self.ask().await,
            }
            pause = match (self.redis.answered, self.mongo.answered) {
                (Some(true), Some(true)) => EVERY,
                _ => EVERY_DURING_OUTAGE,
            };
        }
    }

    async fn ask(&mut self) {
        let ping = self.database.run_command(doc! { "ping": 1 });
        let (redis, mongo) = tokio::join!(
            tokio::time::timeout(ANSWER_WITHIN, redis::ping(self.stream.client())),
            tokio::time::timeout(ANSWER_WITHIN, ping.into_future()),
        );
        self.redis.note(matches!(redis, Ok(Ok(()))));
        self.mongo.note(matches!(mongo, Ok(Ok(_))));
        self.beat.beat();
    }
}

impl Dependency {
    fn note(&mut self, answers: bool) {
        if self.answered.replace(answers) == Some(answers) {
            return;
        }
        if answers {
            self.condition.ok();
            tracing::info!(dependency = self.name, "dependency answers");
        } else {
            self.condition.fail("does not answer");
            tracing::warn!(dependency = self.name, "dependency does not answer");
        }
    }
}
