//! What is done beside a load: a span of a past day is filled before it, and sealed or dropped while
//! it is sent.

use std::time::Duration;

use anyhow::ensure;
use evp_shared::clock::Clock;
use evp_shared::event::span::Span;

use crate::console::print;
use crate::figures::Figures;
use crate::load::fill::{Fill, fill};
use crate::load::times::{DAY_MS, midnight};
use crate::measure::process::cpu_of_threads;
use crate::measure::watch::{Role, Window};
use crate::run::drained;
use crate::spans;
use crate::stack::{Environment, Stack};

/// Types of the events in the span.
const TYPES: u16 = 10;
/// How long storing them may take after they were sent.
const STORED_WITHIN: Duration = Duration::from_secs(300);
/// From the beginning of the measured part to what is done: a second of the load alone.
const AFTER: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);
/// What mongod's threads that build indexes are called, as far as the kernel keeps a name.
const BUILDERS: &str = "IndexBu";

/// A span of a past day, and what is done to it.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// Events in it.
    pub events: u64,
    /// Whether it is sealed before anything is measured, as what is old enough to go is.
    pub is_sealed: bool,
    /// What is done to it; nothing in the run without.
    pub act: Option<Act>,
}

/// What is done to a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its exact index is built in place of the bucketed one.
    Seal,
    /// It goes.
    Drop,
}

/// A filled span.
#[derive(Debug)]
pub struct Filled<'a> {
    environment: &'a Environment,
    stack: &'a Stack,
    beside: Beside,
    span: Span,
}

impl Beside {
    /// Fills the span, and waits until all is stored.
    ///
    /// # Errors
    /// The events are not taken, or not stored in time.
    pub async fn filled<'a>(
        self,
        environment: &'a Environment,
        stack: &'a Stack,
    ) -> anyhow::Result<Filled<'a>> {
        // The day before yesterday: it has ended, whatever is waited for after that.
        let now_ms = Clock::system().now_ms();
        let from_ms = midnight(now_ms) - 2 * DAY_MS;
        let events = Fill {
            events: self.events,
            types: TYPES,
            from_ms,
            length_ms: DAY_MS,
        };
        fill(stack.ingest_port, events).await?;
        drained(&stack.servers.stream().await?, STORED_WITHIN).await?;
        let span = spans::of(from_ms, now_ms);
        if self.is_sealed {
            Act::Seal.to(&span, stack, environment).await?;
        }
        Ok(Filled {
            environment,
            stack,
            beside: self,
            span,
        })
    }

    /// How many of its events are no longer there at the end.
    #[must_use]
    pub fn gone(&self) -> u64 {
        match self.act {
            Some(Act::Drop) => self.events,
            Some(Act::Seal) | None => 0,
        }
    }
}

impl Act {
    const fn verb(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Drop => "drop",
        }
    }

    /// Does it to `span`, and waits until it is done.
    ///
    /// # Errors
    /// It is refused, or MongoDB does not answer.
    pub async fn to(
        self,
        span: &Span,
        stack: &Stack,
        environment: &Environment,
    ) -> anyhow::Result<()> {
        let name = span.to_string();
        let arguments = ["storage", self.verb(), &name, "--yes"];
        stack.command(environment, &arguments).await?;
        let database = stack.servers.database().await?;
        loop {
            let is_done = match self {
                Self::Seal => spans::is_sealed(&database, span).await?,
                Self::Drop => spans::is_gone(&database, span).await?,
            };
            if is_done {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Filled<'_> {
    /// Does it while the load is sent, and tells what that took.
    ///
    /// # Errors
    /// It failed, or lasted longer than is measured: the figures would be of something else.
    pub async fn act(&self, window: Window) -> anyhow::Result<Figures> {
        let Some(act) = self.beside.act else {
            return Ok(Figures::new());
        };
        let clock = Clock::system();
        let begin = window.measured + AFTER;
        tokio::time::sleep_until(begin.into()).await;
        act.to(&self.span, self.stack, self.environment).await?;
        let end = clock.now();
        ensure!(
            end <= window.end,
            "to {} {} lasted longer than is measured: measure more seconds",
            act.verb(),
            self.span
        );
        let took_s = (end - begin).as_secs_f64();
        print(&format!(
            "to {} {} took {took_s:.1} s",
            act.verb(),
            self.span
        ));
        let mut figures = Figures::from([("act_s".to_owned(), took_s)]);
        let processes = self.stack.servers.processes();
        let mongod = processes.iter().find(|(role, _)| *role == Role::Mongod);
        let builders = mongod.map(|(_, pid)| cpu_of_threads(*pid, BUILDERS));
        if let Some(build_s) = builders.transpose()?.flatten() {
            figures.insert("build_cpu_s".to_owned(), build_s);
        }
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use evp_devstack::{MongoOptions, MongoServer};
    use evp_shared::config::MongoConfig;

    use super::*;

    #[tokio::test]
    async fn the_threads_that_build_an_index_are_found_by_their_name() {
        let server = MongoServer::start(MongoOptions::default()).await.unwrap();
        let config = MongoConfig::at(server.url(), "bench");
        let database = evp_shared::store::connect(&config, 2).await.unwrap();
        let pid = server.pid().unwrap();
        let builders = || cpu_of_threads(pid, BUILDERS).unwrap();
        let documents = database.collection("any");
        documents.insert_one(doc! { "a": 1 }).await.unwrap();
        assert_eq!(builders(), None);
        let index = doc! { "name": "a", "key": { "a": 1 } };
        let build = doc! { "createIndexes": "any", "indexes": [index] };
        database.run_command(build).await.unwrap();
        assert!(builders().is_some());
    }
}
