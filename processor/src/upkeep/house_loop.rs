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

/// Longest wait for giving the lease back at the end: without it the lease ends by itself.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// Keeps house for one processor.
#[derive(Debug)]
pub struct HouseLoop {
    /// What keeps house.
    pub house: House,
    /// Sign of life.
    pub beat: Beat,
}

type Build = BoxFuture<'static, Vec<(Job, Result<(), MongoError>)>>;

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
                    // A round waits for MongoDB, which may be away: its end is not worth the whole
                    // grace, as all of it may be done again.
                    let jobs = tokio::select! {
                        jobs = self.round(is_building) => jobs,
                        () = shutdown.triggered() => break,
                    };
                    if !jobs.is_empty() {
                        build = Some(self.begin(jobs)).into();
                        is_building = true;
                    }
                }
                Some(done) = &mut build, if is_building => {
                    build = None.into();
                    is_building = false;
                    self.end(done).await;
                }
            }
        }
        let release = lease::release(&self.house.database, &self.house.holder);
        drop(tokio::time::timeout(RELEASE_MAX, release).await);
        Ok(())
    }

    async fn round(&mut self, busy: bool) -> Vec<Job> {
        let round = tokio::time::timeout(ROUND_MAX, self.house.round(busy)).await;
        self.beat.beat();
        match round {
            Ok(Ok(jobs)) => jobs,
            Ok(Err(error)) => {
                warn!(error = %Chain(&error), "house not kept, and tried again");
                Vec::new()
            }
            Err(_) => {
                warn!("a round took too long, and is tried again");
                Vec::new()
            }
        }
    }

    fn begin(&self, jobs: Vec<Job>) -> Build {
        let builds = jobs.iter().any(Job::builds);
        self.house.metrics.building.set(f64::from(u8::from(builds)));
        let database = self.house.database.clone();
        Box::pin(async move {
            let mut done = Vec::new();
            for job in jobs {
                let result = job.run(&database).await;
                done.push((job, result));
            }
            done
        })
    }

    async fn end(&self, done: Vec<(Job, Result<(), MongoError>)>) {
        let House {
            metrics,
            database,
            holder,
            ..
        } = &self.house;
        metrics.building.set(0.0);
        for (job, result) in done {
            match result {
                Ok(()) if job.is_seal() => metrics.spans_sealed.increment(1),
                Ok(()) => {}
                Err(error) => {
                    let span = job.row.span;
                    warn!(%span, error = %Chain(&error), "indexes not built, and asked for again");
                }
            }
        }
        drop(lease::release(database, holder).await);
    }
}
