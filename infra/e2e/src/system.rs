use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use evp_devstack::{
    MongoOptions, MongoServer, Output, RedisOptions, RedisServer, ScratchDir, ServiceSpec,
    free_port,
};
use evp_shared::keys::GROUP;
use evp_shared::testing::{TestMongo, TestRedis, unique};
use fred::interfaces::StreamsInterface as _;
use fred::prelude::Value;
use reqwest::Client;

use crate::{Chance, Events, Expected, Journal, Ledger, Node, Progress, Verdict, client, until};

/// What every process is told besides its addresses: claims within seconds, so that a killed
/// processor's entries do not decide how long a scenario takes.
const COMMON_ENV: [(&str, &str); 3] = [
    ("EVP__PROCESSOR__CLAIM_IDLE", "5s"),
    ("EVP__PROCESSOR__CLAIM_INTERVAL", "200ms"),
    ("EVP__PROCESSOR__INSERT_DEADLINE", "4s"),
];

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
    /// For requests to the services.
    pub http: Client,
    scenario: &'static str,
    passed: bool,
    logs: ScratchDir,
}

/// What a scenario runs.
#[derive(Debug)]
pub struct Builder {
    scenario: &'static str,
    ingests: usize,
    processors: usize,
    aggregator: bool,
    own_redis: bool,
    own_mongo: bool,
    env: Vec<(&'static str, &'static str)>,
}

impl System {
    /// Describes one ingest and one processor over the servers all tests share.
    #[must_use]
    pub fn of(scenario: &'static str) -> Builder {
        Builder {
            scenario,
            ingests: 1,
            processors: 1,
            aggregator: false,
            own_redis: false,
            own_mongo: false,
            env: COMMON_ENV.to_vec(),
        }
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
            self.redis.stream(1),
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
        progress.keep_going();
        let caught = until("a processor has work in hand", async || {
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
        let key = &self.redis.keys().partition(0).events;
        let consumers: Vec<HashMap<String, Value>> =
            self.redis.client().xinfo_consumers(key, GROUP).await?;
        let text = |fields: &HashMap<String, Value>, name: &str| fields.get(name)?.as_string();
        let found = consumers
            .iter()
            .find(|fields| text(fields, "name").is_some_and(|name| name.ends_with(&own)));
        let pending = found.and_then(|fields| fields.get("pending")?.as_u64());
        Ok(pending.unwrap_or(0))
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
        faults: &str,
    ) -> Result<Verdict> {
        let (verdict, took) = Verdict::settle(&self.ledger(), journal, expected).await?;
        self.say(&verdict.line(took, faults))?;
        self.passed = true;
        Ok(verdict)
    }

    /// Past the test harness, which shows what a passing test prints to nobody.
    fn say(&self, line: &str) -> Result<()> {
        let (scenario, seed) = (self.scenario, self.chance.seed());
        let mut out = io::stdout().lock();
        Ok(writeln!(out, "e2e {scenario}: seed {seed}, {line}")?)
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
            self.say(&format!(
                "end of the log of {}\n{}",
                node.name(),
                node.log_tail()
            ))
            .ok();
        }
    }
}

impl Builder {
    /// How many ingest processes.
    #[must_use]
    pub fn ingests(mut self, count: usize) -> Self {
        self.ingests = count;
        self
    }

    /// How many processors.
    #[must_use]
    pub fn processors(mut self, count: usize) -> Self {
        self.processors = count;
        self
    }

    /// Runs an aggregator too.
    #[must_use]
    pub fn aggregator(mut self) -> Self {
        self.aggregator = true;
        self
    }

    /// A redis-server that the scenario may kill.
    #[must_use]
    pub fn own_redis(mut self) -> Self {
        self.own_redis = true;
        self
    }

    /// A mongod that the scenario may kill.
    #[must_use]
    pub fn own_mongo(mut self) -> Self {
        self.own_mongo = true;
        self
    }

    /// Sets a variable of every service; the last value counts.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// Starts everything and waits until all of it is ready.
    ///
    /// # Errors
    /// A binary is missing, or something does not start; with the end of its log.
    pub async fn start(self) -> Result<System> {
        let redis_server = match self.own_redis {
            true => Some(RedisServer::start(RedisOptions::default()).await?),
            false => None,
        };
        let mongo_server = match self.own_mongo {
            true => Some(MongoServer::start(MongoOptions::default()).await?),
            false => None,
        };
        let redis = match &redis_server {
            Some(server) => TestRedis::at(server.url()).await,
            None => TestRedis::new().await,
        };
        let mongo = match &mongo_server {
            Some(server) => TestMongo::at(server.url()).await,
            None => TestMongo::new().await,
        };
        let mut system = System {
            ingests: Vec::new(),
            processors: Vec::new(),
            aggregator: None,
            redis,
            mongo,
            redis_server,
            mongo_server,
            events: Events::new(unique("e")),
            chance: Chance::new(),
            http: client()?,
            scenario: self.scenario,
            passed: false,
            logs: ScratchDir::new()?,
        };
        for index in 0..self.processors {
            let node = self.node(&system, "processor", index)?;
            system.processors.push(node);
        }
        for index in 0..self.ingests {
            let node = self.node(&system, "ingest", index)?;
            system.ingests.push(node);
        }
        if self.aggregator {
            system.aggregator = Some(self.node(&system, "aggregator", 0)?);
        }
        let services = system.processors.iter_mut().chain(&mut system.ingests);
        for node in services.chain(system.aggregator.as_mut()) {
            node.await_ready().await?;
        }
        Ok(system)
    }

    fn node(&self, system: &System, service: &str, index: usize) -> Result<Node> {
        let (public, admin) = (free_port()?, free_port()?);
        let log = system.logs.path().join(format!("{service}-{index}.log"));
        let spec = ServiceSpec::new(format!("{service}-{index}"), binary(service)?)
            .output(Output::File(log.clone()))
            .env("REDIS_URL", system.redis.url())
            .env("EVP__REDIS__KEY_PREFIX", system.redis.keys().prefix())
            .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"));
        let spec = match service {
            "processor" => spec,
            _ => spec.env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}")),
        };
        let spec = match service {
            "ingest" => spec,
            _ => spec
                .env("MONGO_URI", system.mongo.uri())
                .env("EVP__MONGO__DATABASE", system.mongo.database_name()),
        };
        let spec = self
            .env
            .iter()
            .fold(spec, |spec, (name, value)| spec.env(*name, *value));
        Node::start(spec, log, (public, admin), system.http.clone())
    }
}

/// The service's binary of the build this test belongs to: tests lie in `deps` beside them.
fn binary(service: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this test's binary")?;
    let folder = own
        .ancestors()
        .nth(2)
        .context("the test lies in no folder")?;
    let binary = folder.join(format!("evp-{service}"));
    if !binary.is_file() {
        bail!(
            "{} is not built: run `make test`, or `cargo build --workspace --bins` first",
            binary.display()
        );
    }
    Ok(binary)
}
