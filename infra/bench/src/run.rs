//! One measured run: starts everything, sends a load, watches, reconciles.

use std::time::Duration;

use anyhow::{Context as _, bail};
use evp_devstack::{Output, ScratchDir, Service, ServiceSpec};
use evp_shared::clock::Clock;
use evp_shared::stream::{Stream, Totals};
use serde::Deserialize;

use crate::figures::{self, Figures};
use crate::load::times::Times;
use crate::load::{GeneratorSpec, LoadReport, millis};
use crate::measure::latency::Since;
use crate::measure::watch::{Timeline, Window, watch};
use crate::plan::Plan;
use crate::reconcile::{self, Evidence};
use crate::results::Run;
use crate::stack::{Environment, Stack};

/// From spawning the generator to its first request: it makes its requests and connects.
const LEAD: Duration = Duration::from_millis(1_500);
/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long storing the backlog may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(120);
const DRAIN_POLL: Duration = Duration::from_millis(100);

/// Makes a run.
///
/// # Errors
/// Something could not be started, or what was sent is not what was stored and counted.
pub async fn run(environment: &Environment, plan: &Plan) -> anyhow::Result<Run> {
    plan.load.check().map_err(anyhow::Error::msg)?;
    let mut stack = Stack::start(environment, plan.layout).await?;
    let within = plan.warmup + plan.measured + plan.patience;
    // Boxed: the driver's and fred's futures are large, and every caller would carry them.
    let outcome = tokio::time::timeout(within, Box::pin(measure(environment, &stack, plan)))
        .await
        .unwrap_or_else(|_| bail!("it did not end within {within:?}"))
        .with_context(|| format!("the services wrote:\n{}", stack.logs()));
    // Else they would write again what is removed.
    stack.stop_services().await;
    let cleaned = tokio::time::timeout(plan.patience, stack.servers.clean()).await;
    let run = outcome?;
    cleaned.context("the given servers were not cleaned in time")??;
    Ok(run)
}

async fn measure(environment: &Environment, stack: &Stack, plan: &Plan) -> anyhow::Result<Run> {
    let stream = stack.servers.stream().await?;
    let filled = match plan.beside {
        Some(beside) => Some(beside.filled(environment, stack).await?),
        None => None,
    };
    let clock = Clock::system();
    let start = clock.now() + LEAD;
    let window = Window {
        start,
        measured: start + plan.warmup,
        end: start + plan.warmup + plan.measured,
        // A second of load may be left, as of one that holds.
        until_below: plan
            .until_stored
            .then(|| plan.load.rate().unwrap_or_default()),
    };
    let spec = GeneratorSpec {
        load: plan.load.clone(),
        port: stack.ingest_port,
        keys: stack.keys.clone(),
        authority: stack.authority_pem(),
        start_at_ms: clock.now_ms() + millis(LEAD),
        warmup_ms: millis(plan.warmup),
        measured_ms: millis(plan.measured),
        patience_ms: millis(PATIENCE),
    };
    let processes = stack.processes();
    let act = async {
        match &filled {
            Some(filled) => filled.act(window).await,
            None => Ok(Figures::new()),
        }
    };
    let (mut report, timeline, acted) = futures::try_join!(
        generate(&spec),
        watch(&stream, &processes, window, since(plan)),
        act
    )?;
    if let Some(beside) = &plan.beside {
        report.add(beside.events);
    }
    let faults = faults(stack, plan, &stream, &report).await?;
    if !faults.is_empty() {
        bail!(
            "what was sent is not what was stored:\n  {}",
            faults.join("\n  ")
        );
    }
    let scrapes = stack.scrape().await?;
    let mut figures = figures::of(plan, &report, &timeline, &scrapes);
    figures.extend(acted);
    figures::spread_build(&mut figures, plan);
    Ok(Run {
        figures,
        stored_per_second: figures::stored_per_second(&timeline),
        backlog: backlog_per_second(&timeline),
    })
}

/// What latencies until stored count from; `None` where nothing in an event tells when its request
/// was due.
fn since(plan: &Plan) -> Option<Since> {
    match plan.load.times {
        Times::Days(_) | Times::Late => None,
        Times::Due if plan.load.duplicates > 0.0 => Some(Since::Received),
        Times::Due => Some(Since::Timestamp),
    }
}

/// What does not add up once everything is stored.
async fn faults(
    stack: &Stack,
    plan: &Plan,
    stream: &Stream,
    report: &LoadReport,
) -> anyhow::Result<Vec<String>> {
    if !plan.layout.processor {
        let totals = stream.totals(0).await?;
        return Ok(reconcile::faults_of_backlog(report, &totals));
    }
    let totals = drained(stream, DRAIN_WITHIN).await?;
    let database = stack.servers.database().await?;
    let mut evidence = Evidence::collect(stream, &database, totals).await?;
    evidence.stored += plan.beside.map_or(0, |beside| beside.gone());
    Ok(reconcile::faults(report, &evidence))
}

/// Runs the generator as a process of its own.
///
/// # Errors
/// It failed, or did not end in time.
pub async fn generate(spec: &GeneratorSpec) -> anyhow::Result<LoadReport> {
    let program = std::env::current_exe().context("find this binary")?;
    let all = spec.warmup_ms + spec.measured_ms + spec.patience_ms;
    let deadline = LEAD + Duration::from_millis(all) + PATIENCE;
    let arguments = ["generate".to_owned(), serde_json::to_string(spec)?];
    child(program, arguments, deadline).await
}

/// Runs `program` to its end and reads the JSON it prints.
pub(crate) async fn child<T: for<'de> Deserialize<'de>>(
    program: impl Into<std::path::PathBuf>,
    arguments: [String; 2],
    deadline: Duration,
) -> anyhow::Result<T> {
    let scratch = ScratchDir::new()?;
    let output = scratch.path().join("output");
    let name = arguments[0].clone();
    let spec = ServiceSpec::new(&name, program)
        .args(arguments)
        .output(Output::File(output.clone()));
    let mut service = Service::start(spec)?;
    let status = tokio::time::timeout(deadline, service.wait())
        .await
        .with_context(|| format!("{name} did not end in time"))??;
    let text = std::fs::read_to_string(&output)?;
    if !status.success() {
        bail!("{name} ended with {status}: {}", text.trim());
    }
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{name} printed {text:?}"))
}

/// Waits until everything appended is committed.
pub(crate) async fn drained(stream: &Stream, within: Duration) -> anyhow::Result<Totals> {
    let draining = async {
        loop {
            let totals = stream.totals(0).await?;
            if totals.backlog_events() == 0 {
                return anyhow::Ok(totals);
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    match tokio::time::timeout(within, draining).await {
        Ok(totals) => totals,
        Err(_) => bail!(
            "{} events were not stored within {within:?} after the load",
            stream.totals(0).await?.backlog_events()
        ),
    }
}

fn backlog_per_second(timeline: &Timeline) -> Vec<i64> {
    let snapshots = timeline.snapshots.iter();
    snapshots
        .map(|snapshot| snapshot.totals.backlog_events())
        .collect()
}
