//! Keeps house round by round until the shutdown. An index that is built for hours holds up no round.

use std::convert::Infallible;
use std::time::Duration;

use evp_shared::health::Beat;
use evp_shared::service::Chain;
use evp_shared::shutdown::Shutdown;
use evp_shared::store::lease;
use futures::StreamExt as _;
use futures::future::{BoxFuture, OptionFuture};
use mongodb::error::Error as MongoError;
use tracing::warn;

use super::housekeeper::House;
use super::housekeeper::building::Job;

/// Longest round: it purges and drops, and asks some hundred spans for their indexes.
const ROUND_MAX: Duration = Duration::from_secs(240);

/// Keeps house for one processor.
#[derive(Debug)]
pub struct HouseLoop {
    /// What keeps house.
    pub house: House,
    /// Sign of life.
    pub beat: Beat,
}

type Build = BoxFuture<'static, (Job, Result<(), MongoError>)>;

impl HouseLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut rounds = shutdown.every(self.house.waits.round);
        let mut build: OptionFuture<Build> = None.into();
        let mut is_building = false;
        loop {
            tokio::select! {
                round = rounds.next() => {
                    if round.is_none() {
                        break;
                    }
                    if let Some(job) = self.round(is_building).await {
                        build = Some(self.begin(job)).into();
                        is_building = true;
                    }
                }
                Some((job, done)) = &mut build, if is_building => {
                    build = None.into();
                    is_building = false;
                    self.end(&job, done).await;
                }
            }
        }
        drop(lease::release(&self.house.database, &self.house.holder).await);
        Ok(())
    }

    async fn round(&mut self, busy: bool) -> Option<Job> {
        let round = tokio::time::timeout(ROUND_MAX, self.house.round(busy)).await;
        self.beat.beat();
        match round {
            Ok(Ok(job)) => job,
            Ok(Err(error)) => {
                warn!(error = %Chain(&error), "house not kept, and tried again");
                None
            }
            Err(_) => {
                warn!("a round took too long, and is tried again");
                None
            }
        }
    }

    fn begin(&self, job: Job) -> Build {
        self.house.metrics.building.set(1.0);
        let database = self.house.database.clone();
        Box::pin(async move {
            let done = job.run(&database).await;
            (job, done)
        })
    }

    async fn end(&self, job: &Job, done: Result<(), MongoError>) {
        let House {
            metrics,
            database,
            holder,
            ..
        } = &self.house;
        metrics.building.set(0.0);
        match done {
            Ok(()) if job.is_seal() => metrics.spans_sealed.increment(1),
            Ok(()) => {}
            Err(error) => {
                let span = job.row.span;
                warn!(%span, error = %Chain(&error), "indexes not built, and asked for again");
            }
        }
        drop(lease::release(database, holder).await);
    }
}
