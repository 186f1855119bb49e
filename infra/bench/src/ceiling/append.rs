//! The append script with frames that are made already, and nothing else.

use std::cell::Cell;
use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use evp_shared::config::RedisConfig;
use evp_shared::frame::Frame;
use evp_shared::keys::Keys;
use evp_shared::redis::{connect, connected};
use evp_shared::stream::{Life, Stream};
use futures::future::try_join_all;

use super::{RawReport, RawSpec, samples};
use crate::measure::process::Usage;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Distinct frames that are appended again and again.
const FRAMES: u32 = 32;

/// Appends as fast as answers come.
///
/// # Errors
/// Redis does not answer, or refuses.
pub async fn run(spec: &RawSpec) -> anyhow::Result<RawReport> {
    let clock = Clock::system();
    let client = connect(&RedisConfig::at(spec.url.clone(), TIMEOUT))?;
    connected(&client, TIMEOUT).await?;
    let stream = Stream::new(client, &Keys::new(&spec.name), 1);
    let life = stream.hello(0, Life::UNKNOWN, None).await?.life;
    let frames = (0..FRAMES)
        .map(|number| samples::frame(spec.events, number, clock.now_ms()))
        .collect::<anyhow::Result<Vec<Frame>>>()?;
    let appended = Cell::new(0);
    let start = clock.now();
    let end = start + Duration::from_millis(spec.warmup_ms + spec.measured_ms);
    let workers = (0..usize::from(spec.in_flight)).map(|worker| {
        let (stream, clock, appended) = (&stream, &clock, &appended);
        let mut own = frames.chunks(1).cycle().skip(worker);
        async move {
            while clock.now() < end {
                let frame = own.next().unwrap_or_default();
                stream.append(0, life, frame).await?;
                appended.set(appended.get() + u64::from(spec.events));
            }
            anyhow::Ok(())
        }
    });
    let (report, _) = futures::try_join!(
        measured(spec, start, &appended, &clock),
        try_join_all(workers)
    )?;
    Ok(report)
}

/// Looks at `counter` and at both processes at the beginning and the end of the measured part.
pub(super) async fn measured(
    spec: &RawSpec,
    start: Instant,
    counter: &Cell<u64>,
    clock: &Clock,
) -> anyhow::Result<RawReport> {
    let server = || match spec.server_pid {
        Some(pid) => Usage::of(pid),
        None => Ok(Usage::default()),
    };
    let begin = start + Duration::from_millis(spec.warmup_ms);
    tokio::time::sleep_until(begin.into()).await;
    let (began, events, own, other) = (clock.now(), counter.get(), Usage::of_self()?, server()?);
    let end = begin + Duration::from_millis(spec.measured_ms);
    tokio::time::sleep_until(end.into()).await;
    Ok(RawReport {
        events: counter.get() - events,
        seconds: (clock.now() - began).as_secs_f64(),
        client_cpu_s: Usage::of_self()?.cpu_s - own.cpu_s,
        server_cpu_s: server()?.cpu_s - other.cpu_s,
    })
}
