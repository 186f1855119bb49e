//! The command line of `storage`.

use clap::{Args, Subcommand};

use crate::command::parse_time;

/// What to do with the spans.
#[derive(Debug, Clone, Args)]
pub struct Storage {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Print the spans: state, size, and what goes next
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Build the exact indexes of a span that has ended, without waiting for a quiet hour
    Seal {
        /// Its name, such as `events_20261129`
        name: String,
        /// Do it; without this, say what would be done
        #[arg(long)]
        yes: bool,
    },
    /// Let the events of the oldest span, or all before a time, end
    Drop(DropSpans),
}

/// What to drop.
#[derive(Debug, Clone, Args)]
pub struct DropSpans {
    /// The name of the oldest span
    #[arg(required_unless_present = "before", conflicts_with = "before")]
    pub name: Option<String>,
    /// All spans that end by this time: 2026-01-31T00:00:00Z, or 720h for as long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub before: Option<u64>,
    /// Do it; without this, say what would be done
    #[arg(long)]
    pub yes: bool,
}
