//! The commands that measure reading.

use std::time::Duration;

use clap::Args;

use super::servers::ServerArgs;
use crate::reading::queries::QueryPlan;
use crate::reading::streams::StreamPlan;

#[derive(Debug, Args)]
pub(super) struct Queries {
    /// Events there are
    #[arg(long, default_value_t = 10_000_000)]
    documents: u64,
    /// Days that they are of
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=30))]
    days: u16,
    /// Seals the spans of these days first
    #[arg(long)]
    sealed: bool,
    /// Queries of each shape
    #[arg(long, value_name = "N", default_value_t = 500)]
    repeat: usize,
    #[command(flatten)]
    pub(super) servers: ServerArgs,
}

impl Queries {
    pub(super) const fn plan(&self) -> QueryPlan {
        QueryPlan {
            documents: self.documents,
            days: self.days,
            is_sealed: self.sealed,
            repeats: self.repeat,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Streams {
    /// Clients
    #[arg(long, default_value_t = 2_000)]
    clients: usize,
    /// How many of them read nothing
    #[arg(long, default_value_t = 50)]
    stalled: usize,
    /// Events per second each asks for at most
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Events per second that are sent meanwhile
    #[arg(long, default_value_t = 5_000.0)]
    load: f64,
    /// Seconds measured, once without the clients and once with them
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    #[command(flatten)]
    pub(super) servers: ServerArgs,
}

impl Streams {
    pub(super) fn plan(&self) -> StreamPlan {
        StreamPlan {
            clients: self.clients,
            stalled: self.stalled.min(self.clients),
            rate: self.rate,
            load: self.load,
            measured: Duration::from_secs(self.seconds),
        }
    }
}
