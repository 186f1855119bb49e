//! What the pages under docs/ list is what the code has.
#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot go on is a failure"
)]

mod alerts;
mod configuration;
mod dashboards;
mod metrics;
mod pointers;
mod rooms;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}
