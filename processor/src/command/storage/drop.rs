//! Dropping by hand: what `storage.keep` would let end later ends now, and by the same way.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bson::doc;
use evp_shared::audit::{Action, Actor, Audit, Outcome};
use evp_shared::event::id::IdentityMode;
use evp_shared::event::span::Calendar;
use evp_shared::store::{Row, spans};
use mongodb::Database;

use super::{DropSpans, complete};
use crate::command::{Done, show_time};
use crate::config::ProcessorConfig;
use crate::upkeep::housekeeper::building::events_in;
use crate::upkeep::housekeeper::memory::{self, ask_to_end};
use crate::upkeep::housekeeper::waits::{Waits, ms};

/// Lets spans end, or says what that would be.
pub(super) async fn drop_spans(
    config: &ProcessorConfig,
    database: &Database,
    calendar: &Calendar,
    asked: &DropSpans,
) -> anyhow::Result<Done> {
    ensure!(
        config.identity.mode == IdentityMode::TenantIdTime,
        "with dedupe.identity = \"id\" many events have no time, and all of them would be refused \
         from then on"
    );
    let rows = spans::rows(database, Duration::ZERO).await?;
    let to_ms = match (&asked.name, asked.before) {
        (Some(name), _) => end_of(&rows, name)?,
        (None, Some(before_ms)) => {
            let range = calendar.span_of(Some(before_ms)).range_ms();
            range.map_or(0, |range| range.start)
        }
        (None, None) => bail!("say which span, or --before which time"),
    };
    let old_ms = ms(Waits::new(config.storage.hurry).hold);
    ensure!(
        to_ms.saturating_add(old_ms) <= memory::now_ms(database).await?,
        "what ends at {} is in use: events of the last day still come, by retries and slow clients; \
         drop it a day after its end",
        show_time(to_ms)
    );
    let ends = |row: &&Row| row.span.range_ms().is_some_and(|range| range.end <= to_ms);
    let names: Vec<String> = rows.iter().filter(ends).map(Row::name).collect();
    if let Some(name) = &asked.name {
        refuse_older(name, &names, to_ms)?;
    }
    let mut events = 0;
    for name in &names {
        events += events_in(database, name).await?;
    }
    let what = format!("{} spans with {events} events", names.len());
    let time = show_time(to_ms);
    if names.is_empty() {
        return Ok(complete(format!("no span ends at or before {time}")));
    }
    if !asked.yes {
        let names = names.join("\n");
        return Ok(complete(format!(
            "{names}\nwould drop {what}: refuse events before {time}, and events without a time, from \
             now on, for good, and drop the spans a day later; --yes does it"
        )));
    }
    let action = Action {
        what: "storage.drop",
        tenant: None,
        detail: doc! { "filter": { "belowMs": i64::try_from(to_ms)? } },
    };
    let work = async { Ok::<_, anyhow::Error>(ask_to_end(database, to_ms).await?) };
    let describe = |_: &_| Outcome::done(doc! { "outcome": format!("{what} end") });
    let audit = Audit::new(database);
    audit
        .around(&Actor::of_process(), action, work, describe)
        .await?;
    Ok(complete(format!(
        "{what} end: a running processor lets events before {time} be refused within a minute, and \
         drops them when that has stood for a day and all that was accepted is stored; storage list \
         shows how far it is"
    )))
}

fn refuse_older(name: &str, ending: &[String], to_ms: u64) -> anyhow::Result<()> {
    let older: Vec<&String> = ending.iter().filter(|older| *older != name).collect();
    let Some(first) = older.first() else {
        return Ok(());
    };
    bail!(
        "spans end oldest first, and {} of them are older, from {first} on: --before {} drops them too",
        older.len(),
        show_time(to_ms)
    )
}

fn end_of(rows: &[Row], name: &str) -> anyhow::Result<u64> {
    let row = rows.iter().find(|row| row.name() == name);
    let row = row.with_context(|| format!("there is no span {name}: see storage list"))?;
    let range = row.span.range_ms();
    let range = range.with_context(|| format!("{name} never ends: its events have no time"))?;
    Ok(range.end)
}
