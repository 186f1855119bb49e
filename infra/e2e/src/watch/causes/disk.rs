//! What lies under MongoDB, and in it.

use anyhow::{Context as _, Result};
use bson::{Document, doc};
use evp_shared::store::spans::meta;

use super::Stage;

/// Used to 87 %: the alert fires, and ingest refuses nothing yet.
const LEFT_MB: u64 = super::DISK_MB as u64 * 13 / 100;

pub(super) async fn fill(stage: &mut Stage) -> Result<()> {
    stage.disk.fill_but(LEFT_MB)
}

pub(super) async fn make_room(stage: &mut Stage) -> Result<()> {
    stage.disk.make_room()
}

/// That of the last day that is made already: nothing is written to it yet.
pub(super) async fn drop_collection(stage: &mut Stage) -> Result<()> {
    let database = stage.system.mongo.database();
    let rows = meta(&database);
    let last = rows.find_one(doc! { "_id": { "$regex": "^events_2" } });
    let last = last.sort(doc! { "_id": -1 }).await?.context("no span")?;
    let name = last.get_str("_id")?.to_owned();
    database.collection::<Document>(&name).drop().await?;
    stage.dropped = Some(name);
    Ok(())
}

/// As `evp-processor doctor` says.
pub(super) async fn let_it_be_made(stage: &mut Stage) -> Result<()> {
    let name = stage.dropped.take().context("nothing was dropped")?;
    let rows = meta(&stage.system.mongo.database());
    rows.delete_one(doc! { "_id": name }).await?;
    Ok(())
}
