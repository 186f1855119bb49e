//! The lock on mongod, held by a process of its own.
//!
//! `fsyncLock` belongs to nobody: a program that dies under it leaves a mongod that takes no writes. So
//! a second process holds it, and gives it back when its input ends: when we ask for that, and when we
//! die in any way. Signals that are meant for us it does not hear.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bson::doc;
use evp_shared::backoff::Backoff;
use evp_shared::store::code_of;
use mongodb::Database;
use mongodb::error::Error as MongoError;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The command that holds it.
pub const COMMAND: &str = "hold-lock";
/// What that says when it has it.
const LOCKED: &str = "locked";
/// How long it is tried to give it back.
const UNLOCK_WITHIN: Duration = Duration::from_secs(120);
/// How long one try may take.
const TRY_WITHIN: Duration = Duration::from_secs(10);
/// What MongoDB says to who gives back what nobody has. 6.0 gives no code with it, so that the driver
/// does not take it for an answer.
const NOT_LOCKED: &str = "not locked";

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
    /// It was not held until now, so that what was copied is of no one moment; or mongod may still be
    /// locked, which the error says.
    pub async fn release(mut self, database: &Database) -> anyhow::Result<()> {
        drop(self.holder.stdin.take());
        let ended = self.holder.wait().await?;
        if !ended.success() {
            unlock(database).await?;
            bail!("mongodb was not locked all the time: what was copied is not of one moment");
        }
        Ok(())
    }
}

/// Holds the lock until the input ends.
///
/// # Errors
/// It was not taken, or not held until then, or not given back.
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
    if let Err(error) = admin.run_command(doc! { "fsync": 1, "lock": true }).await {
        // Without mongod's own answer it may be locked.
        if code_of(&error).is_none() {
            unlock(database).await?;
        }
        return Err(error).context("mongodb could not be locked");
    }
    // Whoever asked may be gone by now; then the input has ended too.
    drop(writeln!(io::stdout(), "{LOCKED}"));
    drop(spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await);
    let was_locked = unlock(database).await?;
    ensure!(
        was_locked,
        "somebody else unlocked mongodb, or it was started anew"
    );
    Ok(())
}

/// Gives the lock back. Returns whether there was one.
async fn unlock(database: &Database) -> anyhow::Result<bool> {
    let admin = database.client().database("admin");
    let mut failure = "no answer".to_owned();
    let tries = async {
        let mut backoff = Backoff::new(Duration::from_millis(100), 2, Duration::from_secs(5));
        loop {
            let asked = admin.run_command(doc! { "fsyncUnlock": 1 });
            match timeout(TRY_WITHIN, asked).await {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) if says(&error, NOT_LOCKED) => return false,
                Ok(Err(error)) => failure = error.to_string(),
                Err(late) => failure = late.to_string(),
            }
            sleep(backoff.next_delay()).await;
        }
    };
    let unlocked = timeout(UNLOCK_WITHIN, tries).await.ok();
    unlocked.with_context(|| {
        format!(
            "mongodb may still be locked, and store nothing: run db.fsyncUnlock() in mongosh, or start mongod \
             anew ({failure})"
        )
    })
}

/// Whether the server's answer has these words.
fn says(error: &MongoError, words: &str) -> bool {
    let answer = error.server_response();
    let message = answer.and_then(|answer| answer.get_str("errmsg").ok());
    message.is_some_and(|message| message.contains(words))
}
