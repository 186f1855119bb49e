//! What the scenarios do to the servers by hand.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use evp_devstack::ScratchDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Runs one command on the Redis at `port`, over a connection of its own, and returns the first
/// line of the answer without its sign.
///
/// # Errors
/// No answer, or an error.
pub(crate) async fn redis_command(port: u16, command: &str) -> Result<String> {
    let ask = async {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        let request = format!("{command}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.starts_with('$') {
            line.clear();
            stream.read_line(&mut line).await?;
            return Ok(line.trim().to_owned());
        }
        ensure!(!line.starts_with('-'), "{command}: {line}");
        Ok(line.trim().trim_start_matches(['+', ':']).to_owned())
    };
    tokio::time::timeout(ANSWER_WITHIN, ask)
        .await
        .with_context(|| format!("{command}: no answer"))?
}

/// Cuts `bytes` off the end of the newest append-only file below `dir`, as a machine that loses
/// its power does. Returns how many were cut.
///
/// # Errors
/// There is none.
pub(crate) fn cut_append_only_file(dir: &Path, bytes: u64) -> Result<u64> {
    let folder = dir.join("appendonlydir");
    let mut logs: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .collect();
    // By number: one is made anew with every rewrite.
    logs.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let newest = logs.last().context("no append-only file")?;
    let length = newest.metadata()?.len();
    let cut = bytes.min(length);
    std::fs::File::options()
        .write(true)
        .open(newest)?
        .set_len(length - cut)?;
    Ok(cut)
}

/// A file system of a few MB in memory, for a disk that is full; gone when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    scratch: ScratchDir,
}

impl SmallDisk {
    /// Mounts it.
    ///
    /// # Errors
    /// It is not allowed here; with the words of `mount`.
    pub(crate) fn mount(megabytes: u32) -> Result<Self> {
        let scratch = ScratchDir::new()?;
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(scratch.path())
            .output()?;
        if !mounted.status.success() {
            let words = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
            bail!("a tmpfs cannot be mounted here: {words}");
        }
        Ok(Self { scratch })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Takes all room but `megabytes`.
    ///
    /// # Errors
    /// It cannot be written to.
    pub(crate) fn fill_but(&self, megabytes: u64) -> Result<()> {
        let room = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(self.path())
            .output()?;
        let room = String::from_utf8_lossy(&room.stdout);
        let room: u64 = room.lines().last().unwrap_or_default().trim().parse()?;
        let take = room.saturating_sub(megabytes << 20);
        match std::fs::write(self.ballast(), vec![0; usize::try_from(take)?]) {
            // A server has taken of it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            written => Ok(written?),
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// It had not been taken.
    pub(crate) fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Servers that still hold files in it are killed elsewhere; it goes when they are gone.
        Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .output()
            .ok();
    }
}
