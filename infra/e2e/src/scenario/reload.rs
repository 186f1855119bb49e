//! A configuration that changes under a running system.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::ScratchDir;
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use reqwest::{Client, Method};

use super::{Size, load, under_load};
use crate::{Expected, Node, Outcome, System, until};

/// What is wrong with a file, each in its own way; what stands before it is good.
const BROKEN: [&str; 5] = [
    "[log\nlevel = 3",
    "[shutdown]\ngrace = \"0s\"",
    "[redis]\nurls = \"redis://127.0.0.1\"",
    "[log]\nlevel = \"loud=quiet=3\"",
    "[admin]\ntoken_file = \"/nowhere/token\"",
];

/// SIGHUPs in a load, every second one with a broken file: nobody ends, no request fails, a broken file
/// changes nothing, and what a good one says is in force.
pub(super) async fn reloaded(size: Size) -> Result<Outcome> {
    let files = ScratchDir::new()?;
    let file = files.path().join("evp.toml");
    std::fs::write(&file, good(0))?;
    let builder = System::of("reloaded").aggregator().config(file.clone());
    let mut system = builder.start().await?;
    let before = pids(&system);
    let (events, rounds) = size.of((20_000, 20), (60_000, 20), (200_000, 100));
    let file = file.as_path();
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| change(system, file, round).await,
    )
    .await?;
    ensure!(pids(&system) == before, "a service ended");
    let sent = journal.transmitted();
    ensure!(
        sent == u64::from(events),
        "requests failed: {sent} events sent"
    );
    let faults = format!("{rounds} SIGHUPs of each service, half of them with a broken file");
    system.balance(&journal, &Expected::default(), faults).await
}

async fn change(system: &System, file: &Path, round: u64) -> Result<()> {
    let (is_good, now) = (round % 2 == 1, round.next_multiple_of(2));
    let text = match usize::try_from(round / 2)? % BROKEN.len() {
        _ if is_good => good(now),
        which => format!("{}\n{}", good(now + 2), BROKEN[which]),
    };
    std::fs::write(file, text)?;
    let nodes = || nodes(system);
    nodes().for_each(Node::hang_up);
    for node in nodes() {
        until("it has read the file", async || {
            let success = node.metric("evp_config_reload_success").await;
            success.is_ok_and(|success| success == f64::from(u8::from(is_good)))
        })
        .await?;
    }
    // What the last good file said, and not this one where it is broken.
    let in_force = if is_good { now } else { round };
    let ingest = system.ingests.first().context("an ingest")?;
    for number in [in_force, in_force + 2] {
        let allowed = is_allowed(&system.http, ingest, &origin(number)).await?;
        ensure!(
            allowed == (number == in_force),
            "round {round}: {number} is {allowed}"
        );
    }
    Ok(())
}

/// A file that allows another origin each time.
fn good(number: u64) -> String {
    let origin = origin(number);
    format!(
        "[ingest.cors]\norigins = [\"{origin}\"]\n[server]\nheader_timeout = \"{}s\"\n",
        5 + number % 3
    )
}

fn origin(number: u64) -> String {
    format!("https://round-{number}.example")
}

async fn is_allowed(http: &Client, ingest: &Node, origin: &str) -> Result<bool> {
    let url = format!("{}/events", ingest.url());
    let asking = http.request(Method::OPTIONS, url).header(ORIGIN, origin);
    let answer = asking.send().await?;
    Ok(answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN))
}

fn nodes(system: &System) -> impl Iterator<Item = &Node> {
    let services = system.processors.iter().chain(&system.ingests);
    services.chain(system.aggregator.as_ref())
}

fn pids(system: &System) -> Vec<Option<u32>> {
    nodes(system).map(Node::pid).collect()
}
