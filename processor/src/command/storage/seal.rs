//! Sealing a span by hand.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bson::{Document, doc};
use evp_shared::store::{SpanIndex, State, whole};
use futures::TryStreamExt as _;
use mongodb::Database;

use super::complete;
use crate::command::{Done, show_time};
use crate::config::ProcessorConfig;
use crate::store::lease::under;
use crate::upkeep::housekeeper::building::{self, Job, events_in, indexes_of, row_named};
use crate::upkeep::housekeeper::disk::Disk;
use crate::upkeep::housekeeper::memory;
use crate::upkeep::housekeeper::sealing::has_room;

/// Between two looks at what takes long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Seals the span `name`, or says what that would be.
pub(super) async fn seal(
    config: &ProcessorConfig,
    database: &Database,
    name: &str,
    yes: bool,
) -> anyhow::Result<Done> {
    let row = row_named(database, name).await?;
    let row = row.with_context(|| format!("there is no span {name}: see storage list"))?;
    let Some(range) = row.span.range_ms() else {
        bail!("{name} never ends: its indexes are exact from the start");
    };
    if row.state == State::Sealed {
        return Ok(complete(format!("{name} is sealed")));
    }
    let now_ms = memory::now_ms(database).await?;
    ensure!(
        range.end <= now_ms,
        "{name} has not ended: it is sealed after {}, when no more events come into it",
        show_time(range.end)
    );
    let there = indexes_of(database, name).await?;
    let there = there.with_context(|| format!("{name} has no collection: see doctor"))?;
    let job = building::seal(&row, &there, &config.indexes);
    let events = events_in(database, name).await?;
    let free = Disk::ask(database).await?.map(|disk| disk.free());
    ensure!(
        job.work.build.is_empty() || free.is_none_or(|free| has_room(events, free)),
        "mongodb's disk has no room to build an index over {events} events: nothing was changed, and \
         inserts go on; make room, or lower storage.keep"
    );
    if !yes {
        return Ok(complete(format!(
            "would seal {name} with {events} events: build {}, then drop {}; --yes does it",
            names(&job.work.build),
            names(&job.work.drop)
        )));
    }
    under(database, "storage seal", build(database, &job)).await??;
    Ok(complete(format!("sealed {name} with {events} events")))
}

fn names(indexes: &[SpanIndex]) -> String {
    let names: Vec<&str> = indexes.iter().map(|index| index.as_str()).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// Builds, and says how far it is where somebody watches.
async fn build(database: &Database, job: &Job) -> anyhow::Result<()> {
    let is_watched = std::io::stderr().is_terminal();
    let mut built = std::pin::pin!(job.run(database));
    loop {
        if let Ok(done) = tokio::time::timeout(LOOK_EVERY, &mut built).await {
            if is_watched {
                drop(writeln!(std::io::stderr()));
            }
            return Ok(done?);
        }
        if is_watched {
            let percent = progress(database, &job.row.name()).await.unwrap_or(0);
            let bar = "#".repeat(usize::try_from(percent / 2).unwrap_or(0));
            let mut stderr = std::io::stderr();
            let span = job.row.span;
            drop(write!(stderr, "\r{span} [{bar:<50}] {percent:>3} %"));
            drop(stderr.flush());
        }
    }
}

/// How far mongod is with an index of the collection `name`, in percent; `None` where it does not
/// say, or we may not ask.
async fn progress(database: &Database, name: &str) -> Option<u64> {
    let admin = database.client().database("admin");
    let steps = [
        doc! { "$currentOp": {} },
        doc! { "$match": { "command.createIndexes": name, "progress": { "$exists": true } } },
        doc! { "$limit": 1 },
    ];
    let mut found = admin.aggregate(steps).await.ok()?;
    let operation: Document = found.try_next().await.ok()??;
    let progress = operation.get_document("progress").ok()?;
    let number = |name: &str| whole(progress.get(name)?);
    Some((number("done")? * 100 / number("total")?.max(1)).min(100))
}
