mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use bson::{DateTime, doc};
use evp_devstack::{MongoOptions, Output, RedisOptions, ServiceSpec, free_port};
use evp_shared::event::span::{Calendar, SpanUnit};
use evp_shared::store::spans::meta;

use super::{Link, System};
use crate::Node;
use crate::guard::url_as;
use crate::keys::{Keys, Teller};
use crate::producer::client_with;
use crate::proxy::Proxy;

/// What every process is told besides its addresses: claims within seconds, so that a killed
/// processor's entries do not decide how long a scenario takes.
const COMMON_ENV: [(&str, &str); 3] = [
    ("EVP__PROCESSOR__CLAIM_IDLE", "5s"),
    ("EVP__PROCESSOR__CLAIM_INTERVAL", "200ms"),
    ("EVP__PROCESSOR__INSERT_DEADLINE", "4s"),
];

/// What a scenario runs.
#[derive(Debug)]
pub struct Builder {
    scenario: &'static str,
    ingests: usize,
    processors: usize,
    partitions: u16,
    aggregator: bool,
    open: bool,
    guarded: bool,
    redis: Option<RedisOptions>,
    redis_at: Option<SocketAddr>,
    mongo: Option<MongoOptions>,
    born_ms: Option<u64>,
    links: Vec<Link>,
    config: Option<PathBuf>,
    binaries: Option<PathBuf>,
    env: Vec<(String, String)>,
    env_of: Vec<(String, String, String)>,
}

impl Builder {
    pub(super) fn of(scenario: &'static str) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            scenario,
            ingests: 1,
            processors: 1,
            partitions: 1,
            aggregator: false,
            open: false,
            guarded: false,
            redis: None,
            redis_at: None,
            mongo: None,
            born_ms: None,
            links: Vec::new(),
            config: None,
            binaries: None,
            env: COMMON_ENV.map(owned).to_vec(),
            env_of: Vec::new(),
        }
    }

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

    /// How many partitions.
    #[must_use]
    pub fn partitions(mut self, count: u16) -> Self {
        self.partitions = count;
        self.env("EVP__REDIS__PARTITIONS", count.to_string())
    }

    /// Runs an aggregator too.
    #[must_use]
    pub fn aggregator(mut self) -> Self {
        self.aggregator = true;
        self
    }

    /// Asks nobody who they are.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self.env("EVP__AUTH__MODE", "open")
    }

    /// Servers of the scenario's own on which each service is the user it is in production.
    #[must_use]
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// A redis-server that the scenario may kill.
    #[must_use]
    pub fn own_redis(self) -> Self {
        self.redis(RedisOptions::default())
    }

    /// A redis-server of the scenario's own that is not as usual.
    #[must_use]
    pub fn redis(mut self, options: RedisOptions) -> Self {
        self.redis = Some(options);
        self
    }

    /// A Redis that the scenario keeps at this address itself.
    #[must_use]
    pub fn redis_at(mut self, address: SocketAddr) -> Self {
        self.redis_at = Some(address);
        self
    }

    /// A mongod that the scenario may kill.
    #[must_use]
    pub fn own_mongo(self) -> Self {
        self.mongo(MongoOptions::default())
    }

    /// A mongod, or a replica set, of the scenario's own that is not as usual.
    #[must_use]
    pub fn mongo(mut self, options: MongoOptions) -> Self {
        self.mongo = Some(options);
        self
    }

    /// Has the database been born at `at_ms`, Unix ms: from that month on its spans are days, whatever
    /// day of a month the scenario is run on.
    #[must_use]
    pub fn born(mut self, at_ms: u64) -> Self {
        self.born_ms = Some(at_ms);
        self
    }

    /// Puts a proxy on a connection. The driver of `MongoDB` passes by one before a replica set.
    #[must_use]
    pub fn proxied(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// Has processors claim entries after `idle` and wait `deadline` for an insert, when that is
    /// sooner than usual.
    #[must_use]
    pub fn claims_after(self, idle: &str, deadline: &str) -> Self {
        self.env("EVP__PROCESSOR__CLAIM_IDLE", idle)
            .env("EVP__PROCESSOR__INSERT_DEADLINE", deadline)
    }

    /// Has services wait for a Redis that is silent no longer than a second or two.
    #[must_use]
    pub fn soon_without_redis(self) -> Self {
        self.env("EVP__REDIS__COMMAND_TIMEOUT", "1s")
            .env("EVP__INGEST__APPEND__DEADLINE", "2s")
    }

    /// Has every service read `file`, beside its variables.
    #[must_use]
    pub fn config(mut self, file: PathBuf) -> Self {
        self.config = Some(file);
        self
    }

    /// Starts with the services in this folder, and not with those of this build.
    #[must_use]
    pub fn binaries(mut self, folder: PathBuf) -> Self {
        self.binaries = Some(folder);
        self
    }

    /// Sets a variable of every service; the last value counts.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets a variable of one process, as `processor-0`.
    #[must_use]
    pub fn env_of(mut self, node: &str, name: &str, value: impl Into<String>) -> Self {
        self.env_of
            .push((node.to_owned(), name.to_owned(), value.into()));
        self
    }

    /// Starts everything and waits until all of it is ready.
    ///
    /// # Errors
    /// A binary is missing, or something does not start; with the end of its log.
    pub async fn start(self) -> Result<System> {
        let mut system = self.servers().await?;
        if !self.open {
            self.admit(&mut system).await?;
        }
        if let Some(at_ms) = self.born_ms {
            let birth =
                DateTime::from_millis(Calendar::born(at_ms, SpanUnit::Day).birth_ms.try_into()?);
            let layout = doc! { "_id": "layout", "v": 2, "birth": birth, "unit": "day" };
            meta(&system.mongo.database()).insert_one(layout).await?;
        }
        for link in &self.links {
            let proxy = Proxy::start(address_in(system.url_behind(*link))?).await?;
            system.proxies.insert(*link, proxy);
        }
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

    /// Gives the scenario its keys. An aggregator tells the services of them by itself.
    async fn admit(&self, system: &mut System) -> Result<()> {
        let keys = Keys::make(&system.mongo, "default").await?;
        system.http = client_with(&keys.write)?;
        system.reader = client_with(&keys.admin)?;
        system.keys = Some(keys);
        if !self.aggregator {
            system.teller = Some(Teller::start(&system.redis, &system.mongo).await?);
        }
        Ok(())
    }

    fn node(&self, system: &System, service: &str, index: usize) -> Result<Node> {
        let (public, admin) = (free_port()?, free_port()?);
        let name = format!("{service}-{index}");
        let log = system.logs.path().join(format!("{name}.log"));
        let (to_redis, to_mongo) = match service {
            "ingest" => (Link::IngestRedis, None),
            "processor" => (Link::ProcessorRedis, Some(Link::ProcessorMongo)),
            _ => (Link::AggregatorRedis, Some(Link::AggregatorMongo)),
        };
        let program = match &self.binaries {
            Some(folder) => folder.join(format!("evp-{service}")),
            None => binary(service)?,
        };
        let mut spec = ServiceSpec::new(&name, program)
            .output(Output::File(log.clone()))
            .env("REDIS_URL", self.url_for(service, system.url_of(to_redis)?))
            .env("EVP__REDIS__KEY_PREFIX", system.redis.keys().prefix())
            .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"));
        if service != "processor" {
            spec = spec.env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}"));
        }
        if let Some(to_mongo) = to_mongo {
            spec = spec
                .env("MONGO_URI", self.url_for(service, system.url_of(to_mongo)?))
                .env("EVP__MONGO__DATABASE", system.mongo.database_name());
        }
        if let Some(file) = &self.config {
            spec = spec.args([String::from("--config"), file.display().to_string()]);
        }
        for (variable, value) in &self.env {
            spec = spec.env(variable, value);
        }
        for (_, variable, value) in self.env_of.iter().filter(|(of, ..)| *of == name) {
            spec = spec.env(variable, value);
        }
        Node::start(spec, log, (public, admin), system.http.clone())
    }

    /// `url` as the user that `service` is.
    fn url_for(&self, service: &str, url: String) -> String {
        if self.guarded {
            url_as(service, &url)
        } else {
            url
        }
    }
}

impl System {
    /// URL of the server at the far end of a connection.
    fn url_behind(&self, link: Link) -> &str {
        match link {
            Link::IngestRedis | Link::ProcessorRedis | Link::AggregatorRedis => self.redis.url(),
            Link::ProcessorMongo | Link::AggregatorMongo => self.mongo.uri(),
        }
    }

    /// URL under which a service reaches that server: its proxy's, where it has one.
    fn url_of(&self, link: Link) -> Result<String> {
        let url = self.url_behind(link);
        Ok(match self.proxies.get(&link) {
            Some(proxy) => url.replace(&address_in(url)?.to_string(), &proxy.address().to_string()),
            None => url.to_owned(),
        })
    }
}

/// The one address in a URL of a server on this machine.
fn address_in(url: &str) -> Result<SocketAddr> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    authority
        .parse()
        .with_context(|| format!("{url} names no single address"))
}

/// The service's binary of the build this one belongs to: binaries lie beside each other, and
/// tests in `deps` beside them.
pub(crate) fn binary(service: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this binary")?;
    let name = format!("evp-{service}");
    let mut folders = own.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| Some(folder.join(&name)).filter(|path| path.is_file()));
    match found {
        Some(binary) => Ok(binary),
        None => {
            bail!("{name} is not built: run `make test`, or `cargo build --workspace --bins` first")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_address() {
        let expected: SocketAddr = "127.0.0.1:6390".parse().unwrap();
        for url in ["redis://127.0.0.1:6390", "mongodb://127.0.0.1:6390/?a=b"] {
            assert_eq!(address_in(url).unwrap(), expected);
        }
        assert!(address_in("mongodb://127.0.0.1:1,127.0.0.1:2/").is_err());
    }
}
