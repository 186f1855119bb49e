//! How long queries take on a large collection: every indexed shape, with and without a time range.
//!
//! The events go in through ingest, their timestamps spread evenly over a day.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{bail, ensure};
use evp_shared::clock::Clock;
use futures::future::try_join_all;
use hdrhistogram::Histogram;

use crate::load::client::{Connection, accepted};
use crate::load::event::EventText;
use crate::load::ids::{Random, hyphenated};
use crate::load::{IdKind, Load, Quantiles};
use crate::row::thousands;
use crate::run::drained;
use crate::stack::{Environment, Layout, Stack};
use crate::table::Grid;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
const HOUR_MS: u64 = 3_600 * 1_000;
const TYPES: u16 = 200;
const USERS: usize = 10_000;
const CONNECTIONS: u64 = 8;
const REQUEST_EVENTS: u64 = 500;
/// Before a refused request is sent again: the processor is behind.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long storing what is left may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(600);
/// Queries of each shape before any is measured.
const WARMUP: usize = 20;

/// What is asked of how much.
#[derive(Debug, Clone, Copy)]
pub struct QueryPlan {
    /// Documents in the collection.
    pub documents: u64,
    /// Queries of each shape.
    pub repeats: usize,
}

/// A filter that the default indexes serve.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Type,
    Types,
    User,
    UserAndType,
    Everything,
}

impl Shape {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Type, "one type"),
        (Self::Types, "five types"),
        (Self::User, "one user"),
        (Self::UserAndType, "one user and type"),
        (Self::Everything, "no filter, 200 types"),
    ];

    fn filter(self, random: &mut Random) -> String {
        let kind = |random: &mut Random| {
            format!("&type=page.view.{:03}", random.below(usize::from(TYPES)))
        };
        let user = |random: &mut Random| format!("&userId=user-{:06}", random.below(USERS));
        match self {
            Self::Type => kind(random),
            Self::Types => (0..5).map(|_| kind(random)).collect(),
            Self::User => user(random),
            Self::UserAndType => format!("{}{}", user(random), kind(random)),
            Self::Everything => String::new(),
        }
    }
}

/// Fills a collection, asks, and returns the table.
///
/// # Errors
/// Something could not be started, or a query was not answered.
pub async fn run(environment: &Environment, plan: QueryPlan) -> anyhow::Result<String> {
    let layout = Layout::new(&["type", "user"]);
    let stack = Stack::start(environment, layout).await?;
    let clock = Clock::system();
    let end_ms = clock.now_ms();
    let began = clock.now();
    fill(stack.ingest_port, plan.documents, end_ms).await?;
    let stored = drained(&stack.servers.stream().await?, DRAIN_WITHIN).await?;
    let took = (clock.now() - began).as_secs_f64();
    let reader = stack.reader(environment).await?;
    let mut grid = Grid::new(&[
        "page of 50",
        "time range",
        "events in it",
        "p50 ms",
        "p99 ms",
        "longest ms",
    ]);
    let mut random = Random::new(end_ms);
    let mut connection = Connection::open(reader.port).await?;
    for (shape, name) in Shape::ALL {
        for (range, hours) in [("none", 24), ("an hour of the day", 1)] {
            let mut asked = Asked::new()?;
            for number in 0..WARMUP + plan.repeats {
                let from = end_ms - DAY_MS + random.next() % (DAY_MS - HOUR_MS);
                let span = match hours {
                    24 => String::new(),
                    _ => format!("&from={from}&to={}", from + HOUR_MS),
                };
                let path = format!("/events?limit=50{}{span}", shape.filter(&mut random));
                asked.ask(&mut connection, &path, number >= WARMUP).await?;
            }
            grid.push(asked.cells(name, range));
        }
    }
    let heading = format!(
        "{} events stored in {took:.0} s, of {TYPES} types and {} users over a day",
        thousands(plan.documents as f64),
        thousands(USERS as f64),
    );
    let counted = u64::try_from(stored.counted_events)?;
    ensure!(counted == plan.documents, "{counted} events were counted");
    stack.servers.clean().await?;
    Ok(format!("{heading}\n\n{}", grid.text()))
}

/// What came of the queries of one shape.
struct Asked {
    items: u64,
    took_us: Histogram<u64>,
}

impl Asked {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            items: 0,
            took_us: Histogram::new_with_bounds(1, 60_000_000, 3)?,
        })
    }

    async fn ask(
        &mut self,
        connection: &mut Connection,
        path: &str,
        is_measured: bool,
    ) -> anyhow::Result<()> {
        let clock = Clock::system();
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        let began = clock.now();
        let answer = connection.exchange(request.as_bytes()).await?;
        let took = clock.now() - began;
        if answer.status != 200 {
            bail!(
                "{path}: {} {}",
                answer.status,
                String::from_utf8_lossy(answer.body)
            );
        }
        if is_measured {
            self.took_us
                .saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            self.items += memchr::memmem::find_iter(answer.body, b"\"eventType\"").count() as u64;
        }
        Ok(())
    }

    fn cells(&self, shape: &str, range: &str) -> [String; 6] {
        let took = Quantiles::of_us(&self.took_us);
        let mean = self.items / took.count.max(1);
        [
            shape.to_owned(),
            range.to_owned(),
            mean.to_string(),
            format!("{:.1}", took.p50),
            format!("{:.1}", took.p99),
            format!("{:.1}", took.max),
        ]
    }
}

/// Sends `documents` events over some connections, as fast as they are taken.
async fn fill(port: u16, documents: u64, end_ms: u64) -> anyhow::Result<()> {
    let next = Cell::new(0);
    let senders = (0..CONNECTIONS).map(|seed| {
        let next = &next;
        async move {
            let mut connection = Connection::open(port).await?;
            let mut random = Random::new(end_ms ^ seed);
            while next.get() < documents {
                let first = next.get();
                let count = REQUEST_EVENTS.min(documents - first);
                next.set(first + count);
                let times = (first..first + count)
                    .map(|number| end_ms - DAY_MS + number * DAY_MS / documents);
                let request = request(times, &mut random);
                deliver(&mut connection, &request, count).await?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(senders).await?;
    Ok(())
}

async fn deliver(connection: &mut Connection, request: &[u8], count: u64) -> anyhow::Result<()> {
    loop {
        let answer = connection.exchange(request).await?;
        match (answer.status, accepted(answer.body)) {
            (202, Some(accepted)) if accepted.accepted == count => return Ok(()),
            (503, _) => tokio::time::sleep(AGAIN_AFTER).await,
            (status, _) => bail!("{status} {}", String::from_utf8_lossy(answer.body)),
        }
    }
}

fn request(times: impl Iterator<Item = u64>, random: &mut Random) -> Vec<u8> {
    let load = Load {
        ids: IdKind::V4,
        types: TYPES,
        ..Load::open(1.0, 100)
    };
    let mut body = vec![b'['];
    for time in times {
        let event = EventText::make(&load, random);
        let at = body.len();
        body.extend_from_slice(event.json.as_bytes());
        let id = hyphenated(random.v4());
        for (place, text) in [
            (event.id_at, &id[..]),
            (event.time_at, time.to_string().as_bytes()),
        ] {
            if let Some(place) = place {
                body[at + place..at + place + text.len()].copy_from_slice(text);
            }
        }
        body.push(b',');
    }
    // The last comma.
    body.pop();
    body.push(b']');
    let head = format!(
        "POST /events?ids=none HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_times_they_are_given_and_ids_of_their_own() {
        let request = request(
            [1_700_000_000_001, 1_700_000_000_002].into_iter(),
            &mut Random::new(1),
        );
        let body = request.split(|byte| *byte == b'[').nth(1).unwrap();
        let body = format!("[{}", String::from_utf8_lossy(body));
        let events: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(events[0]["timestamp"], 1_700_000_000_001_u64);
        assert_eq!(events[1]["timestamp"], 1_700_000_000_002_u64);
        assert_ne!(events[0]["eventId"], events[1]["eventId"]);
    }
}
