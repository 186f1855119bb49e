//! Commands that measure rows.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::load::LoadArgs;
use super::servers::ServerArgs;
use crate::console::print;
use crate::header::Header;
use crate::results::Results;
use crate::row::{self, Length, Row};
use crate::saturate;
use crate::session::Session;
use crate::table;

#[derive(Debug, Args)]
pub(super) struct Run {
    /// 5 runs of 60 s instead of one of 15 s, the long rows besides; goes on where it was stopped
    #[arg(long)]
    full: bool,
    /// Measures only these rows (repeat it); without ceilings
    #[arg(long = "row", value_name = "NAME")]
    rows: Vec<String>,
    /// Runs of each row
    #[arg(long, value_name = "N")]
    repeat: Option<usize>,
    /// Seconds measured in each run, long rows included
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    #[command(flatten)]
    sizes: Sizes,
    /// Measures the ceilings too although rows are named
    #[arg(long)]
    ceilings: bool,
    /// Writes the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Prints ratios to the results in this file
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Forgets what a full run that was stopped has measured
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Args)]
pub(super) struct Saturate {
    /// Which row
    #[arg(long, value_name = "NAME")]
    row: String,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    load: LoadArgs,
}

pub(super) async fn measure(arguments: Run) -> anyhow::Result<ExitCode> {
    let environment = arguments.servers.environment()?;
    let rows = arguments.selected()?;
    let named = !arguments.rows.is_empty();
    let seconds = arguments
        .seconds
        .unwrap_or(if arguments.full { 60 } else { 15 });
    let state = environment.binaries.join("../bench/full.json");
    if arguments.fresh && state.exists() {
        std::fs::remove_file(&state)?;
    }
    let session = Session {
        rows,
        repetitions: arguments
            .repeat
            .unwrap_or(if arguments.full { 5 } else { 1 }),
        warmup: Duration::from_secs(if arguments.full { 5 } else { 3 }),
        measured: Duration::from_secs(seconds),
        ceilings: Duration::from_secs(match named && !arguments.ceilings {
            true => 0,
            false => seconds,
        }),
        soak_rate: arguments.load.rate,
        state: (arguments.full && !named).then_some(state),
        environment,
    };
    // Before an hour of measuring, not after it.
    let old = arguments
        .compare
        .as_deref()
        .map(Results::load)
        .transpose()?;
    if let Some(path) = &arguments.json {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new();
        let opened = file.create(true).append(true).open(path);
        opened.with_context(|| format!("write {}", path.display()))?;
    }
    let results = session.run().await?;
    let code = show(&results, old.as_ref());
    if let Some(path) = &arguments.json {
        results.save(path)?;
    }
    Ok(code)
}

pub(super) async fn search(arguments: Saturate) -> anyhow::Result<ExitCode> {
    let environment = arguments.servers.environment()?;
    let mut row = named(&arguments.row)?;
    arguments.load.change(&mut row);
    let plan = saturate::probe(&row, Duration::from_secs(3));
    print(&Header::collect(&environment).await?.text());
    let highest = saturate::search(&environment, &plan).await?;
    print(&format!(
        "{} holds {} ev/s",
        row.name,
        row::thousands(highest)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Prints the results; failure when a row failed.
pub(super) fn show(results: &Results, old: Option<&Results>) -> ExitCode {
    print(&table::text(results));
    if let Some(old) = old {
        print(&table::comparison(old, results));
    }
    if results.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn named(name: &str) -> anyhow::Result<Row> {
    let found = row::all().into_iter().find(|row| row.name == name);
    found.with_context(|| format!("there is no row {name}; `evp-bench list` lists them"))
}

/// How long and how large rows are made that have lengths and sizes of their own.
#[derive(Debug, Default, Clone, Copy, Args)]
pub(super) struct Sizes {
    /// Events measured in each long row, at its rate
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    total: Option<u64>,
    /// Events in the span that a row seals or drops
    #[arg(long, value_name = "N")]
    fill: Option<u64>,
}

/// The rows that are named, with their loads changed, and long ones as short as `sizes` or `seconds`
/// say.
pub(super) fn selected(
    names: &[String],
    load: &LoadArgs,
    sizes: Sizes,
    seconds: Option<u64>,
) -> anyhow::Result<Vec<Row>> {
    let rows = names.iter().map(|name| {
        let mut row = named(name)?;
        load.change(&mut row);
        row.length = match (row.length, sizes.total, seconds) {
            (Length::Long(_) | Length::Events(_), Some(total), _) => Length::Events(total),
            (Length::Long(_) | Length::Events(_), None, Some(seconds)) => {
                Length::Long(Duration::from_secs(seconds))
            }
            (usual, ..) => usual,
        };
        if let (Some(beside), Some(events)) = (&mut row.beside, sizes.fill) {
            beside.events = events;
        }
        row.load
            .check()
            .map_err(|fault| anyhow::anyhow!("{}: {fault}", row.name))?;
        Ok(row)
    });
    rows.collect()
}

impl Run {
    fn selected(&self) -> anyhow::Result<Vec<Row>> {
        let wanted = |row: &Row| self.full || row.length == Length::Usual;
        let all = row::all().into_iter().filter(wanted);
        let names: Vec<String> = match self.rows.is_empty() {
            true => all.map(|row| row.name.to_owned()).collect(),
            false => self.rows.clone(),
        };
        selected(&names, &self.load, self.sizes, self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use crate::load::{Format, IdKind};

    #[test]
    fn the_load_of_a_row_can_be_changed() {
        let cli = "evp-bench run --row r100-none --rate 5 --events 1 --ids v7 --no-ids";
        let Command::Run(run) = Cli::try_parse_from(cli.split(' ')).unwrap().command else {
            panic!("another command");
        };
        let load = run.selected().unwrap().remove(0).load;
        assert_eq!((load.rate(), load.request_events), (Some(5.0), 1));
        assert_eq!((load.format, load.ids), (Format::Object, IdKind::V7));
        assert!(!load.answers_list_ids);
        let cli = "evp-bench run --row nothing";
        let Command::Run(run) = Cli::try_parse_from(cli.split(' ')).unwrap().command else {
            panic!("another command");
        };
        assert!(run.selected().is_err());
    }
}
