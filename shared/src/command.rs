//! What the tools for those who run EVP have in common: run, print, exit.

mod healthcheck;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use crate::config::{EXIT_CODE, Source};
use crate::service::{ServiceConfig, install_tls, leave};

pub use healthcheck::healthcheck;

/// What a command found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What to print.
    pub text: String,
    /// Whether everything asked for was done, and is well.
    pub complete: bool,
}

/// Exit code of a command that failed, where nothing else is said of it.
pub const FAILED: u8 = 1;

/// Runs a command of the program `name` to its end and prints its answer. Exit code 0: complete; 1:
/// not; `failed`: it could not be done, or not be printed; 64: it cannot run as configured.
pub fn run_to_end<C: ServiceConfig, E: Display + From<std::io::Error>>(
    name: &str,
    config_file: Option<&Path>,
    failed: u8,
    command: impl AsyncFnOnce(&C) -> Result<Done, E>,
) -> ExitCode {
    let complain = |error: &dyn Display, code: u8| {
        // Nothing is left to say it with when stderr is closed.
        drop(writeln!(std::io::stderr(), "{name}: {error:#}"));
        ExitCode::from(code)
    };
    let config = Source::load(config_file).and_then(|mut source| {
        let config = C::read(&mut source);
        source.finish(config)
    });
    let config = match config {
        Ok(config) => config,
        Err(problems) => return complain(&problems, EXIT_CODE),
    };
    install_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = runtime.map_err(E::from).and_then(|runtime| {
        let done = runtime.block_on(command(&config));
        leave(runtime);
        let done = done?;
        writeln!(std::io::stdout(), "{}", done.text)?;
        Ok(done)
    });
    match done {
        Ok(Done { complete: true, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => complain(&error, failed),
    }
}

/// Unix ms as RFC 3339.
pub fn show_time(ms: u64) -> String {
    let time = i64::try_from(ms).map(Timestamp::from_millisecond);
    match time {
        Ok(Ok(time)) => time.to_string(),
        _ => ms.to_string(),
    }
}

/// Columns padded to their widest cell; the first row is the head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            table(&[row(["a", "b"]), row(["long", "c"])]),
            "a     b\nlong  c"
        );
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(show_time(1_000), "1970-01-01T00:00:01Z");
        assert_eq!(show_time(u64::MAX), u64::MAX.to_string());
    }
}
