mod builder;

use std::collections::HashMap;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use evp_devstack::{MongoServer, RedisServer, ScratchDir};
use evp_shared::keys::GROUP;
use evp_shared::testing::{TestMongo, TestRedis};
use fred::interfaces::StreamsInterface as _;
use fred::prelude::Value;
use reqwest::Client;

pub use builder::Builder;
pub(crate) use builder::binary;

use crate::guard::Guard;
use crate::keys::{Keys, Teller};
use crate::proxy::Proxy;
use crate::{Chance, Events, Expected, Journal, Ledger, Node, Outcome, Progress, Verdict, until};

/// A connection that a scenario may disturb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// From all ingests to Redis.
    IngestRedis,
    /// From all processors to Redis.
    ProcessorRedis,
    /// From all processors to `MongoDB`.
    ProcessorMongo,
    /// From the aggregator to Redis.
    AggregatorRedis,
    /// From the aggregator to `MongoDB`.
    AggregatorMongo,
}

/// All of EVP, running for one scenario: the services as processes of their own, over keys and a
/// database of their own.
///
/// What has not passed when it is dropped shows the end of each process's log.
#[derive(Debug)]
pub struct System {
    /// The ingest processes.
    pub ingests: Vec<Node>,
    /// The processors.
    pub processors: Vec<Node>,
    /// The aggregator, when one was asked for.
    pub aggregator: Option<Node>,
    /// Keys of this scenario's own.
    pub redis: TestRedis,
    /// Database of this scenario's own.
    pub mongo: TestMongo,
    /// Redis of this scenario's own, when one was asked for.
    pub redis_server: Option<RedisServer>,
    /// `MongoDB` of this scenario's own, when one was asked for.
    pub mongo_server: Option<MongoServer>,
    /// Events no other scenario has.
    pub events: Events,
    /// Randomness of this scenario.
    pub chance: Chance,
    /// For requests to ingest: with a key that writes, unless it is open.
    pub http: Client,
    /// For requests to the aggregator: with a key of the tenant's admin.
    pub reader: Client,
    /// The keys themselves, unless it is open.
    pub keys: Option<Keys>,
    /// How many partitions there are.
    pub partitions: u16,
    /// What the line of the run says besides its books: name and value.
    pub figures: Vec<(String, String)>,
    proxies: HashMap<Link, Proxy>,
    teller: Option<Teller>,
    // Its servers read the file of users at each start.
    guard: Option<Box<Guard>>,
    scenario: &'static str,
    passed: bool,
    logs: ScratchDir,
}

impl System {
    /// Describes one ingest and one processor over the servers all tests share.
    #[must_use]
    pub fn of(scenario: &'static str) -> Builder {
        Builder::of(scenario)
    }

    /// The proxy on a connection.
    ///
    /// # Errors
    /// None was asked for.
    pub fn proxy(&self, link: Link) -> Result<&Proxy> {
        let proxy = self.proxies.get(&link);
        proxy.with_context(|| format!("no proxy on {link:?}"))
    }

    /// Notes a figure for the line of the run.
    pub fn note(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.figures.push((name.into(), value.into()));
    }

    /// Start of the URLs of each ingest.
    #[must_use]
    pub fn ingest_urls(&self) -> Vec<String> {
        self.ingests.iter().map(Node::url).collect()
    }

    /// What `MongoDB` and Redis hold.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(
            self.redis.stream(self.partitions),
            self.mongo.database(),
            self.events.clone(),
        )
    }

    /// The scenario's own Redis.
    ///
    /// # Errors
    /// None was asked for.
    pub fn own_redis(&mut self) -> Result<&mut RedisServer> {
        self.redis_server.as_mut().context("it shares its redis")
    }

    /// The scenario's own `MongoDB`.
    ///
    /// # Errors
    /// None was asked for.
    pub fn own_mongo(&mut self) -> Result<&mut MongoServer> {
        self.mongo_server.as_mut().context("it shares its mongod")
    }

    /// Stops the processor `index` (SIGSTOP) while entries are pending under it. Until it is caught
    /// the others and the scenario's own `MongoDB` stand still, so that it is the one that reads,
    /// and what it has read stays in its hands.
    ///
    /// # Errors
    /// It read nothing, or the scenario shares its mongod.
    pub async fn pause_at_work(&self, index: usize, progress: &Progress) -> Result<()> {
        let processor = self.processors.get(index).context("no such processor")?;
        let mongo = self.mongo_server.as_ref();
        let mongo = mongo.context("it shares its mongod")?;
        let others = || {
            let all = self.processors.iter().enumerate();
            all.filter(move |(other, _)| *other != index)
        };
        others().for_each(|(_, other)| other.pause());
        mongo.pause();
        let mut looks = 0_u32;
        let caught = until("a processor has work in hand", async || {
            // Again after half a second: a read that another one began before it stood still takes
            // what comes first. Not at each look, which would use up the load of later rounds.
            if looks.is_multiple_of(25) {
                progress.keep_going();
            }
            looks += 1;
            let pending = self.pending_of(index).await;
            pending.is_ok_and(|entries| entries > 0)
        })
        .await;
        processor.pause();
        mongo.resume();
        others().for_each(|(_, other)| other.resume());
        caught
    }

    /// Entries pending under the processor `index`; zero for one that has read nothing.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn pending_of(&self, index: usize) -> Result<u64> {
        let pid = self.processors.get(index).and_then(Node::pid);
        let own = format!("-{}", pid.context("the processor does not run")?);
        let text = |fields: &HashMap<String, Value>, name: &str| fields.get(name)?.as_string();
        let mut sum = 0;
        for partition in 0..self.partitions {
            let key = &self.redis.keys().partition(partition).events;
            let consumers: Vec<HashMap<String, Value>> =
                self.redis.client().xinfo_consumers(key, GROUP).await?;
            let found = consumers
                .iter()
                .find(|fields| text(fields, "name").is_some_and(|name| name.ends_with(&own)));
            let pending = found.and_then(|fields| fields.get("pending")?.as_u64());
            sum += pending.unwrap_or(0);
        }
        Ok(sum)
    }

    /// Waits until everything is committed, compares it with what the clients know, and ends the
    /// scenario with its line; `faults` says what was done to it.
    ///
    /// # Errors
    /// The books do not balance; with everything that is wrong.
    pub async fn balance(
        mut self,
        journal: &Journal,
        expected: &Expected,
        faults: impl Into<String>,
    ) -> Result<Outcome> {
        let (verdict, took) = Verdict::settle(&self.ledger(), journal, expected).await?;
        self.passed = true;
        let outcome = Outcome {
            scenario: self.scenario.to_owned(),
            seed: self.chance.seed(),
            verdict: Some(verdict),
            recovered_s: took.as_secs_f64(),
            faults: faults.into(),
            figures: std::mem::take(&mut self.figures),
        };
        say(&outcome.to_string())?;
        Ok(outcome)
    }

    /// Ends a scenario that has no books: its logs are not shown.
    pub fn pass(mut self) {
        self.passed = true;
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let services = self.ingests.iter().chain(&self.processors);
        services.chain(self.aggregator.as_ref())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.passed {
            return;
        }
        for node in self.nodes() {
            let (scenario, seed) = (self.scenario, self.chance.seed());
            let (name, end) = (node.name(), node.log_tail());
            say(&format!(
                "{scenario}: seed {seed}, end of the log of {name}\n{end}"
            ))
            .ok();
        }
    }
}

/// Past the test harness, which shows what a passing test prints to nobody.
pub(crate) fn say(line: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "e2e {line}")?)
}
