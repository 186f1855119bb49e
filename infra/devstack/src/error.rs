use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a server could not be found, started or reached; the text says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No binary, and no way to get one on this machine.
    #[error("{program} was not found: {fix}")]
    NotFound { program: String, fix: String },
    /// A download or an installation failed.
    #[error("could not get {what}: {reason}")]
    Fetch { what: String, reason: String },
    /// A download is not the file that was asked for. It is not kept.
    #[error("{file} has sha256 {found}, expected {expected}")]
    Checksum {
        file: String,
        expected: &'static str,
        found: String,
    },
    /// Someone else listens on a port that was asked for.
    #[error("port {port} for {name} is taken: {fix}")]
    PortTaken {
        name: String,
        port: u16,
        fix: String,
    },
    /// The process could not be started at all.
    #[error("could not start {name} ({})", program.display())]
    Spawn {
        name: String,
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The process ended before it answered.
    #[error("{name} ended with {status} before it was ready{log}")]
    Exited {
        name: String,
        status: ExitStatus,
        log: LogTail,
    },
    /// The process runs, but did not answer in time.
    #[error("{name} did not answer within {} s{log}", waited.as_secs())]
    NotReady {
        name: String,
        waited: Duration,
        log: LogTail,
    },
    /// Options or variables that make no sense.
    #[error("{0}")]
    Usage(String),
    /// `make run` is running already with this data directory.
    #[error("EVP is already running with the data in {} (evp-devstack has pid {pid}): use it, or stop it with Ctrl-C where it was started", data.display())]
    AlreadyRunning { data: PathBuf, pid: String },
    /// One or more ports of `make run` are taken; the text lists them all.
    #[error("{0}")]
    PortsTaken(String),
    /// A service ended saying that its configuration is wrong.
    #[error("{name} ended with {status}: its configuration is wrong, its own message is above")]
    Misconfigured { name: String, status: ExitStatus },
    /// The keys or the link of `AUTH=keys make run` could not be made.
    #[error("evp-aggregator access: {reason}")]
    Access { reason: String },
    /// Loading the demonstration data failed.
    #[error("demo data: {0}")]
    DemoData(String),
    /// The stream of demonstration events cannot go on.
    #[error("demo: {0}")]
    Demo(String),
    /// An administrative command to mongod failed.
    #[error("mongod refused {command}: {reason}")]
    Command { command: String, reason: String },
    /// A file or directory of devstack's own could not be used.
    #[error("could not {action}")]
    Io {
        action: String,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Exit code of the binary: 64 when the user has to change something, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. }
            | Self::PortTaken { .. }
            | Self::PortsTaken(_)
            | Self::Usage(_)
            | Self::AlreadyRunning { .. }
            | Self::Misconfigured { .. } => 64,
            Self::Fetch { .. }
            | Self::Checksum { .. }
            | Self::Spawn { .. }
            | Self::Exited { .. }
            | Self::NotReady { .. }
            | Self::Access { .. }
            | Self::DemoData(_)
            | Self::Demo(_)
            | Self::Command { .. }
            | Self::Io { .. } => 1,
        }
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// Someone took the port between finding it free and the server's binding it.
    pub(crate) fn is_port_race(&self) -> bool {
        matches!(self, Self::Exited { log, .. }
            if log.0.iter().any(|line| line.to_lowercase().contains("address already in use")))
    }

    pub(crate) fn fetch(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Fetch {
            what: what.into(),
            reason: reason.into(),
        }
    }
}

/// Last lines a process wrote, shown under the error; empty when it wrote none.
#[derive(Debug, Clone, Default)]
pub struct LogTail(pub(crate) Vec<String>);

impl std::fmt::Display for LogTail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(formatter, "; it wrote:")?;
        self.0
            .iter()
            .try_for_each(|line| write!(formatter, "\n    {line}"))
    }
}

/// An error and its causes on one line, for where only text can be kept.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
