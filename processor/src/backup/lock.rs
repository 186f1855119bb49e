//! The lock on mongod, held by a process of its own.
//!
//! `fsyncLock` belongs to nobody: a program that dies under it leaves a mongod that takes no writes. So
//! a second process holds it, and gives it back when its input ends: when we ask for that, and when we
//! die in any way. Signals that are meant for us it does not hear.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bson::doc;
use evp_shared::backoff::Backoff;
use evp_shared::store::code_of;
use mongodb::Database;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

/// The command that holds it.
pub const COMMAND: &str = "hold-lock";
/// What that says when it has it.
const LOCKED: &str = "locked";
/// How often it is tried to give it back: for some two minutes.
const UNLOCKS: u32 = 30;
/// MongoDB's code for giving back what nobody has: the answer to an earlier try was lost.
const NOT_LOCKED: i32 = 20;

/// A mongod that takes no writes.
#[derive(Debug)]
pub struct Lock {
    holder: Child,
    // Open as long as it may say something.
    _said: BufReader<ChildStdout>,
}

impl Lock {
    /// Takes it: when this returns, all that was answered is in mongod's files, and these stay as they
    /// are.
    ///
    /// # Errors
    /// The holder does not start or does not get it; it says why on stderr.
    ///
    /// # Cancel safety
    /// Dropped, what was taken is given back.
    pub async fn take(config_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(file) = config_file {
            command.arg("--config").arg(file);
        }
        let mut holder = command
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("what holds the lock on mongodb does not start")?;
        let said = holder.stdout.take().context("it says nothing")?;
        let mut line = String::new();
        let mut said = BufReader::new(said);
        said.read_line(&mut line).await?;
        ensure!(line.trim() == LOCKED, "mongodb could not be locked");
        Ok(Self {
            holder,
            _said: said,
        })
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Mongod may still be locked.
    pub async fn release(mut self) -> anyhow::Result<()> {
        drop(self.holder.stdin.take());
        let ended = self.holder.wait().await?;
        ensure!(
            ended.success(),
            "mongodb may still be locked, and store nothing: run db.fsyncUnlock() in mongosh, or start \
             mongod anew"
        );
        Ok(())
    }
}

/// Holds the lock until the input ends.
///
/// # Errors
/// It was not taken, or not given back.
pub async fn hold(database: &Database) -> anyhow::Result<()> {
    let _deaf = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ]
    .map(signal)
    .into_iter()
    .collect::<Result<Vec<_>, _>>()?;
    let admin = database.client().database("admin");
    admin.run_command(doc! { "fsync": 1, "lock": true }).await?;
    // Whoever asked may be gone by now; then the input has ended too.
    drop(writeln!(io::stdout(), "{LOCKED}"));
    drop(spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await);
    let mut backoff = Backoff::new(Duration::from_millis(100), 2, Duration::from_secs(5));
    let mut tries = 0;
    while let Err(error) = admin.run_command(doc! { "fsyncUnlock": 1 }).await {
        tries += 1;
        if code_of(&error) == Some(NOT_LOCKED) {
            break;
        }
        if tries == UNLOCKS {
            return Err(error).context("mongodb could not be unlocked");
        }
        warn!(%error, "mongodb is still locked");
        sleep(backoff.next_delay()).await;
    }
    Ok(())
}
