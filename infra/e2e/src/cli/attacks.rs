use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use evp_shared::clock::Clock;

use super::{print, runtime};
use crate::attack::{ALL, Attack};
use crate::scenario::Size;

/// An attack that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(300);
const HEAD: &str =
    "| row | attack | what was tried | what was seen | took |\n|---|---|---|---|---|\n";

#[derive(Debug, Args)]
pub(super) struct Attacks {
    /// Makes only this row or attack (repeat it)
    #[arg(long = "row", value_name = "ROW|NAME")]
    rows: Vec<String>,
    /// The seconds each that every test run can afford
    #[arg(long)]
    quick: bool,
    /// Writes the table to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Attacks {
    /// Makes them, one after the other. Fails when something could be had.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let wanted = |attack: &&Attack| {
            let is_it = |one: &String| *one == attack.row.to_string() || one == attack.name;
            self.rows.is_empty() || self.rows.iter().any(is_it)
        };
        let chosen: Vec<&Attack> = ALL.iter().filter(wanted).collect();
        ensure!(!chosen.is_empty(), "there is no such row");
        let size = if self.quick { Size::Test } else { Size::Full };
        let (runtime, clock) = (runtime()?, Clock::system());
        let (mut table, mut failed) = (HEAD.to_owned(), Vec::new());
        for attack in chosen {
            let since = clock.now();
            let made = runtime.block_on(async {
                let made = tokio::time::timeout(LONGEST, attack.run(size)).await;
                made.unwrap_or_else(|_| Err(anyhow::anyhow!("not over after {LONGEST:?}")))
            });
            let took_s = (clock.now() - since).as_secs();
            let Attack {
                name, row, tried, ..
            } = attack;
            let seen = made.unwrap_or_else(|error| {
                failed.push(*name);
                format!("**FAILED**: {error:#}")
            });
            print(&format!("{row:>2} {name}: {seen} ({took_s} s)\n"))?;
            let seen = seen.lines().next().unwrap_or_default();
            // Writing to a string cannot fail.
            writeln!(
                table,
                "| {row} | `{name}` | {tried} | {seen} | {took_s} s |"
            )
            .ok();
        }
        match &self.markdown {
            Some(file) => std::fs::write(file, &table).context("write the table")?,
            None => print(&format!("\n{table}"))?,
        }
        if failed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        print(&format!("\nfailed: {}\n", failed.join(", ")))?;
        Ok(ExitCode::FAILURE)
    }
}
