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
