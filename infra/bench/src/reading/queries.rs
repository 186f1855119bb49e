//! How long queries take on a large collection: every indexed shape, with and without a time range.
//!
//! The events go in through ingest, their timestamps spread evenly over some days.

use std::time::Duration;

use anyhow::{bail, ensure};
use evp_shared::clock::Clock;
use hdrhistogram::Histogram;

use crate::beside::Act;
use crate::load::Quantiles;
use crate::load::client::Connection;
use crate::load::fill::{Fill, fill};
use crate::load::ids::Random;
use crate::load::times::{DAY_MS, midnight};
use crate::row::thousands;
use crate::run::drained;
use crate::spans;
use crate::stack::{Environment, Layout, Stack};
use crate::table::Grid;

const HOUR_MS: u64 = 3_600 * 1_000;
const TYPES: u16 = 200;
const USERS: usize = 10_000;
/// How long storing what is left may take.
const DRAIN_WITHIN: Duration = Duration::from_secs(600);
/// Queries of each shape before any is measured.
const WARMUP: usize = 20;

/// What is asked of how much.
#[derive(Debug, Clone, Copy)]
pub struct QueryPlan {
    /// Documents in it.
    pub documents: u64,
    /// Whole days that they are of, up to the last midnight.
    pub days: u16,
    /// Whether the spans of all these days are sealed first.
    pub is_sealed: bool,
    /// Queries of each shape.
    pub repeats: usize,
}

/// A filter that the default indexes serve.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Type,
    Types,
    User,
    Nobody,
    UserAndType,
    Everything,
}

impl Shape {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Type, "one type"),
        (Self::Types, "five types"),
        (Self::User, "one user"),
        (Self::Nobody, "a user without events"),
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
            Self::Nobody => format!("&userId=nobody-{:06}", random.below(USERS)),
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
    let layout = Layout {
        has_past: true,
        ..Layout::new(&["type", "user"])
    };
    let stack = Stack::start(environment, layout).await?;
    let clock = Clock::system();
    let end_ms = midnight(clock.now_ms());
    let length_ms = u64::from(plan.days) * DAY_MS;
    let began = clock.now();
    let events = Fill {
        events: plan.documents,
        types: TYPES,
        from_ms: end_ms - length_ms,
        length_ms,
    };
    fill(stack.ingest_port, events).await?;
    let stored = drained(&stack.servers.stream().await?, DRAIN_WITHIN).await?;
    let took = (clock.now() - began).as_secs_f64();
    if plan.is_sealed {
        for day in 0..u64::from(plan.days) {
            let span = spans::of(events.from_ms + day * DAY_MS, end_ms);
            Act::Seal.to(&span, &stack, environment).await?;
        }
    }
    let reader = stack.reader(environment).await?;
    let grid = asked(reader.port, plan, events).await?;
    let heading = format!(
        "{} events stored in {took:.0} s, of {TYPES} types and {} users over {} days{}",
        thousands(plan.documents as f64),
        thousands(USERS as f64),
        plan.days,
        if plan.is_sealed { ", sealed" } else { "" },
    );
    let counted = u64::try_from(stored.counted_events)?;
    ensure!(counted == plan.documents, "{counted} events were counted");
    stack.servers.clean().await?;
    Ok(format!("{heading}\n\n{}", grid.text()))
}

/// Asks for pages of every shape among `events`.
async fn asked(port: u16, plan: QueryPlan, events: Fill) -> anyhow::Result<Grid> {
    let mut grid = Grid::new(&[
        "page of 50",
        "time range",
        "events in it",
        "p50 ms",
        "p99 ms",
        "longest ms",
    ]);
    let mut random = Random::new(events.from_ms);
    let mut connection = Connection::open(port).await?;
    for (shape, name) in Shape::ALL {
        for range in ["none", "an hour"] {
            let mut asked = Asked::new()?;
            for number in 0..WARMUP + plan.repeats {
                let from = events.from_ms + random.next() % (events.length_ms - HOUR_MS);
                let span = match range {
                    "none" => String::new(),
                    _ => format!("&from={from}&to={}", from + HOUR_MS),
                };
                let path = format!("/events?limit=50{}{span}", shape.filter(&mut random));
                asked.ask(&mut connection, &path, number >= WARMUP).await?;
            }
            grid.push(asked.cells(name, range));
        }
    }
    Ok(grid)
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
