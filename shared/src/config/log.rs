//! `[log]`

use tracing_subscriber::EnvFilter;

use super::value::{Value, wrong};

crate::config_section! {
    /// How the service logs.
    pub struct LogConfig in "log" {
        /// `json` writes one object per line for machines; `pretty` writes text for people.
        format: LogFormat = "json";
        /// Level, or levels by module: `info,evp_ingest=debug`. From `debug` on there is a line per
        /// batch, which costs CPU; below `warn` degraded states go unseen.
        level: LogLevel = "info" => reloads;
    }
}

crate::choices! {
    /// How log lines look.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LogFormat {
        /// One JSON object per line.
        Json = "json",
        /// Text for people.
        Pretty = "pretty",
    }
}

/// A filter that `tracing_subscriber::EnvFilter` accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogLevel {
    const KIND: &'static str = "log filter";

    fn parse(text: &str) -> Result<Self, String> {
        let like = "error, warn, info, debug or trace, or a list such as info,evp_ingest=debug";
        EnvFilter::try_new(text).map_err(|_| wrong(text, like))?;
        Ok(Self(text.to_owned()))
    }
}
