//! The events of a person, in all collections of events there are: also in one without a row.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::Document;
use evp_shared::event::span::SPANS;
use evp_shared::store::{Row, durable, spans};
use futures::TryStreamExt as _;
use mongodb::Database;

use super::{EraseError, Found, Person};
use crate::store::erasure::{Doomed, erase as erase_batch, finish};

/// Events erased at once: a command, and a note of some 100 KiB.
const BATCH: usize = 500;

/// How many there are.
pub(super) async fn count(database: &Database, person: &Person) -> Result<u64, EraseError> {
    let mut count = 0;
    for name in collections(database).await? {
        let events = database.collection::<Document>(&name);
        count += events.count_documents(person.filter()).await?;
    }
    Ok(count)
}

/// Erases them, and first what an earlier run left midway.
pub(super) async fn erase(
    database: &Database,
    person: &Person,
    found: &mut Found,
) -> Result<(), EraseError> {
    found.events += finish(database).await?;
    let names = collections(database).await?;
    // After the names: a span has its row before it has an event.
    let counted = counted(database).await?;
    for name in names {
        if !counted.contains(&name) {
            let events = durable(database, &name);
            let gone = events.delete_many(person.filter()).await?;
            found.events += gone.deleted_count;
            continue;
        }
        let events = database.collection::<Document>(&name);
        let of_person = events.find(person.filter()).projection(Doomed::fields());
        let mut of_person = of_person.await?;
        let mut is_last = false;
        while !is_last {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH && !is_last {
                match of_person.try_next().await? {
                    Some(document) => batch.extend(Doomed::of(&document)),
                    None => is_last = true,
                }
            }
            let due = batch.len() as u64;
            let gone = erase_batch(database, &name, batch).await?;
            found.events += gone;
            found.unsettled += due.saturating_sub(gone);
        }
    }
    Ok(())
}

/// The collections whose events receipts and `verify --deep` count. What lies elsewhere,
/// a copy by hand or a span that is about to be dropped, goes without a note in any receipt.
async fn counted(database: &Database) -> Result<BTreeSet<String>, EraseError> {
    let rows = spans::rows(database, Duration::ZERO).await?;
    let marks = spans::marks(database).await?;
    let stays = rows.iter().filter(|row| !marks.is_gone(&row.span));
    Ok(stays.map(Row::name).collect())
}

async fn collections(database: &Database) -> Result<Vec<String>, EraseError> {
    let mut names = database.list_collection_names().await?;
    names.retain(|name| name.starts_with(SPANS.0));
    names.sort_unstable();
    Ok(names)
}
