//! The metric that balances the books: what ingest accepted is what became of it.

use anyhow::{Result, ensure};
use bson::doc;

use super::poison::validate;
use super::processes::{post, start_anew};
use super::redis::dead;
use super::{Size, load, under_load};
use crate::{Expected, Journal, Outcome, System, until};

/// The span of all that is sent.
const SPAN: &str = "events_2023";
/// One in so many is refused by `MongoDB`: those whose number ends in 0500.
const REFUSED_EVERY: u32 = 10_000;
/// None of a thousand from here on is.
const NONE_REFUSED: u32 = 1_000;
/// What becomes of an event.
const ENDS: [&str; 4] = ["stored", "duplicate", "dead_lettered", "expired"];

/// Processors are killed while a twentieth of the load is sent twice and some of it is refused: their
/// own counters forget, those of Redis' totals say of each event that ingest accepted what became of it.
pub(super) async fn balance(size: Size) -> Result<Outcome> {
    let mut system = System::of("books").processors(3).start().await?;
    let refuse = doc! { "eventId": { "$not": { "$regex": "0500$" } } };
    validate(&system, SPAN, refuse).await?;
    let (events, kills) = size.of((200_000, 10), (200_000, 10), (1_000_000, 50));
    let of_round = events / u32::try_from(kills)?;
    let mut repeated = Journal::default();
    let mut journal = under_load(
        &mut system,
        load(events),
        kills,
        async |system, _, round| {
            let first = u32::try_from(round)? * of_round + NONE_REFUSED;
            post(system, 0, &mut repeated, first..first + of_round / 20).await?;
            start_anew(system.processors.get_mut(0)).await
        },
    )
    .await?;
    journal.merge(&repeated)?;
    let refused = u64::from(events / REFUSED_EVERY);
    let expected = Expected {
        dead_letters: dead(&[("refused_by_store", refused)]),
        ..Expected::default()
    };
    let faults = format!(
        "{kills} kills of a processor, {} events twice, {refused} refused",
        repeated.accepted()
    );
    let accepted = r#"evp_ingest_events_total{outcome="accepted"}"#;
    let accepted = sum(&system.ingests[0].metrics_text().await?, accepted);
    ensure!(
        accepted >= u64::from(events) + repeated.accepted(),
        "{accepted} accepted"
    );
    for processor in &system.processors {
        until("all is accounted for", async || {
            let text = processor.metrics_text().await;
            text.is_ok_and(|text| ended(&text) == accepted && appended(&text) == accepted)
        })
        .await?;
    }
    ensure!(system.ledger().backlog().await? == 0, "a backlog");
    system.balance(&journal, &expected, faults).await
}

fn ended(text: &str) -> u64 {
    ENDS.iter().map(|end| events(text, end)).sum()
}

fn appended(text: &str) -> u64 {
    events(text, "appended")
}

fn events(text: &str, outcome: &str) -> u64 {
    let of_partition = |line: &&str| line.contains(&format!("outcome=\"{outcome}\""));
    let lines = text
        .lines()
        .filter(of_partition)
        .collect::<Vec<_>>()
        .join("\n");
    sum(&lines, "evp_processor_pipeline_events_total{")
}

/// The sum of the values of all lines that begin with `start`.
fn sum(text: &str, start: &str) -> u64 {
    let values = text.lines().filter(|line| line.starts_with(start));
    let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}
