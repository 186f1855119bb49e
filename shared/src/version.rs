//! What was built.

use std::sync::LazyLock;

/// The version of all crates.
pub const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// The commit, as whoever built it said by `EVP_COMMIT`.
pub const COMMIT: &str = match option_env!("EVP_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Both, as `--version` shows them.
pub fn full() -> &'static str {
    static FULL: LazyLock<String> = LazyLock::new(|| format!("{NUMBER} ({COMMIT})"));
    &FULL
}
