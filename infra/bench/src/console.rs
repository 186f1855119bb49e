//! Text for the person at the terminal.

use std::io::Write as _;

/// Writes text to stdout as it is. A closed stdout is no reason to end a measurement.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}");
    drop(written.and_then(|()| out.flush()));
}
