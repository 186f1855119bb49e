//! The command line.

mod servers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use evp_shared::shutdown::Shutdown;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use self::servers::ServerArgs;
use crate::ceiling::{append, http, insert};
use crate::console::print;
use crate::header::Header;
use crate::load::{Encoding, Format, IdKind, Pace, Shape, generator};
use crate::reading::queries::{self, QueryPlan};
use crate::reading::streams::{self, StreamPlan};
use crate::row::{self, Length, Row};
use crate::saturate;
use crate::session::{Results, Session};
use crate::stack::Environment;
use crate::table;

/// Measures EVP on this machine.
#[derive(Debug, Parser)]
#[command(name = "evp-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures rows and prints the table
    Run(Run),
    /// Finds the highest rate at which a row holds
    Saturate(Saturate),
    /// Prints the table of an earlier session
    Show {
        /// What `run --json` wrote
        results: PathBuf,
        /// Prints ratios to this earlier session as well
        #[arg(long, value_name = "FILE")]
        compare: Option<PathBuf>,
    },
    /// Lists the rows
    List,
    /// Measures queries over a large collection
    Queries {
        /// Documents in it
        #[arg(long, default_value_t = 10_000_000)]
        documents: u64,
        /// Queries of each shape
        #[arg(long, value_name = "N", default_value_t = 500)]
        repeat: usize,
        #[command(flatten)]
        servers: ServerArgs,
    },
    /// Measures clients of the live stream
    Streams {
        /// Clients
        #[arg(long, default_value_t = 2_000)]
        clients: usize,
        /// How many of them read nothing
        #[arg(long, default_value_t = 50)]
        stalled: usize,
        /// Events per second each asks for at most
        #[arg(long, default_value_t = 20)]
        rate: u32,
        /// Events per second that are sent meanwhile
        #[arg(long, default_value_t = 5_000.0)]
        load: f64,
        /// Seconds measured, once without the clients and once with them
        #[arg(long, value_name = "N", default_value_t = 20)]
        seconds: u64,
        #[command(flatten)]
        servers: ServerArgs,
    },
    /// Sends a load; started by the other commands
    #[command(hide = true)]
    Generate { spec: String },
    /// Inserts documents; started by the other commands
    #[command(hide = true)]
    RawInserts { spec: String },
    /// Appends frames; started by the other commands
    #[command(hide = true)]
    RawAppends { spec: String },
    /// Answers 202 to everything; started by the other commands
    #[command(hide = true)]
    NullServer { port: u16 },
}

#[derive(Debug, Args)]
struct Run {
    /// 5 runs of 60 s instead of one of 15 s, growth and soak besides; goes on where it was stopped
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
struct Saturate {
    /// Which row
    #[arg(long, value_name = "NAME")]
    row: String,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// Changes to the load of a row.
#[derive(Debug, Args)]
struct LoadArgs {
    /// Events per second, open loop
    #[arg(long)]
    rate: Option<f64>,
    /// Events per request
    #[arg(long, value_name = "N")]
    events: Option<u16>,
    /// Connections
    #[arg(long, value_name = "N")]
    connections: Option<u16>,
    /// What an event looks like
    #[arg(long)]
    shape: Option<Shape>,
    /// How events are joined to a body
    #[arg(long)]
    format: Option<Format>,
    /// How bodies are compressed
    #[arg(long)]
    encoding: Option<Encoding>,
    /// Who makes the ids
    #[arg(long)]
    ids: Option<IdKind>,
    /// Share of duplicates, 0 to 0.9
    #[arg(long)]
    duplicates: Option<f64>,
    /// Number of event types
    #[arg(long)]
    types: Option<u16>,
    /// Asks for answers without ids
    #[arg(long)]
    no_ids: bool,
}

/// Does what the command line asks for.
///
/// # Errors
/// What went wrong; nothing of what was started is left behind.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Generate { spec } => {
            // One thread: waking another one for every answer would cost more than the answer.
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let spec = serde_json::from_str(&spec)?;
            finish(&runtime.block_on(generator::generate(&spec))?)
        }
        Command::RawInserts { spec } => {
            let spec = serde_json::from_str(&spec)?;
            finish(&threads()?.block_on(insert::run(&spec))?)
        }
        Command::RawAppends { spec } => {
            let spec = serde_json::from_str(&spec)?;
            finish(&threads()?.block_on(append::run(&spec))?)
        }
        Command::NullServer { port } => {
            threads()?.block_on(http::serve_null(port))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::List => {
            print(&table::rows(&row::all()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { results, compare } => show(&Results::load(&results)?, compare.as_deref()),
        Command::Run(arguments) => threads()?.block_on(interruptible(measure(arguments))),
        Command::Saturate(arguments) => threads()?.block_on(interruptible(search(arguments))),
        Command::Queries {
            documents,
            repeat: repeats,
            servers,
        } => {
            let environment = servers.environment()?;
            let plan = QueryPlan { documents, repeats };
            report(&environment, queries::run(&environment, plan))
        }
        Command::Streams {
            clients,
            stalled,
            rate,
            load,
            seconds,
            servers,
        } => {
            let environment = servers.environment()?;
            let plan = StreamPlan {
                clients,
                stalled: stalled.min(clients),
                rate,
                load,
                measured: Duration::from_secs(seconds),
            };
            report(&environment, streams::run(&environment, plan))
        }
    }
}

/// Measures, and prints the versions of what was measured above its table.
fn report(
    environment: &Environment,
    measuring: impl Future<Output = anyhow::Result<String>>,
) -> anyhow::Result<ExitCode> {
    threads()?.block_on(interruptible(async {
        let header = Header::collect(environment).await?;
        let table = measuring.await?;
        print(&format!("{}\n\n{table}", header.text()));
        Ok(ExitCode::SUCCESS)
    }))
}

fn threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

fn finish(report: &impl Serialize) -> anyhow::Result<ExitCode> {
    print(&serde_json::to_string(report)?);
    Ok(ExitCode::SUCCESS)
}

/// Drops `work`, and with it every process and directory it holds, when a signal comes.
async fn interruptible(
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let signals = Shutdown::on_signals()?;
    tokio::select! {
        outcome = work => outcome,
        () = signals.triggered() => bail!("interrupted"),
    }
}

async fn measure(arguments: Run) -> anyhow::Result<ExitCode> {
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
        ceilings: Duration::from_secs(match (named && !arguments.ceilings, arguments.full) {
            (true, _) => 0,
            (false, true) => 15,
            (false, false) => 5,
        }),
        soak_rate: arguments.load.rate,
        state: (arguments.full && !named).then_some(state),
        environment,
    };
    let results = session.run().await?;
    if let Some(path) = &arguments.json {
        results.save(path)?;
    }
    show(&results, arguments.compare.as_deref())
}

async fn search(arguments: Saturate) -> anyhow::Result<ExitCode> {
    let environment = arguments.servers.environment()?;
    let mut row = named(&arguments.row)?;
    arguments.load.change(&mut row);
    let plan = saturate::probe(&row, Duration::from_secs(3));
    let highest = saturate::search(&environment, &plan).await?;
    print(&format!(
        "{} holds {} ev/s",
        row.name,
        row::thousands(highest)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Prints the results; failure when a row failed.
fn show(results: &Results, compare: Option<&Path>) -> anyhow::Result<ExitCode> {
    print(&table::text(results));
    if let Some(path) = compare {
        print(&table::comparison(&Results::load(path)?, results));
    }
    Ok(if results.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn named(name: &str) -> anyhow::Result<Row> {
    let found = row::all().into_iter().find(|row| row.name == name);
    found.with_context(|| format!("there is no row {name}; `evp-bench list` lists them"))
}

impl Run {
    fn selected(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = if self.rows.is_empty() {
            let wanted = |row: &Row| self.full || row.length == Length::Usual;
            row::all().into_iter().filter(wanted).collect()
        } else {
            self.rows
                .iter()
                .map(|name| named(name))
                .collect::<anyhow::Result<Vec<_>>>()?
        };
        for row in &mut rows {
            self.load.change(row);
            if let (Some(seconds), Length::Long(_)) = (self.seconds, row.length) {
                row.length = Length::Long(Duration::from_secs(seconds));
            }
            row.load
                .check()
                .map_err(|fault| anyhow::anyhow!("{}: {fault}", row.name))?;
        }
        Ok(rows)
    }
}

impl LoadArgs {
    fn change(&self, row: &mut Row) {
        fn set<T: Copy>(field: &mut T, wanted: Option<T>) {
            *field = wanted.unwrap_or(*field);
        }
        let load = &mut row.load;
        set(&mut load.pace, self.rate.map(Pace::Open));
        set(&mut load.request_events, self.events);
        set(&mut load.connections, self.connections);
        set(&mut load.shape, self.shape);
        set(&mut load.encoding, self.encoding);
        set(&mut load.ids, self.ids);
        set(&mut load.duplicates, self.duplicates);
        set(&mut load.types, self.types);
        let many = self.events.map(|events| match events {
            1 => Format::Object,
            _ => Format::Array,
        });
        set(&mut load.format, self.format.or(many));
        load.answers_list_ids &= !self.no_ids;
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

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
