//! `evp-processor backup`: what Redis and `MongoDB` keep, as files of one moment.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use evp_shared::clock::Clock;
use evp_shared::config::Value as _;

use super::verify::{self, Verify};
use super::{Done, FAILED, open_database, open_stream, run_to_end};
use crate::backup::make::Backup;
use crate::backup::{folder, lock};
use crate::config::ProcessorConfig;
use crate::upkeep::housekeeper::memory;

/// Where to, and from where.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Folder that backups lie in; each gets one of its own, named by its time
    pub dir: PathBuf,
    /// Delete older backups in it once this one is whole, until so many are left
    #[arg(long, value_name = "N")]
    pub keep: Option<NonZeroUsize>,
    /// How long mongod may take no writes
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = Duration::parse)]
    pub lock_limit: Duration,
    /// Percent of the folder's disk that have to stay free: it may be that of mongod or of Redis
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = clap::value_parser!(u8).range(..=100))]
    pub min_free: u8,
    /// Where mongod's data directory lies, if not where mongod says
    #[arg(long, value_name = "DIR")]
    pub mongo_dir: Option<PathBuf>,
    /// Where Redis' data directory lies, if not where Redis says
    #[arg(long, value_name = "DIR")]
    pub redis_dir: Option<PathBuf>,
}

/// Exit code 0: it is whole, and the counters are right; 1: it is whole, and they are not, or it failed.
pub fn main(config_file: Option<&Path>, asked: &Arguments) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| {
        run(config, config_file, asked).await
    })
}

/// Holds the lock for a backup: see [`lock`].
pub fn hold_lock(config_file: Option<&Path>) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| {
        lock::hold(&open_database(config).await?).await?;
        let text = "unlocked".to_owned();
        Ok::<_, anyhow::Error>(Done {
            text,
            complete: true,
        })
    })
}

async fn run(
    config: &ProcessorConfig,
    config_file: Option<&Path>,
    asked: &Arguments,
) -> anyhow::Result<Done> {
    let (stream, database) = (open_stream(config).await?, open_database(config).await?);
    let _alone = folder::alone(&asked.dir)?;
    folder::tidy(&asked.dir)?;
    let to = folder::free(&asked.dir, &Clock::system()).await;
    let backup = Backup {
        redis: stream.client(),
        database: &database,
        config_file,
        redis_dir: asked.redis_dir.clone(),
        mongo_dir: asked.mongo_dir.clone(),
        lock_limit: asked.lock_limit,
        min_free: asked.min_free,
        base: folder::backups(&asked.dir).pop().map(|(_, folder)| folder),
        to: to.clone(),
    };
    let made = backup.make().await;
    let (manifest, was_locked) = made.context("there is no backup")?;
    memory::note_backup(&database, manifest.at_ms).await?;
    let mut lines = vec![format!(
        "backup: {} in {} files, {} MB; mongod took no writes for {:.1} s",
        to.display(),
        manifest.mongo_files.len() + 1,
        manifest.bytes() / 1_000_000,
        was_locked.as_secs_f64()
    )];
    if let Some(keep) = asked.keep {
        let gone = folder::thin_out(&asked.dir, &to, keep.get());
        let gone = gone.context("the backup is whole, and older ones could not be deleted")?;
        lines.extend(
            gone.iter()
                .map(|folder| format!("deleted: {}", folder.display())),
        );
    }
    let checked = verify::checked(config, &Verify::default()).await;
    let checked =
        checked.context("the backup is whole, and what it is of could not be verified")?;
    lines.push(checked.text);
    let text = lines.join("\n");
    Ok(Done { text, ..checked })
}
