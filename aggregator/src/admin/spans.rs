//! The spans of events, as the pipeline screen shows them.

use std::time::Duration;

use bson::{Document, doc};
use evp_shared::store::{Marks, Row, State, spans, whole};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mongodb::Database;
use mongodb::error::Error as MongoError;
use serde::Serialize;
use utoipa::ToSchema;

/// Spans that are told, the newest ones.
const SPANS_MAX: usize = 100;

/// Spans whose size is asked for at the same time.
const AT_ONCE: usize = 8;

evp_shared::choices! {
    /// What becomes of a span next.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Next {
        /// It has ended, and is sealed when it is quiet.
        Seal = "seal",
        /// It is below the floor, and is dropped when all that was accepted is stored.
        Drop = "drop",
    }
}

/// The spans and what MongoDB's disk has left.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StorageState {
    /// Unix ms: events with an earlier time in their id are refused; `None` while nothing ends.
    floor: Option<u64>,
    /// Unix ms: spans that end by then are dropped; `None` while nothing ends.
    gone: Option<u64>,
    /// Used permille of the disk; `None` where MongoDB does not tell.
    disk_used_permille: Option<u64>,
    /// How many there are.
    total: usize,
    /// The newest ones, newest first, those of undated events before them.
    spans: Vec<SpanState>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SpanState {
    name: String,
    /// `hot`, `sealed` or `undated`.
    state: &'static str,
    /// Unix ms; `None` for undated events.
    from: Option<u64>,
    /// Unix ms; `None` for undated events.
    to: Option<u64>,
    events: u64,
    /// With its indexes.
    bytes: u64,
    /// `seal`, `drop`, or `None`: it stays as it is.
    next: Option<&'static str>,
}

impl StorageState {
    pub(super) async fn read(
        database: &Database,
        now_ms: u64,
        limit: Duration,
    ) -> Result<Self, MongoError> {
        let rows = spans::rows(database, limit).await?;
        let marks = spans::marks_within(database, limit).await?;
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let stats = doc! { "dbStats": 1, "maxTimeMS": limit_ms };
        let stats = database.run_command(stats).await?;
        let number = |name: &str| whole(stats.get(name)?);
        let total_bytes = number("fsTotalSize").filter(|total| *total > 0);
        let used = number("fsUsedSize").zip(total_bytes);
        let total = rows.len();
        let newest = rows.into_iter().rev().take(SPANS_MAX);
        let size = |row: &Row| doc! { "collStats": row.name(), "maxTimeMS": limit_ms };
        let asked = newest.map(|row| async move {
            let stats = database.run_command(size(&row)).await?;
            Ok::<_, MongoError>(SpanState::of(&row, &stats, marks, now_ms))
        });
        let mark = |ms| (ms > 0).then_some(ms);
        Ok(Self {
            floor: mark(marks.floor_ms),
            gone: mark(marks.gone_ms),
            disk_used_permille: used.map(|(used, total)| used.saturating_mul(1_000) / total),
            total,
            spans: stream::iter(asked).buffered(AT_ONCE).try_collect().await?,
        })
    }
}

impl SpanState {
    /// The span of `row`, whose size is in `stats`.
    fn of(row: &Row, stats: &Document, marks: Marks, now_ms: u64) -> Self {
        let number = |name: &str| stats.get(name).and_then(whole).unwrap_or(0);
        let range = row.span.range_ms();
        let (from, to) = range.map(|range| (range.start, range.end)).unzip();
        let ends_by = |ms| to.is_some_and(|to| to <= ms);
        let next = if ends_by(marks.floor_ms) {
            Some(Next::Drop)
        } else {
            (row.state == State::Hot && ends_by(now_ms)).then_some(Next::Seal)
        };
        Self {
            name: row.name(),
            state: row.state.as_str(),
            from,
            to,
            events: number("count"),
            bytes: number("storageSize") + number("totalIndexSize"),
            next: next.map(Next::as_str),
        }
    }
}
