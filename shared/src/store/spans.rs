//! Spans in MongoDB: the calendar of a database, the rows of its spans ([`Row`]), and the two
//! marks below which events end.
//!
//! # Shape
//! All in [`META`], written with majority and journal, read with majority:
//! - `{_id: "layout", v: 2, birth: <date>, unit: "day"}`, written once;
//! - a row per span;
//! - `{_id: "marks", floor: <date>, gone: <date>}`, which only rise.

use std::time::Duration;

use bson::{Bson, Document, Uuid, doc};
use futures::TryStreamExt as _;
use mongodb::error::Error as MongoError;
use mongodb::options::{
    Acknowledgment, CollectionOptions, ReadConcern, ReturnDocument, WriteConcern,
};
use mongodb::{Collection, Database};
use tracing::warn;

use super::index::{Index, SpanIndex, State};
use super::row::{DAYS_MAX, Outside, Row, date};
use super::{META, StoreError, code_of, create_collection};
use crate::choice::Choice as _;
use crate::event::span::{Calendar, SPANS, Span, SpanUnit};

/// Version of how events lie in the database. Raised with every change that needs a migration.
const LAYOUT: i32 = 2;
const LAYOUT_ID: &str = "layout";
const MARKS_ID: &str = "marks";
/// The collection of the layout before spans.
const EVENTS_BEFORE: &str = "events";
/// MongoDB's code for a command that names a `collectionUUID` which is not the collection's.
pub const ANOTHER_COLLECTION: i32 = 361;

/// The two times below which events end, Unix ms; 0 for none. They only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Ids below it are not taken any more.
    pub floor_ms: u64,
    /// Spans that end at or before it are dropped or about to be: nothing is inserted below it.
    pub gone_ms: u64,
}

impl Marks {
    fn parse(document: &Document) -> Self {
        let ms = |field| {
            let at = document.get_datetime(field).ok();
            at.and_then(|at| u64::try_from(at.timestamp_millis()).ok())
        };
        Self {
            floor_ms: ms("floor").unwrap_or(0),
            gone_ms: ms("gone").unwrap_or(0),
        }
    }

    /// Whether nothing is inserted into `span` any more.
    pub fn is_gone(&self, span: &Span) -> bool {
        span.range_ms()
            .is_some_and(|range| range.end <= self.gone_ms)
    }
}

/// [`META`], as all of it is read and written.
pub fn meta(database: &Database) -> Collection<Document> {
    let durable = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    let options = CollectionOptions::builder()
        .write_concern(durable)
        .read_concern(ReadConcern::majority())
        .build();
    database.collection_with_options(META, options)
}

/// The calendar of `database`, which the first service to come fixes with `unit`.
///
/// # Errors
/// [`StoreError::Layout`] and [`StoreError::Unit`]: it is another one's; else [`StoreError::Mongo`].
pub async fn claim_calendar(database: &Database, unit: SpanUnit) -> Result<Calendar, StoreError> {
    let calendar = match checked_calendar(database).await? {
        Some(calendar) => calendar,
        None => bear(database, unit).await?,
    };
    if calendar.unit == unit {
        Ok(calendar)
    } else {
        let (stored, own) = (calendar.unit, unit);
        Err(StoreError::Unit { stored, own })
    }
}

/// The calendar of `database`; `None` where nothing was stored yet. MongoDB may work on the answer for
/// `limit`; zero is no limit.
///
/// # Errors
/// [`StoreError::Layout`] where an earlier or a later EVP stored; else [`StoreError::Mongo`].
pub async fn stored_calendar(
    database: &Database,
    limit: Duration,
) -> Result<Option<Calendar>, StoreError> {
    let meta = meta(database);
    let find = meta.find_one(doc! { "_id": LAYOUT_ID });
    let found = find.max_time(limit).await?;
    found.as_ref().map(calendar_in).transpose()
}

fn calendar_in(layout: &Document) -> Result<Calendar, StoreError> {
    let found = || StoreError::Layout {
        found: layout.to_string(),
    };
    if layout.get_i32("v").ok() != Some(LAYOUT) {
        return Err(found());
    }
    let birth = layout.get_datetime("birth").map_err(|_| found())?;
    let unit = layout.get_str("unit").ok().and_then(SpanUnit::named);
    Ok(Calendar {
        birth_ms: u64::try_from(birth.timestamp_millis()).map_err(|_| found())?,
        unit: unit.ok_or_else(found)?,
    })
}

/// As [`stored_calendar`], and refuses a database that holds events without one.
///
/// # Errors
/// As for [`stored_calendar`].
pub async fn checked_calendar(database: &Database) -> Result<Option<Calendar>, StoreError> {
    if let Some(calendar) = stored_calendar(database, Duration::ZERO).await? {
        return Ok(Some(calendar));
    }
    let names = database.list_collection_names().await?;
    let is_of_events = |name: &String| *name == EVENTS_BEFORE || name.starts_with(SPANS.0);
    let Some(name) = names.into_iter().find(is_of_events) else {
        return Ok(None);
    };
    // Another one may have been faster.
    let stored = stored_calendar(database, Duration::ZERO).await?;
    let found = format!("a collection {name} without a layout");
    stored.map(Some).ok_or(StoreError::Layout { found })
}

/// Fixes the calendar of a database that holds no events.
async fn bear(database: &Database, unit: SpanUnit) -> Result<Calendar, StoreError> {
    let or = |field: &str, value: Bson| doc! { "$ifNull": [format!("${field}"), value] };
    let month: Bson = doc! { "$dateTrunc": { "date": "$$NOW", "unit": "month" } }.into();
    let once = doc! { "$set": {
        "v": or("v", LAYOUT.into()),
        "birth": or("birth", month),
        "unit": or("unit", unit.as_str().into()),
    } };
    let meta = meta(database);
    let update = meta.find_one_and_update(doc! { "_id": LAYOUT_ID }, vec![once]);
    update.upsert(true).await?;
    let stored = stored_calendar(database, Duration::ZERO).await?;
    stored.ok_or(StoreError::Layout {
        found: "no layout, though one was written".to_owned(),
    })
}

/// All rows, by time, undated last. MongoDB may work on the answer for `limit`; zero is no limit.
///
/// # Errors
/// MongoDB's.
pub async fn rows(database: &Database, limit: Duration) -> Result<Vec<Row>, MongoError> {
    let of_spans = doc! { "_id": { "$gte": SPANS.0, "$lt": SPANS.1 } };
    let meta = meta(database);
    let found = meta.find(of_spans).max_time(limit).await?;
    let mut rows: Vec<Row> = found
        .try_filter_map(|document| async move {
            let row = Row::parse(&document);
            if row.is_none() {
                warn!(%document, "the row of a span cannot be read: it is left out");
            }
            Ok(row)
        })
        .try_collect()
        .await?;
    rows.sort_unstable_by_key(|row| row.span);
    Ok(rows)
}

/// The row of `span`.
///
/// # Errors
/// MongoDB's.
pub async fn row(database: &Database, span: &Span) -> Result<Option<Row>, MongoError> {
    let meta = meta(database);
    let found = meta.find_one(doc! { "_id": span.to_string() });
    Ok(found.await?.as_ref().and_then(Row::parse))
}

/// The marks.
///
/// # Errors
/// MongoDB's.
pub async fn marks(database: &Database) -> Result<Marks, MongoError> {
    marks_within(database, Duration::ZERO).await
}

/// [`marks`], on whose answer MongoDB may work for `limit`; zero is no limit.
///
/// # Errors
/// MongoDB's.
pub async fn marks_within(database: &Database, limit: Duration) -> Result<Marks, MongoError> {
    let meta = meta(database);
    let found = meta.find_one(doc! { "_id": MARKS_ID }).max_time(limit);
    let found = found.await?;
    Ok(found.as_ref().map(Marks::parse).unwrap_or_default())
}

/// Raises the marks to at least `to`, and returns them. Because it is a write, what it returns is
/// what the primary has, and not what a deposed one remembers.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn raise_marks(database: &Database, to: Marks) -> Result<Marks, MongoError> {
    let higher = doc! { "$max": { "floor": date(to.floor_ms), "gone": date(to.gone_ms) } };
    let meta = meta(database);
    let update = meta.find_one_and_update(doc! { "_id": MARKS_ID }, higher);
    let update = update.upsert(true).return_document(ReturnDocument::After);
    Ok(update.await?.as_ref().map(Marks::parse).unwrap_or_default())
}

/// Notes in the row of `span` that it holds timestamps of `day`.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn note_day(database: &Database, span: &Span, day: i32) -> Result<(), MongoError> {
    let name = span.to_string();
    let edges = doc! { "$min": { "low": day }, "$max": { "high": day } };
    let meta = meta(database);
    meta.update_one(doc! { "_id": &name }, edges).await?;
    let last = format!("days.{}", DAYS_MAX - 1);
    let is_short = doc! { "_id": &name, last: { "$exists": false } };
    let add = doc! { "$addToSet": { "days": day } };
    meta.update_one(is_short, add).await?;
    Ok(())
}

/// Makes `span` where it is missing: its collection, its indexes, its row; `None` where it is below
/// [`Marks::gone_ms`], also when it was dropped while this was being done. Several may do it at once.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn make(
    database: &Database,
    span: &Span,
    indexes: &[Index],
) -> Result<Option<Row>, MongoError> {
    let name = span.to_string();
    create_collection(database, &name).await?;
    let state = match span {
        Span::Dated { .. } => State::Hot,
        Span::Undated => State::Undated,
    };
    let Some(uuid) = uuid_of(database, &name).await? else {
        // Dropped meanwhile: the caller comes again.
        return Ok(None);
    };
    let row = Row {
        span: *span,
        uuid,
        state,
        indexes: SpanIndex::wanted(indexes, state),
        outside: Outside::default(),
    };
    // Names are listed by whoever is asked, also by one who was deposed. So the indexes name the
    // collection, by a majority's write, before the row does.
    match create_indexes_of(database, &row, &row.indexes).await {
        Err(error) if code_of(&error) == Some(ANOTHER_COLLECTION) => return Ok(None),
        built => built?,
    }
    // Spans are not sharded yet. It would be done here, by {_id: 1} and split at the salts: events come
    // once the row is there.
    let once = doc! { "$setOnInsert": row.document() };
    let meta = meta(database);
    let update = meta.find_one_and_update(doc! { "_id": &name }, once);
    let update = update.upsert(true).return_document(ReturnDocument::After);
    let written = update.await?.as_ref().and_then(Row::parse);
    // Whoever raised the mark before looks for rows after it; whoever does it later sees this row.
    if raise_marks(database, Marks::default()).await?.is_gone(span) {
        drop_span(database, span).await?;
        return Ok(None);
    }
    Ok(written)
}

/// Builds `indexes` of the collection `name` where they are missing, and waits until they are built.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn create_indexes(
    database: &Database,
    name: &str,
    indexes: &[SpanIndex],
) -> Result<(), MongoError> {
    build(database, doc! { "createIndexes": name }, indexes).await
}

/// As [`create_indexes`], of the span of `row`. One that was dropped meanwhile is not made anew.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn create_indexes_of(
    database: &Database,
    row: &Row,
    indexes: &[SpanIndex],
) -> Result<(), MongoError> {
    let whose = doc! { "createIndexes": row.name(), "collectionUUID": row.uuid };
    build(database, whose, indexes).await
}

async fn build(
    database: &Database,
    mut command: Document,
    indexes: &[SpanIndex],
) -> Result<(), MongoError> {
    if indexes.is_empty() {
        return Ok(());
    }
    let indexes: Vec<_> = indexes.iter().map(|index| index.specification()).collect();
    command.extend(doc! { "indexes": indexes, "writeConcern": { "w": "majority" } });
    let hello = database.run_command(doc! { "hello": 1 }).await?;
    if hello.contains_key("setName") {
        // A member that is away for a night would else hold the build up for as long. A standalone
        // refuses the field.
        command.insert("commitQuorum", "majority");
    }
    let reply = database.run_command(command).await?;
    match reply.get("writeConcernError") {
        // Built here alone, it could be gone with the next fail-over.
        Some(fault) => Err(MongoError::custom(fault.to_string())),
        None => Ok(()),
    }
}

async fn uuid_of(database: &Database, name: &str) -> Result<Option<Uuid>, MongoError> {
    let list = database.list_collections().filter(doc! { "name": name });
    let found: Vec<_> = list.await?.try_collect().await?;
    let uuid = found.first().and_then(|one| one.info.uuid.as_ref());
    Ok(uuid.and_then(|uuid| uuid.to_uuid().ok()))
}

/// Drops `span`: its collection, then its row.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn drop_span(database: &Database, span: &Span) -> Result<(), MongoError> {
    let name = span.to_string();
    database.collection::<Document>(&name).drop().await?;
    meta(database).delete_one(doc! { "_id": name }).await?;
    Ok(())
}
