//! `evp-processor inspect ENTRY-ID`: a binary format owes its user a reader.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use bson::{Bson, Document, RawDocument};
use clap::Args;
use evp_shared::counters::CountRow;
use evp_shared::stream::{Entry, EntryId};
use serde_json::{Value, json};

use super::{Done, FAILED, open_stream, run_to_end};

/// Which entry to print.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Id of the entry, such as 1700000000000-0
    entry: EntryId,
    /// Partition whose stream holds it
    #[arg(long, default_value_t = 0)]
    partition: u16,
}

/// Prints the entry as JSON; exit code 1 when it is not there or is poison.
pub fn main(config_file: Option<&Path>, inspect: &Inspect) -> ExitCode {
    let Inspect { entry, partition } = *inspect;
    run_to_end(config_file, FAILED, async |config| {
        let stream = open_stream(config).await?;
        let found = stream.entry(partition, entry).await?;
        let found = found.with_context(|| {
            format!(
                "partition {partition} has no entry {entry}: it was committed and has left the \
                 kept window, or it is on another partition (--partition)"
            )
        })?;
        Ok(Done {
            text: serde_json::to_string_pretty(&describe(&found)?)?,
            complete: true,
        })
    })
}

/// The entry as JSON: header, then events in MongoDB's extended JSON.
///
/// # Errors
/// What makes the entry poison.
pub fn describe(entry: &Entry) -> anyhow::Result<Value> {
    let raw = entry.frame.as_ref().context("the entry has no fields")?;
    let frame = raw.open()?;
    let header = &frame.header;
    let count = |row: &CountRow| {
        let (tenant, kind) = (&row.tenant, &row.event_type);
        json!({ "tenant": tenant, "type": kind, "count": row.count })
    };
    let event = |document| -> anyhow::Result<Value> {
        let document = Document::try_from(RawDocument::from_bytes(document)?)?;
        Ok(Bson::Document(document).into_relaxed_extjson())
    };
    Ok(json!({
        "entry": entry.id.to_string(),
        "partition": entry.partition,
        "frame": header.id.to_string(),
        "producer": header.id.producer().to_string(),
        "number": header.id.number(),
        "receivedAtMs": header.received_at_ms,
        "codec": header.codec.as_str(),
        "fingerprint": format!("{:08x}", header.fingerprint),
        "bytes": frame.documents.len(),
        "storedBytes": entry.stored_bytes(),
        "counts": header.counts.iter().map(count).collect::<Value>(),
        "events": frame.iter().map(event).collect::<anyhow::Result<Value>>()?,
    }))
}
