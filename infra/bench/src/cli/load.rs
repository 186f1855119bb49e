//! Options that change the load of a row.

use clap::Args;

use crate::load::{Encoding, Format, IdKind, Pace, Shape};
use crate::row::Row;

/// Changes to the load of a row.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// Events per second, open loop
    #[arg(long)]
    pub(super) rate: Option<f64>,
    /// Events per request
    #[arg(long, value_name = "N")]
    events: Option<u16>,
    /// Connections
    #[arg(long, value_name = "N")]
    connections: Option<u16>,
    /// What an event looks like
    #[arg(long)]
    shape: Option<Shape>,
    /// How events are joined to a body
    #[arg(long)]
    format: Option<Format>,
    /// How bodies are compressed
    #[arg(long)]
    encoding: Option<Encoding>,
    /// Who makes the ids
    #[arg(long)]
    ids: Option<IdKind>,
    /// Share of duplicates, 0 to 0.9
    #[arg(long)]
    duplicates: Option<f64>,
    /// Sends duplicates as whole requests
    #[arg(long)]
    retried: bool,
    /// Number of event types
    #[arg(long)]
    types: Option<u16>,
    /// Tenants, each with a key that requests carry; 0 is open mode
    #[arg(long, value_name = "N")]
    tenants: Option<u16>,
    /// Asks for answers without ids
    #[arg(long)]
    no_ids: bool,
}

impl LoadArgs {
    pub(super) fn change(&self, row: &mut Row) {
        fn set<T: Copy>(field: &mut T, wanted: Option<T>) {
            *field = wanted.unwrap_or(*field);
        }
        set(&mut row.layout.tenants, self.tenants);
        let load = &mut row.load;
        set(&mut load.pace, self.rate.map(Pace::Open));
        set(&mut load.request_events, self.events);
        set(&mut load.connections, self.connections);
        set(&mut load.shape, self.shape);
        set(&mut load.encoding, self.encoding);
        set(&mut load.ids, self.ids);
        set(&mut load.duplicates, self.duplicates);
        load.retried |= self.retried;
        set(&mut load.types, self.types);
        let many = self.events.map(|events| match events {
            1 => Format::Object,
            _ => Format::Array,
        });
        set(&mut load.format, self.format.or(many));
        load.answers_list_ids &= !self.no_ids;
    }
}
