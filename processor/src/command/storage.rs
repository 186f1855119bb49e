//! `evp-processor storage`: the spans of events, and what is done with them by hand.
//!
//! What changes something is a dry run without `--yes`. Dropping goes the way that `storage.keep` goes:
//! the floor rises, stands, and spans are dropped when nothing that was accepted can be in them and
//! not be stored. A shorter way would let an event that is still on the stream be stored twice.

mod arguments;
mod drop;
mod seal;
mod show;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bson::doc;
use evp_shared::store::{Row, spans, whole};
use mongodb::Database;

use super::{Done, FAILED, open_database, run_to_end};
use crate::config::ProcessorConfig;
use crate::upkeep::housekeeper::disk::Disk;
use crate::upkeep::housekeeper::memory;
use crate::upkeep::housekeeper::waits::Waits;

pub use arguments::{Action, DropSpans, Storage};
use show::SpanFacts;

/// Exit code 0: done, or would be; 1: refused or failed.
pub fn main(config_file: Option<&Path>, storage: &Storage) -> ExitCode {
    run_to_end(config_file, FAILED, async |config| {
        run(config, &storage.action).await
    })
}

/// Does what is asked.
///
/// # Errors
/// It is refused, or MongoDB fails; repeating is harmless.
pub async fn run(config: &ProcessorConfig, action: &Action) -> anyhow::Result<Done> {
    let database = open_database(config).await?;
    let calendar = spans::stored_calendar(&database, Duration::ZERO).await?;
    let calendar = calendar.context("nothing was stored in this database yet")?;
    match action {
        Action::List { json } => list(config, &database, *json).await,
        Action::Seal { name, yes } => seal::seal(config, &database, name, *yes).await,
        Action::Drop(asked) => drop::drop_spans(config, &database, &calendar, asked).await,
    }
}

const fn complete(text: String) -> Done {
    Done {
        text,
        complete: true,
    }
}

async fn list(config: &ProcessorConfig, database: &Database, json: bool) -> anyhow::Result<Done> {
    let mut facts = Vec::new();
    for row in spans::rows(database, Duration::ZERO).await? {
        facts.push(facts_of(database, row).await?);
    }
    let outlook = show::Outlook {
        now_ms: memory::now_ms(database).await?,
        marks: spans::marks(database).await?,
        keep: config.storage.keep,
        waits: Waits::new(config.storage.hurry),
        disk: Disk::ask(database).await?,
    };
    let text = if json {
        serde_json::to_string_pretty(&outlook.as_json(&facts))?
    } else {
        outlook.as_text(&facts)
    };
    Ok(complete(text))
}

async fn facts_of(database: &Database, row: Row) -> anyhow::Result<SpanFacts> {
    let stats = database.run_command(doc! { "collStats": row.name() });
    // Of a collection that is missing it says that nothing is in it.
    let stats = stats.await.unwrap_or_default();
    let number = |name: &str| stats.get(name).and_then(whole).unwrap_or(0);
    Ok(SpanFacts {
        row,
        events: number("count"),
        bytes: number("storageSize") + number("totalIndexSize"),
    })
}
