use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::error::LogTail;
use crate::group::Group;
use crate::{Error, Result, console, options};

const PRINT_REST_WITHIN: Duration = Duration::from_secs(1);
const LOG_TAIL_LINES: usize = 12;
const LOG_TAIL_BYTES: usize = 8 * 1024;

/// Where a process's stdout and stderr go.
#[derive(Debug, Clone)]
pub enum Output {
    /// Appended to this file.
    File(PathBuf),
    /// To our stdout, each line prefixed with the service's name.
    Prefixed,
    /// Nowhere.
    Discarded,
}

/// What to run and how.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Name in messages and prefixes.
    pub name: String,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to our own environment.
    pub env: Vec<(String, String)>,
    /// Where it writes to.
    pub output: Output,
}

impl ServiceSpec {
    /// Describes `program` without arguments, its output prefixed.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            output: Output::Prefixed,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets options, each with its values; one that is there already is replaced.
    #[must_use]
    pub(crate) fn options<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self = self.args(args);
        self.args = options::once(self.args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets an environment variable that our own environment does not set.
    #[must_use]
    pub(crate) fn unless_set(self, key: &str, value: &str) -> Self {
        match std::env::var_os(key) {
            Some(_) => self,
            None => self.env(key, value),
        }
    }

    /// Sets where the process writes to.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }
}

/// One process in a group of its own; it dies with this value, and with us however we end.
#[derive(Debug)]
pub struct Service {
    spec: ServiceSpec,
    group: Option<Group>,
    printers: JoinSet<()>,
}

impl Service {
    /// Starts the process; does not wait for it to be ready.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the binary cannot be run, [`Error::Io`] when its log cannot be opened.
    pub fn start(spec: ServiceSpec) -> Result<Self> {
        let mut service = Self {
            spec,
            group: None,
            printers: JoinSet::new(),
        };
        service.spawn()?;
        Ok(service)
    }

    /// Kills the process if it runs and starts it again with the same arguments.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await;
        self.spawn()
    }

    /// The process id; `None` when it is known to have ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.group.as_ref().and_then(Group::pid)
    }

    /// What this process runs.
    #[must_use]
    pub fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// Waits for the process to end by itself; never returns when it was stopped before.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost when the future is dropped.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.group {
            Some(group) => group.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Kills the process and its children with SIGKILL and waits until they are gone.
    pub async fn kill(&mut self) -> Option<ExitStatus> {
        let mut group = self.group.take()?;
        let status = group.kill().await.ok();
        self.printed().await;
        status
    }

    /// Asks the process to end with SIGTERM; kills it when it has not within `grace`.
    ///
    /// Returns its status, which tells by the signal whether it had to be killed; `None` when it
    /// did not run.
    pub async fn term(&mut self, grace: Duration) -> Option<ExitStatus> {
        self.ask_to_end();
        let group = self.group.as_mut()?;
        // The status is remembered by the process handle, so `kill` returns the one of its end.
        drop(tokio::time::timeout(grace, group.wait()).await);
        self.kill().await
    }

    /// Stops the process where it is (SIGSTOP): it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Has the process read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGTERM without waiting.
    pub(crate) fn ask_to_end(&self) {
        if let Some(group) = &self.group {
            group.terminate();
        }
    }

    /// The last lines of its log, when it writes to a file.
    pub(crate) fn log_tail(&self) -> LogTail {
        match &self.spec.output {
            Output::File(path) => log_tail(path),
            Output::Prefixed | Output::Discarded => LogTail::default(),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = &self.group {
            group.signal_program(signal);
        }
    }

    fn spawn(&mut self) -> Result<()> {
        let spec = &self.spec;
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .envs(spec.env.iter().map(|(key, value)| (key, value)));
        let (out, err) = stdio(&spec.output)?;
        let mut group =
            Group::spawn(command.stdout(out).stderr(err)).map_err(|source| Error::Spawn {
                name: spec.name.clone(),
                program: spec.program.clone(),
                source,
            })?;
        let program = group.program();
        if let Some(out) = program.stdout.take() {
            self.printers.spawn(print_lines(spec.name.clone(), out));
        }
        if let Some(err) = program.stderr.take() {
            self.printers.spawn(print_lines(spec.name.clone(), err));
        }
        self.group = Some(group);
        Ok(())
    }

    /// Prints what an ended process has left in its pipes.
    async fn printed(&mut self) {
        let rest = async { while self.printers.join_next().await.is_some() {} };
        // A descendant that left the group may hold the pipe open for ever.
        if tokio::time::timeout(PRINT_REST_WITHIN, rest).await.is_err() {
            self.printers.abort_all();
        }
    }
}

fn stdio(output: &Output) -> Result<(Stdio, Stdio)> {
    let Output::File(path) = output else {
        return Ok(match output {
            Output::Prefixed => (Stdio::piped(), Stdio::piped()),
            Output::Discarded | Output::File(_) => (Stdio::null(), Stdio::null()),
        });
    };
    let failed = || Error::io(format!("open the log {}", path.display()));
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed())?;
    let copy = file.try_clone().map_err(failed())?;
    Ok((file.into(), copy.into()))
}

async fn print_lines(name: String, pipe: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        console::say(&name, String::from_utf8_lossy(&line).trim_end());
    }
}

fn log_tail(path: &Path) -> LogTail {
    let text = std::fs::read(path).unwrap_or_default();
    let end = text
        .get(text.len().saturating_sub(LOG_TAIL_BYTES)..)
        .unwrap_or_default();
    let end = String::from_utf8_lossy(end);
    let lines: Vec<String> = end.lines().map(ToOwned::to_owned).collect();
    LogTail(
        lines
            .split_at(lines.len().saturating_sub(LOG_TAIL_LINES))
            .1
            .to_vec(),
    )
}
