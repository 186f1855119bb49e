use std::io::Write as _;

/// Writes one line to stdout for the person at the terminal, prefixed with who speaks.
///
/// A closed stdout (`evp-devstack run | head`) is no reason to end the servers.
pub(crate) fn say(who: &str, line: &str) {
    print(&format!("{who:>10} | {line}"));
}

/// Writes text to stdout as it is.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}");
    drop(written.and_then(|()| out.flush()));
}
