//! `evp-processor restore`: lays a backup down for the servers, and compares what they then hold.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bson::doc;
use clap::{Args, ValueEnum};
use evp_shared::config::Value as _;
use tokio::time::{Instant, sleep};

use super::verify::{self, Verify};
use super::{Done, FAILED, open_database, open_stream, run_to_end, show_time};
use crate::backup::manifest::Manifest;
use crate::backup::restore::Restore;
use crate::config::ProcessorConfig;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Mongod.
    Mongo,
    /// Redis.
    Redis,
}

/// What, and where to.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The backup: a folder in that of `backup`
    pub backup: PathBuf,
    /// Restore one of them; the other one goes on with what it has
    #[arg(long, value_name = "SERVER")]
    pub only: Option<Server>,
    /// Mongod's data directory, if not where it was
    #[arg(long, value_name = "DIR")]
    pub mongo_dir: Option<PathBuf>,
    /// Redis' data directory, if not where it was
    #[arg(long, value_name = "DIR")]
    pub redis_dir: Option<PathBuf>,
    /// How long to wait until both servers are started
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = Duration::parse)]
    pub wait: Duration,
    /// Mend what differs, as `verify --repair`
    #[arg(long)]
    pub repair: bool,
}

/// Exit code 0: it is restored, and the counters are right; 1: they are not, or it failed.
pub fn main(config_file: Option<&Path>, asked: &Arguments) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| run(config, asked).await)
}

async fn run(config: &ProcessorConfig, asked: &Arguments) -> anyhow::Result<Done> {
    let manifest = Manifest::read(&asked.backup)?;
    let mongo = asked.mongo_dir.as_ref().unwrap_or(&manifest.mongo_dir);
    let redis = asked.redis_dir.as_ref().unwrap_or(&manifest.redis.dir);
    let unless = |other, dir| (asked.only != Some(other)).then_some(dir);
    let to = (
        unless(Server::Redis, mongo.as_path()),
        unless(Server::Mongo, redis.as_path()),
    );
    Restore::new(&asked.backup, &manifest, to)?.lay_down()?;
    let time = show_time(manifest.at_ms);
    say(&format!(
        "the files of {time} are laid down: start the servers now"
    ))?;
    let until = Instant::now() + asked.wait;
    while let Err(error) = answer(config).await {
        if Instant::now() > until {
            return Err(error).context("the files are restored, and the servers do not answer");
        }
        sleep(LOOK_EVERY).await;
    }
    let verify = Verify {
        repair: asked.repair,
        ..Verify::default()
    };
    verify::checked(config, &verify).await
}

/// Whether both servers answer.
async fn answer(config: &ProcessorConfig) -> anyhow::Result<()> {
    let (_redis, database) = (open_stream(config).await?, open_database(config).await?);
    database.run_command(doc! { "ping": 1 }).await?;
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
