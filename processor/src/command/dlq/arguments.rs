//! The command line of `dlq`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Subcommand};
use evp_shared::config::Value as _;
use evp_shared::dead_letters::{Filter, LIMIT_MAX, Wanted};
use evp_shared::outcome::DeadReason;

use crate::command::parse_time;

/// What to do with the dead letters.
#[derive(Debug, Clone, Args)]
pub struct Dlq {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Print the newest dead letters, one per line
    List(List),
    /// Print dead letters whole, as JSON
    Show(List),
    /// Put dead letters onto the stream again, and delete those that are through
    Replay(ReplayLetters),
    /// Delete dead letters
    Purge(Purge),
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Why they are dead: undecodable, `refused_by_store` or `id_collision`
    #[arg(long, value_parser = DeadReason::parse)]
    pub reason: Option<DeadReason>,
    /// Whose events
    #[arg(long)]
    pub tenant: Option<String>,
    /// Their type
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// The partition they came on
    #[arg(long, value_name = "P")]
    pub partition: Option<u16>,
    /// Dead since this time or later: 2026-01-31T12:00:00Z, or 36h for as long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from: Option<u64>,
    /// Dead before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to: Option<u64>,
    /// A canonical id, or an id as list prints it
    #[arg(long)]
    pub id: Option<Wanted>,
}

impl Which {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            reason: self.reason,
            tenant: self.tenant.clone(),
            event_type: self.event_type.clone(),
            partition: self.partition,
            from_ms: self.from,
            to_ms: self.to,
            id: self.id.clone(),
            ids: Vec::new(),
            below: None,
        }
    }
}

/// What to print.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub limit: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is meant, and whether it is only counted.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// How many at most
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    pub limit: u64,
    /// Say how many it would be, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What to replay.
#[derive(Debug, Clone, Args)]
pub struct ReplayLetters {
    /// Which
    #[command(flatten)]
    pub selection: Selection,
    /// Events per second at most
    #[arg(long, default_value = "1000")]
    pub rate: NonZeroU32,
    /// How long to wait for the processor to be done with what was appended
    #[arg(long, default_value = "30s", value_parser = Duration::parse)]
    pub wait: Duration,
}

/// What to delete.
#[derive(Debug, Clone, Args)]
pub struct Purge {
    /// Which
    #[command(flatten)]
    pub selection: Selection,
    /// Purge without any filter
    #[arg(long)]
    pub all: bool,
}
