//! Logs on standard output, metrics as Prometheus text.

mod lines;
mod table;
mod weighted;

use std::convert::Infallible;
use std::io::IsTerminal;
use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tracing::Subscriber;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::{EnvFilter, reload};

use self::lines::Lines;
pub use self::table::as_f64;
pub use self::weighted::Weighted;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::metric_table;
use crate::shutdown::Shutdown;
use crate::version;

/// Buckets of `*_seconds` histograms: 0.5 ms to 10 s. The lower end resolves an append to a Redis
/// on the same machine, the upper one is the insert deadline.
const SECONDS_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Buckets of `*_events` histograms: powers of two up to the events of one request, 10,000.
const EVENTS_BUCKETS: [f64; 15] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0,
    10000.0,
];

/// How often histograms are emptied into their buckets: the memory between two scrapes is bounded
/// by it, also when nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Has another filter judge events from now on.
type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

static SET_FILTER: Mutex<Option<SetFilter>> = Mutex::new(None);

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// The counters that are kept as gauges, because they are set, or have fractions.
static TOTALS: Mutex<Vec<&str>> = Mutex::new(Vec::new());

metric_table! {
    /// What every process has, besides what `metrics-process` reads.
    struct Process {
        gauge "evp_runtime_workers" "Threads that run tasks." [] workers;
        total "evp_runtime_busy_seconds_total" "Time those threads were busy, together." [] busy;
        gauge "evp_runtime_queue_tasks" "Tasks that wait for any of them." [] queue;
    }
}

/// The recorder of metrics cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("metrics recorder cannot be installed")]
pub struct TelemetryError(#[from] BuildError);

/// Renders the metrics of this process; clones share them.
#[derive(Debug, Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
    collector: metrics_process::Collector,
    process: Process,
}

/// Sends `tracing` events to standard output as `log` asks.
///
/// A second call in one process is ignored, so tests may call it freely.
pub fn init_tracing(log: &LogConfig) {
    let (subscriber, set_filter) = subscriber(&log.level, log.format, std::io::stdout);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        *SET_FILTER.lock() = Some(set_filter);
    } else {
        tracing::debug!("tracing is installed already");
    }
}

/// Sends `tracing` events of `level` from now on.
pub fn set_level(level: &LogLevel) {
    if let Some(set_filter) = &*SET_FILTER.lock() {
        set_filter(EnvFilter::new(level.as_str()));
    }
}

/// What writes the events of `level` into `to`, and how that level is changed.
fn subscriber<W>(
    level: &LogLevel,
    format: LogFormat,
    to: W,
) -> (Box<dyn Subscriber + Send + Sync>, SetFilter)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level.as_str()))
        .with_ansi(std::io::stdout().is_terminal())
        .with_writer(to);
    match format {
        LogFormat::Json => {
            let lines = Lines(fmt::format().json().flatten_event(true));
            let builder = builder.fmt_fields(JsonFields::new()).event_format(lines);
            let builder = builder.with_filter_reloading();
            let filter = builder.reload_handle();
            (Box::new(builder.finish()), setter(filter))
        }
        LogFormat::Pretty => {
            let builder = builder.event_format(Lines(fmt::format()));
            let builder = builder.with_filter_reloading();
            let filter = builder.reload_handle();
            (Box::new(builder.finish()), setter(filter))
        }
    }
}

fn setter<S: 'static>(filter: reload::Handle<EnvFilter, S>) -> SetFilter {
    Box::new(move |new| {
        // It fails only once the subscriber is gone.
        drop(filter.reload(new));
    })
}

impl Telemetry {
    /// Installs the recorder for the whole process, or finds the one installed before.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn install() -> Result<Self, TelemetryError> {
        let handle = recorder()?;
        let collector = metrics_process::Collector::default();
        collector.describe();
        counts_elsewhere("process_cpu_seconds_total");
        metrics::describe_gauge!(
            "evp_build_info",
            "Always 1; the labels name what was built."
        );
        let labels = [("version", version::NUMBER), ("commit", version::COMMIT)];
        gauge!("evp_build_info", &labels).set(1.0);
        Ok(Self {
            handle,
            collector,
            process: Process::resolve(),
        })
    }

    /// Returns all metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.collector.collect();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (runtime, process) = (runtime.metrics(), &self.process);
            let workers = runtime.num_workers();
            let busy = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker));
            process.workers.set(as_f64(workers));
            process.busy.set(busy.sum::<Duration>());
            process.queue.set(as_f64(runtime.global_queue_depth()));
        }
        let mut text = self.handle.render();
        for name in TOTALS.lock().iter() {
            let kind = |kind| format!("# TYPE {name} {kind}\n");
            text = text.replacen(&kind("gauge"), &kind("counter"), 1);
        }
        weighted::render(&mut text);
        text
    }

    /// Keeps the recorder's memory bounded until the shutdown; belongs into the `TaskSet`.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    pub async fn run_upkeep(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.handle.run_upkeep(),
                () = shutdown.triggered() => return Ok(()),
            }
        }
    }
}

/// Has the gauge `name` shown as a counter; for [`metric_table!`].
pub fn counts_elsewhere(name: &'static str) {
    let mut totals = TOTALS.lock();
    if !totals.contains(&name) {
        totals.push(name);
    }
}

fn recorder() -> Result<PrometheusHandle, TelemetryError> {
    let mut installed = INSTALLED.lock();
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), &EVENTS_BUCKETS)
        })
        .and_then(PrometheusBuilder::install_recorder)?;
    Ok(installed.insert(handle).clone())
}

#[cfg(test)]
mod tests {
    use metrics::histogram;

    use super::*;
    use crate::config::{LogLevel, Value as _};

    #[test]
    fn installing_twice_shares_one_recorder() {
        let first = Telemetry::install().unwrap();
        let second = Telemetry::install().unwrap();
        gauge!("evp_test_twice").set(5.0);
        for telemetry in [first, second] {
            let text = telemetry.render();
            assert!(text.contains("evp_test_twice 5"), "{text}");
            let (version, commit) = (version::NUMBER, version::COMMIT);
            let build = format!(r#"evp_build_info{{version="{version}",commit="{commit}"}} 1"#);
            assert!(text.contains(&build), "{text}");
            assert!(text.contains("process_resident_memory_bytes"), "{text}");
        }
    }

    #[test]
    fn what_is_counted_elsewhere_is_a_counter_and_has_fractions() {
        counts_elsewhere("evp_test_elsewhere_total");
        gauge!("evp_test_elsewhere_total").set(2.5);
        let text = Telemetry::install().unwrap().render();
        for line in [
            "# TYPE evp_test_elsewhere_total counter",
            "# TYPE process_cpu_seconds_total counter",
            "# TYPE evp_runtime_busy_seconds_total counter",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
    }

    #[test]
    fn histograms_have_the_buckets_of_their_unit() {
        let telemetry = Telemetry::install().unwrap();
        histogram!("evp_test_wait_seconds").record(0.0004);
        histogram!("evp_test_frame_events").record(9_999.0);
        let text = telemetry.render();
        assert!(
            text.contains(r#"evp_test_wait_seconds_bucket{le="0.0005"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"evp_test_frame_events_bucket{le="8192"} 0"#),
            "{text}"
        );
        assert!(
            text.contains(r#"evp_test_frame_events_bucket{le="10000"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn tracing_may_be_initialised_twice() {
        let log = LogConfig {
            format: LogFormat::Json,
            level: LogLevel::parse("info").unwrap(),
        };
        init_tracing(&log);
        init_tracing(&log);
    }
}
