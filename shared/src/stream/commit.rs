//! Committing: acknowledge entries, settle frames and drop what leaves the kept window, in one
//! script, so that Redis remembers or forgets all of it together.

use std::collections::BTreeMap;
use std::time::Duration;

use fred::prelude::Value;

use super::{COMMIT, EntryId, Life, Stream, StreamError, reply};
use crate::counters::{CountRow, TYPES_MAX, TypeCaps};
use crate::frame::FrameId;
use crate::keys::GROUP;

/// Frames per block of settled bits (8 KiB).
pub const BLOCK_FRAMES: u32 = 65_536;

/// Most entries one call may acknowledge. Source: 1,000 ids take the script 1.35 ms of Redis'
/// only thread (reliability notes), and `unpack` fails at 8,000.
pub const ENTRIES_MAX: usize = 1_000;

/// Most counter cells one call may change; each row of a receipt is four. Source: 400,000 of them,
/// by HINCRBY, blocked Redis for 2.3 s.
pub const CELLS_MAX: usize = 5_000;

/// Counter cells per row of a receipt: second, minute, hour, all time.
pub const CELLS_PER_ROW: usize = 4;

/// An entry to acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryAck {
    /// Which entry.
    pub id: EntryId,
    /// Events it took from the backlog.
    pub events: u32,
    /// Bytes (uncompressed) it took from the backlog.
    pub bytes: u32,
    /// Bytes it takes on the stream while it is kept.
    pub stored_bytes: u32,
}

/// A frame whose receipt exists, to be counted unless it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Which frame.
    pub frame: FrameId,
    /// Unix ms at which its receipt was written.
    pub receipt_at_ms: u64,
    /// New events per tenant and type.
    pub counts: Vec<CountRow>,
    /// Duplicates in it.
    pub duplicates: u32,
    /// Dead letters in it.
    pub dead_letters: u32,
    /// Expired events in it: their time had ended before they were stored.
    pub expired: u32,
}

/// Which acknowledged entries stay on the stream for live readers.
#[derive(Debug, Clone, Copy)]
pub struct KeptWindow {
    /// For how long.
    pub age: Duration,
    /// How many bytes at most.
    pub bytes: u64,
    /// Memory is short: none stay.
    pub none: bool,
}

/// One commit. Without entries and frames it is a *tick*: it drops what leaves the kept window
/// and checks the backlog's totals.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// The life that was known before the entries were read.
    pub life: Life,
    /// Entries to acknowledge, at most [`ENTRIES_MAX`].
    pub entries: &'a [EntryAck],
    /// Frames to settle, all of this partition, of at most [`CELLS_MAX`] cells.
    pub settles: &'a [Settle],
    /// What stays on the stream.
    pub kept: KeptWindow,
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Entries that were pending until now.
    pub acknowledged: u64,
    /// Frames whose bit was 0 until now.
    pub settled: u64,
    /// Events added to the counters.
    pub counted: u64,
    /// Duplicates in the frames settled.
    pub duplicates: u64,
    /// Dead letters in the frames settled.
    pub dead_letters: u64,
    /// Expired events in the frames settled.
    pub expired: u64,
    /// Frames not counted because their receipt is older than a day: left to `verify`.
    pub left_to_verify: u64,
    /// Entries that left the kept window.
    pub dropped: u64,
    /// Events of a backlog that turned out not to be there (ticks only).
    pub lost_events: i64,
    /// Events appended and not acknowledged.
    pub backlog_events: i64,
    /// Their bytes.
    pub backlog_bytes: i64,
    /// What failed midway: counters need `verify`.
    pub failures: Vec<String>,
}

impl Stream {
    /// Commits on `partition`.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless. After [`StreamError::NewLife`] what was read
    /// before is to be dropped: it is pending and comes again.
    pub async fn commit(
        &self,
        partition: u16,
        commit: &Commit<'_>,
    ) -> Result<Committed, StreamError> {
        let names = self.keys(partition)?;
        let keys = vec![
            names.life.clone(),
            names.events.clone(),
            names.totals.clone(),
            names.kept.clone(),
            names.never.clone(),
            names.count_total.clone(),
        ];
        let args = arguments(&names.base, commit, &self.caps);
        let reply = self.run(&COMMIT, keys, args).await?;
        parse(reply)
    }
}

fn arguments(base: &str, commit: &Commit<'_>, caps: &TypeCaps) -> Vec<Value> {
    let rows: usize = commit
        .settles
        .iter()
        .map(|settle| settle.counts.len())
        .sum();
    let caps = caps_of(commit.settles, caps);
    let most = 10 + caps.len() * 2 + commit.entries.len() * 4 + commit.settles.len() * 9 + rows * 3;
    let mut args: Vec<Value> = Vec::with_capacity(most);
    args.push(commit.life.0.to_string().into());
    args.push(GROUP.into());
    args.push(base.into());
    args.push(commit.kept.age.as_millis().to_string().into());
    args.push(commit.kept.bytes.to_string().into());
    args.push(if commit.kept.none { "1" } else { "0" }.into());
    args.push(TYPES_MAX.to_string().into());
    args.push(commit.entries.len().to_string().into());
    args.push(commit.settles.len().to_string().into());
    args.push(caps.len().to_string().into());
    for (tenant, cap) in caps {
        args.push(tenant.into());
        args.push(cap.to_string().into());
    }
    for entry in commit.entries {
        args.push(entry.id.to_string().into());
        args.push(entry.events.to_string().into());
        args.push(entry.bytes.to_string().into());
        args.push(entry.stored_bytes.to_string().into());
    }
    for settle in commit.settles {
        let number = settle.frame.number();
        args.push(settle.frame.producer().to_string().into());
        args.push((number / BLOCK_FRAMES).to_string().into());
        args.push((number % BLOCK_FRAMES).to_string().into());
        args.push(settle.frame.second().to_string().into());
        args.push(settle.receipt_at_ms.to_string().into());
        args.push(settle.duplicates.to_string().into());
        args.push(settle.dead_letters.to_string().into());
        args.push(settle.expired.to_string().into());
        args.push(settle.counts.len().to_string().into());
        for row in &settle.counts {
            args.push((&*row.tenant).into());
            args.push((&*row.event_type).into());
            args.push(row.count.to_string().into());
        }
    }
    args
}

/// The caps of the tenants in `settles` that differ from what the script is told of all.
fn caps_of<'s>(settles: &'s [Settle], caps: &TypeCaps) -> BTreeMap<&'s str, u32> {
    let mut found = BTreeMap::new();
    let mut last = None;
    for row in settles.iter().flat_map(|settle| &settle.counts) {
        // Rows of a tenant mostly follow each other.
        let tenant = &*row.tenant;
        if last.replace(tenant) != Some(tenant) {
            found.entry(tenant).or_insert_with(|| caps.of(tenant));
        }
    }
    found.retain(|_, cap| *cap != TYPES_MAX);
    found
}

fn parse(reply: Vec<Value>) -> Result<Committed, StreamError> {
    let mut values = reply.into_iter();
    reply::written(&mut values)?;
    Ok(Committed {
        acknowledged: reply::parse(&mut values)?,
        settled: reply::parse(&mut values)?,
        counted: reply::parse(&mut values)?,
        duplicates: reply::parse(&mut values)?,
        dead_letters: reply::parse(&mut values)?,
        expired: reply::parse(&mut values)?,
        left_to_verify: reply::parse(&mut values)?,
        dropped: reply::parse(&mut values)?,
        lost_events: reply::parse(&mut values)?,
        backlog_events: reply::parse(&mut values)?,
        backlog_bytes: reply::parse(&mut values)?,
        failures: values.filter_map(|value| value.into_string()).collect(),
    })
}
