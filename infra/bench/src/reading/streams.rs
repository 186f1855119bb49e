//! What clients of the live stream cost: the aggregator's memory and CPU, and ingest's answers
//! beside them.

use std::time::Duration;

use evp_shared::clock::Clock;
use futures::future::{join_all, try_join_all};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LEAD, WARMUP, send};
use crate::load::{Load, LoadReport};
use crate::measure::process::Usage;
use crate::stack::{Environment, Layout, Stack};
use crate::table::Grid;

/// Bytes read at once from one connection.
const CHUNK: usize = 16 * 1024;
const FRAME: &[u8] = b"event: event\n";

/// Who listens to what.
#[derive(Debug, Clone, Copy)]
pub struct StreamPlan {
    /// Clients, those that stall included.
    pub clients: usize,
    /// Clients that read nothing after they have asked.
    pub stalled: usize,
    /// Events per second each client asks for at most.
    pub rate: u32,
    /// Events per second that are sent meanwhile.
    pub load: f64,
    /// How long is measured.
    pub measured: Duration,
}

/// Measures with nobody listening and with everybody, and returns the table.
///
/// # Errors
/// Something could not be started, or a client was refused.
pub async fn run(environment: &Environment, plan: StreamPlan) -> anyhow::Result<String> {
    let layout = Layout::new(&["type", "user"]);
    let stack = Stack::start(environment, layout).await?;
    let reader = stack.reader(environment).await?;
    let load = || Load::open(plan.load, 100);
    let alone = send(&stack, load(), plan.measured).await?;
    let before = Usage::of(reader.pid()?)?;

    let listening = (0..plan.clients).map(|_| listen(reader.port, plan.rate));
    let mut connections = try_join_all(listening).await?;
    let stalled = connections.split_off(plan.clients - plan.stalled);
    let clock = Clock::system();
    let began = clock.now();
    let count = async {
        let begin = tokio::time::Instant::now() + LEAD + WARMUP;
        let readers = connections.iter_mut().map(|one| async move {
            let _warmup = events_until(one, begin).await;
            events_until(one, begin + plan.measured).await
        });
        join_all(readers).await
    };
    let (received, beside) = futures::join!(count, send(&stack, load(), plan.measured));
    let (beside, after) = (beside?, Usage::of(reader.pid()?)?);
    let seconds = (clock.now() - began).as_secs_f64();
    drop(stalled);

    let figures = Figures {
        received,
        alone,
        beside,
        rss_before: before.rss_bytes,
        rss_max: after.rss_max_bytes,
        cores: (after.cpu_s - before.cpu_s) / seconds,
    };
    stack.servers.clean().await?;
    Ok(figures.table(plan))
}

/// What was measured.
struct Figures {
    /// Events that came to each client that reads.
    received: Vec<usize>,
    /// The load without clients, and beside them.
    alone: LoadReport,
    beside: LoadReport,
    /// The aggregator's memory before the clients came, and at most.
    rss_before: u64,
    rss_max: u64,
    /// What it used beside them.
    cores: f64,
}

impl Figures {
    fn table(mut self, plan: StreamPlan) -> String {
        self.received.sort_unstable();
        let at = |index: usize| {
            let events = self.received.get(index).copied().unwrap_or(0);
            events as f64 / plan.measured.as_secs_f64()
        };
        let (lowest, median) = (at(0), at(self.received.len() / 2));
        let mut grid = Grid::new(&["figure", "value"]);
        let rows = [
            (
                "clients, of which stalled",
                format!("{}, {}", plan.clients, plan.stalled),
            ),
            ("events sent per second", format!("{:.0}", plan.load)),
            (
                "events per second and client: lowest, median",
                format!("{lowest:.1}, {median:.1}"),
            ),
            (
                "aggregator: MiB before them, at most",
                format!("{}, {}", mib(self.rss_before), mib(self.rss_max)),
            ),
            ("aggregator: cores", format!("{:.2}", self.cores)),
            (
                "ingest's answers without them: p50, p99 ms",
                quantiles(&self.alone),
            ),
            (
                "ingest's answers beside them: p50, p99 ms",
                quantiles(&self.beside),
            ),
        ];
        for (name, value) in rows {
            grid.push([name.to_owned(), value]);
        }
        grid.text()
    }
}

async fn listen(port: u16, rate: u32) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET /stream?rate={rate} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 15];
    stream.read_exact(&mut head).await?;
    if !head.ends_with(b"200 OK") {
        let answer = String::from_utf8_lossy(&head).into_owned();
        return Err(std::io::Error::other(format!(
            "a client was answered {answer}"
        )));
    }
    Ok(stream)
}

/// Counts the events that come until `deadline`.
async fn events_until(stream: &mut TcpStream, deadline: tokio::time::Instant) -> usize {
    let mut events = 0;
    // What a chunk ends with may be the beginning of a frame.
    let mut buffer = Vec::with_capacity(2 * CHUNK);
    while let Ok(Ok(read)) = tokio::time::timeout_at(deadline, stream.read_buf(&mut buffer)).await {
        if read == 0 {
            break;
        }
        events += memmem::find_iter(&buffer, FRAME).count();
        let rest = rest_of(&buffer);
        buffer.drain(..buffer.len() - rest);
    }
    events
}

/// Bytes at the end of `buffer` that may be the beginning of a frame.
fn rest_of(buffer: &[u8]) -> usize {
    let longest = buffer.len().min(FRAME.len() - 1);
    let begins = |bytes: &usize| FRAME.starts_with(&buffer[buffer.len() - bytes..]);
    (0..=longest).rev().find(begins).unwrap_or(0)
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

fn quantiles(report: &LoadReport) -> String {
    format!("{:.1}, {:.1}", report.answer.p50, report.answer.p99)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_cut_in_two_is_counted_once() {
        assert_eq!(rest_of(b"data: x\n\nevent: ev"), 9);
        assert_eq!(rest_of(b"event: event\n"), 0);
        assert_eq!(rest_of(b""), 0);
    }
}
