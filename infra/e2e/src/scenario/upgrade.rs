//! The release before this one, replaced under load and taken up again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::processes::{post, shows};
use super::{Size, load, under_load};
use crate::system::binary;
use crate::{Expected, Journal, Node, Outcome, System};

/// The commit of the last release.
const PREVIOUS: &str = include_str!("../../../dist/previous");
/// The order of docs/OPERATIONS.md, one instance at a time; back in the opposite one.
const ORDER: [(&str, usize); 5] = [
    ("processor", 0),
    ("processor", 1),
    ("aggregator", 0),
    ("ingest", 0),
    ("ingest", 1),
];
/// Events that are sent again with every step, to whichever ingest: both versions know them.
const REPEATED: u32 = 100;

/// Replaces the last release by what was built here, service by service under load, and goes back.
pub(super) async fn upgrade(size: Size) -> Result<Outcome> {
    let before = previous()?;
    let (from, to) = (
        commit(&before.join("evp-ingest"))?,
        commit(&binary("ingest")?)?,
    );
    ensure!(from != to, "both are of {from}: that is no upgrade");
    let builder = System::of("upgrade").ingests(2).processors(2).aggregator();
    let mut system = builder.binaries(before.clone()).start().await?;
    let (events, turns) = size.of((40_000, 1), (100_000, 1), (400_000, 5));
    let there = ORDER.into_iter().map(|step| (step, true));
    let back = ORDER.into_iter().rev().map(|step| (step, false));
    let steps: Vec<_> = there.chain(back).collect();
    let rounds = turns * steps.len();
    let mut repeated = Journal::default();
    let numbers = events..events + REPEATED;
    let mut journal = under_load(
        &mut system,
        load(events),
        u64::try_from(rounds)?,
        async |system, _, round| {
            let round = usize::try_from(round)?;
            post(system, round % 2, &mut repeated, numbers.clone()).await?;
            let ((service, index), is_new) = steps[round % steps.len()];
            let (program, commit) = match is_new {
                true => (binary(service)?, &to),
                false => (before.join(format!("evp-{service}")), &from),
            };
            let node = node(system, service, index).context("no such process")?;
            replace(node, program, commit).await
        },
    )
    .await?;
    let again = repeated.accepted() - repeated.acknowledged_count();
    journal.merge(&repeated)?;
    shows(&system, u64::from(events + REPEATED)).await?;
    let faults = format!(
        "{rounds} processes replaced, from {from} to {to} and back; {again} events sent again to another"
    );
    let outcome = system
        .balance(&journal, &Expected::default(), faults)
        .await?;
    let found = outcome.verdict.as_ref().map(|books| books.duplicates);
    let is_enough = found.is_some_and(|found| found.unsigned_abs() >= again);
    ensure!(is_enough, "{found:?} duplicates, not {again}");
    Ok(outcome)
}

/// Has `node` end, and runs `program`, which says that it is of `commit`, in its place.
async fn replace(node: &mut Node, program: PathBuf, commit: &str) -> Result<()> {
    let status = node.term().await?;
    ensure!(status.code() == Some(0), "{}: {status}", node.name());
    node.restart_as(program)?;
    node.await_ready().await?;
    let text = node.metrics_text().await?;
    let says = text.lines().find(|line| line.starts_with("evp_build_info"));
    ensure!(
        says.is_some_and(|line| line.contains(&format!("commit=\"{commit}\""))),
        "{} is not of {commit}: {says:?}",
        node.name()
    );
    Ok(())
}

fn node<'a>(system: &'a mut System, service: &str, index: usize) -> Option<&'a mut Node> {
    match service {
        "processor" => system.processors.get_mut(index),
        "ingest" => system.ingests.get_mut(index),
        _ => system.aggregator.as_mut(),
    }
}

/// The folder of the last release's binaries.
fn previous() -> Result<PathBuf> {
    let folder = match std::env::var_os("EVP_PREVIOUS") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let kept = Path::new("previous").join(PREVIOUS.trim());
            let own = std::env::current_exe().context("find this binary")?;
            // Beside the folder of the profile.
            own.ancestors().nth(2).context("no target")?.join(kept)
        }
    };
    let binaries = folder.join("bin");
    ensure!(
        binaries.is_dir(),
        "no last release in {}: run `make previous`, or name the folder of an unpacked `make dist` by EVP_PREVIOUS",
        folder.display()
    );
    Ok(binaries)
}

/// What a binary says it was built of.
fn commit(program: &Path) -> Result<String> {
    let said = Command::new(program).arg("--version").output()?;
    let said = String::from_utf8(said.stdout)?;
    let within = said
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let (commit, _) = within.with_context(|| format!("{} names no commit", program.display()))?;
    Ok(commit.to_owned())
}
