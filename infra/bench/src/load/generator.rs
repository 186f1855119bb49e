//! Hot path: all connections of a load, on one thread.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use evp_shared::testing::tls::trusting;
use futures::future::try_join;
use futures::stream::{FuturesUnordered, StreamExt as _};
use hdrhistogram::Histogram;
use tokio_rustls::TlsConnector;

use super::client::{Answer, Connection, accepted};
use super::pacer::{Pacer, Schedule};
use super::template::{Template, Templates};
use super::{GeneratorSpec, IdKind, LoadReport, Quantiles};
use crate::measure::process::Usage;

/// Longest latency that is told apart from longer ones, in microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;
/// Between two attempts to connect again after a connection failed.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const ACCEPTED: u16 = 202;

/// Sends the load and returns what came of it.
///
/// # Errors
/// Nobody listens, or what the operating system tells of this process cannot be read. Failed
/// requests are no error: they are in the report.
pub async fn generate(spec: &GeneratorSpec) -> anyhow::Result<LoadReport> {
    let clock = Clock::system();
    let generator = Generator::new(spec, clock.clone())?;
    let connections = (0..spec.load.connections).map(|_| generator.connect());
    let connections = futures::future::try_join_all(connections).await?;
    // Few futures in a `join_all` would all be polled whenever one of them is woken.
    let workers: FuturesUnordered<_> = connections
        .into_iter()
        .map(|connection| generator.work(connection))
        .collect();
    let all = async {
        workers.collect::<()>().await;
        io::Result::Ok(())
    };
    let deadline = generator.end + Duration::from_millis(spec.patience_ms);
    let sending = tokio::time::timeout_at(deadline.into(), try_join(all, generator.pace()));
    let (sent, usage) = futures::join!(sending, generator.usage());
    if let Ok(sent) = sent {
        sent?;
    }
    let mut report = generator.finish();
    let usage = usage?;
    report.cpu_s = usage.cpu_s;
    report.rss_bytes = usage.rss_max_bytes;
    Ok(report)
}

struct Generator<'a> {
    spec: &'a GeneratorSpec,
    clock: Clock,
    schedule: Option<Schedule>,
    start: Instant,
    /// Where the measured part begins and ends.
    measured: Instant,
    end: Instant,
    pacer: Pacer,
    tls: Option<TlsConnector>,
    templates: RefCell<Templates>,
    tally: RefCell<Tally>,
}

struct Tally {
    report: LoadReport,
    in_flight: u64,
    answer_us: Histogram<u64>,
    delay_us: Histogram<u64>,
}

impl<'a> Generator<'a> {
    fn new(spec: &'a GeneratorSpec, clock: Clock) -> anyhow::Result<Self> {
        let (now, now_ms) = (clock.now(), clock.now_ms());
        let wait = Duration::from_millis(spec.start_at_ms.saturating_sub(now_ms));
        let start = now + wait;
        let measured = start + Duration::from_millis(spec.warmup_ms);
        let end = measured + Duration::from_millis(spec.measured_ms);
        let schedule = spec.load.rate().map(|rate| {
            let interval = Duration::from_secs_f64(f64::from(spec.load.request_events) / rate);
            let nanos = interval.as_nanos().max(1);
            Schedule {
                start,
                interval,
                requests: u64::try_from((end - start).as_nanos() / nanos).unwrap_or(u64::MAX),
            }
        });
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_US, 3);
        let mut report = LoadReport::default();
        if spec.load.ids != IdKind::Server {
            report.distinct = Some(0);
        }
        Ok(Self {
            spec,
            schedule,
            start,
            measured,
            end,
            pacer: Pacer::default(),
            tls: spec
                .authority
                .as_deref()
                .map(|pem| trusting(pem, &[], rustls::ALL_VERSIONS)),
            templates: RefCell::new(Templates::make(spec, now_ms)?),
            tally: RefCell::new(Tally {
                report,
                in_flight: 0,
                answer_us: histogram()?,
                delay_us: histogram()?,
            }),
            clock,
        })
    }

    async fn pace(&self) -> io::Result<()> {
        match self.schedule {
            Some(schedule) => self.pacer.run(schedule, &self.clock).await,
            None => Ok(()),
        }
    }

    /// When the next request of this connection was due; `None` when there are no more.
    async fn next(&self) -> Option<Instant> {
        match self.schedule {
            Some(schedule) => Some(schedule.due(self.pacer.next().await?)),
            None => {
                let now = self.clock.now();
                (now < self.end).then_some(now)
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        Connection::open_over(self.spec.port, self.tls.as_ref()).await
    }

    async fn work(&self, mut connection: Connection) {
        tokio::time::sleep_until(self.start.into()).await;
        while let Some(due) = self.next().await {
            if self.request(&mut connection, due).await.is_ok() {
                continue;
            }
            connection = loop {
                match self.connect().await {
                    Ok(connection) => break connection,
                    Err(_) => tokio::time::sleep(RECONNECT_AFTER).await,
                }
            };
        }
    }

    async fn request(&self, connection: &mut Connection, due: Instant) -> io::Result<()> {
        let template = self.templates.borrow_mut().take(self.unix_ms(due));
        let sent_at = self.clock.now();
        self.begin(due, sent_at);
        let outcome = connection.exchange(&template.bytes).await;
        let answered_at = self.clock.now();
        match outcome {
            Ok(answer) => {
                let is_accepted = self.answered(answer, due, answered_at);
                self.give_back(template, is_accepted);
                Ok(())
            }
            Err(error) => {
                self.unconfirmed();
                self.give_back(template, false);
                Err(error)
            }
        }
    }

    fn give_back(&self, template: Template, is_accepted: bool) {
        let fresh = self.templates.borrow_mut().give_back(template, is_accepted);
        if is_accepted && let Some(distinct) = &mut self.tally.borrow_mut().report.distinct {
            *distinct += fresh;
        }
    }

    fn events(&self) -> u64 {
        u64::from(self.spec.load.request_events)
    }

    /// The wall-clock time of `instant`, which events carry so that the time until they are
    /// stored can be told from them.
    fn unix_ms(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        self.spec.start_at_ms + u64::try_from(since.as_millis()).unwrap_or(0)
    }

    fn begin(&self, due: Instant, now: Instant) {
        let mut tally = self.tally.borrow_mut();
        tally.report.sent += self.events();
        tally.in_flight += self.events();
        if due >= self.measured {
            let us = micros(now.saturating_duration_since(due));
            tally.delay_us.saturating_record(us);
        }
    }

    fn answered(&self, answer: Answer<'_>, due: Instant, now: Instant) -> bool {
        let mut tally = self.tally.borrow_mut();
        let events = self.events();
        tally.in_flight -= events;
        // By when it was due: what a stall delays beyond the end counts all the same.
        if due >= self.measured {
            let us = micros(now.saturating_duration_since(due));
            tally.answer_us.saturating_record(us);
        }
        let Some(said) = accepted(answer.body).filter(|_| answer.status == ACCEPTED) else {
            if memchr::memmem::find(answer.body, b"not_confirmed").is_some() {
                tally.report.unconfirmed += events;
            } else {
                *tally.report.refused.entry(answer.status).or_default() += events;
            }
            return false;
        };
        tally.report.accepted += said.accepted;
        tally.report.duplicates += said.duplicates;
        tally.report.rejected += events.saturating_sub(said.accepted + said.duplicates);
        if now >= self.measured && now < self.end {
            tally.report.measured_accepted += said.accepted;
        }
        true
    }

    fn unconfirmed(&self) {
        let mut tally = self.tally.borrow_mut();
        tally.in_flight -= self.events();
        tally.report.unconfirmed += self.events();
    }

    /// CPU of the measured part.
    async fn usage(&self) -> io::Result<Usage> {
        tokio::time::sleep_until(self.measured.into()).await;
        let before = Usage::of_self()?;
        tokio::time::sleep_until(self.end.into()).await;
        let after = Usage::of_self()?;
        Ok(Usage {
            cpu_s: after.cpu_s - before.cpu_s,
            ..after
        })
    }

    fn finish(self) -> LoadReport {
        let tally = self.tally.into_inner();
        let mut report = tally.report;
        // What has no answer by now gets none.
        report.unconfirmed += tally.in_flight;
        report.unsent = self.pacer.waiting() * u64::from(self.spec.load.request_events);
        report.answer = Quantiles::of_us(&tally.answer_us);
        report.send_delay = Quantiles::of_us(&tally.delay_us);
        report
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
