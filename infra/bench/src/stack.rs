//! EVP and its servers, started for one run and gone after it.

mod access;
mod servers;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use evp_devstack::{Output, ScratchDir, Service, ServiceSpec, free_port};
use evp_shared::clock::Clock;
use evp_shared::testing::tls::Authority;

pub use self::servers::Servers;
use crate::load::client;
use crate::measure::prometheus::Scrape;
use crate::measure::watch::Role;
use crate::spans;

const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 12;
const CERTIFICATE_DAYS: u32 = 30;

/// Where servers and binaries come from.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Folder of evp-ingest and evp-processor.
    pub binaries: PathBuf,
    /// A Redis to use instead of one of our own.
    pub redis_url: Option<String>,
    /// A MongoDB to use instead of one of our own.
    pub mongo_uri: Option<String>,
    /// WiredTiger's cache of our own mongod, GB.
    pub mongo_cache_gb: f32,
    /// Variables set for both services, as `EVP__PROCESSOR__BULKS_IN_FLIGHT=2`.
    pub settings: Vec<(String, String)>,
}

/// What a row needs.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// `storage.indexes`.
    pub indexes: &'static [&'static str],
    /// A replica set of one instead of a standalone mongod.
    pub replica_set: bool,
    /// Whether anything is taken from the stream.
    pub processor: bool,
    /// WiredTiger's cache in GB; `None` is that of the environment, which is also the most.
    pub cache_gb: Option<f32>,
    /// Whether there are events of the last weeks and not only of now.
    pub has_past: bool,
    /// `storage.hurry`: by how much the waits of sealing and dropping are shortened.
    pub hurry: u32,
    /// Tenants, each with a key of its own that requests carry; 0 is open mode.
    pub tenants: u16,
    /// Keys of each of them, all together at most 10,000.
    pub tenant_keys: u16,
    /// Whether ingest speaks TLS.
    pub tls: bool,
}

impl Layout {
    /// A standalone mongod with `indexes`.
    #[must_use]
    pub const fn new(indexes: &'static [&'static str]) -> Self {
        Self {
            indexes,
            replica_set: false,
            processor: true,
            cache_gb: None,
            has_past: false,
            hurry: 1,
            tenants: 0,
            tenant_keys: 1,
            tls: false,
        }
    }
}

/// EVP and its servers.
#[derive(Debug)]
pub struct Stack {
    /// Redis and MongoDB.
    pub servers: Servers,
    /// Port of ingest on 127.0.0.1.
    pub ingest_port: u16,
    /// A key of each tenant.
    pub keys: Vec<String>,
    authority: Option<Authority>,
    ingest: Member,
    processor: Option<Member>,
    scratch: ScratchDir,
}

/// An aggregator of a stack.
#[derive(Debug)]
pub struct Reader {
    /// Its port on 127.0.0.1.
    pub port: u16,
    member: Member,
}

impl Reader {
    /// Its process id.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.member
            .service
            .pid()
            .with_context(|| format!("the aggregator has ended:\n{}", self.member.log_tail()))
    }
}

#[derive(Debug)]
struct Member {
    service: Service,
    admin_port: u16,
    log: PathBuf,
}

impl Stack {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// Something cannot be found or started, or is not ready in time; the end of its log is told.
    pub async fn start(environment: &Environment, layout: Layout) -> anyhow::Result<Self> {
        let scratch = ScratchDir::new()?;
        let servers = Servers::start(environment, layout).await?;
        if layout.has_past {
            let now_ms = Clock::system().now_ms();
            spans::backdate(&servers.database().await?, now_ms).await?;
        }
        let keys = access::keys(&servers, layout).await?;
        let texts = config_texts(&servers, layout);
        for (name, text) in &texts {
            std::fs::write(scratch.path().join(format!("{name}.toml")), text)?;
        }
        let authority = layout.tls.then(Authority::new);
        if let Some(authority) = &authority {
            let files = authority.issue(CERTIFICATE_DAYS).write(scratch.path())?;
            let (cert, key) = (files.cert, files.key);
            let text = format!("[server.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n");
            std::fs::write(
                scratch.path().join("ingest.toml"),
                texts[0].1.clone() + &text,
            )?;
        }
        let ingest_port = free_port()?;
        let start = |name: &str, port| Member::start((name, port), environment, scratch.path());
        let mut ingest = start("ingest", Some(ingest_port))?;
        let mut processor = if layout.processor {
            Some(start("processor", None)?)
        } else {
            None
        };
        ingest.ready().await?;
        if let Some(processor) = &mut processor {
            processor.ready().await?;
        }
        Ok(Self {
            servers,
            ingest_port,
            keys,
            authority,
            ingest,
            processor,
            scratch,
        })
    }

    /// Starts an aggregator and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn reader(&self, environment: &Environment) -> anyhow::Result<Reader> {
        let port = free_port()?;
        let name = ("aggregator", Some(port));
        let mut member = Member::start(name, environment, self.scratch.path())?;
        member.ready().await?;
        Ok(Reader { port, member })
    }

    /// Runs a command of the processor to its end.
    ///
    /// # Errors
    /// It fails; what it wrote is told.
    pub async fn command(
        &self,
        environment: &Environment,
        arguments: &[&str],
    ) -> anyhow::Result<()> {
        let log = self.scratch.path().join("command.log");
        let config = self.scratch.path().join("processor.toml");
        let mut spec = ServiceSpec::new("command", built(&environment.binaries, "evp-processor")?)
            .args(["--config".to_owned(), config.display().to_string()])
            .args(arguments.iter().copied())
            .output(Output::File(log.clone()));
        for (key, value) in &environment.settings {
            spec = spec.env(key, value);
        }
        let status = Service::start(spec)?.wait().await?;
        if !status.success() {
            let wrote = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("evp-processor {}: {status}:\n{wrote}", arguments.join(" "));
        }
        Ok(())
    }

    /// The certificate of who signed the one that ingest shows, where it does.
    #[must_use]
    pub fn authority_pem(&self) -> Option<String> {
        Some(self.authority.as_ref()?.pem().to_owned())
    }

    /// The process ids of all that we started.
    #[must_use]
    pub fn processes(&self) -> Vec<(Role, u32)> {
        let pid = |role, member: &Member| Some((role, member.service.pid()?));
        let processor = self.processor.as_ref();
        pid(Role::Ingest, &self.ingest)
            .into_iter()
            .chain(processor.and_then(|member| pid(Role::Processor, member)))
            .chain(self.servers.processes())
            .chain([(Role::Harness, std::process::id())])
            .collect()
    }

    /// Ends the services at once, so that nothing is written any more.
    pub async fn stop_services(&mut self) {
        let members = [Some(&mut self.ingest), self.processor.as_mut()];
        for member in members.into_iter().flatten() {
            member.service.kill().await;
        }
    }

    /// What ingest and the processor say of themselves; empty where there is none.
    ///
    /// # Errors
    /// One does not answer.
    pub async fn scrape(&self) -> anyhow::Result<[Scrape; 2]> {
        let processor = match &self.processor {
            Some(member) => member.scrape().await?,
            None => Scrape::default(),
        };
        Ok([self.ingest.scrape().await?, processor])
    }

    /// The last lines of the services' logs, for an error.
    #[must_use]
    pub fn logs(&self) -> String {
        let processor = self.processor.as_ref().map(Member::log_tail);
        [Some(self.ingest.log_tail()), processor]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A file for each service: one refuses the keys of another.
fn config_texts(servers: &Servers, layout: Layout) -> [(&'static str, String); 3] {
    let redis = format!(
        "[redis]\nurl = {:?}\nkey_prefix = {:?}\n",
        servers.redis_url, servers.name
    );
    let aggregator = format!(
        "{redis}[mongo]\nuri = {:?}\ndatabase = {:?}\n",
        servers.mongo_uri, servers.name
    );
    let mode = match layout.tenants {
        0 => "open",
        _ => "keys",
    };
    let ingest = format!("{redis}[auth]\nmode = {mode:?}\n");
    let aggregator = format!("{aggregator}[auth]\nmode = {mode:?}\n");
    let processor = format!(
        "{aggregator}[storage]\nindexes = {:?}\nhurry = {}\n",
        layout.indexes, layout.hurry
    );
    [
        ("ingest", ingest),
        ("processor", processor),
        ("aggregator", aggregator),
    ]
}

/// The binary `name` in `folder`.
pub(crate) fn built(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let binary = folder.join(name);
    if !binary.is_file() {
        bail!(
            "{} is not built: run `cargo build --release --workspace --bins`, as make bench does, \
             or name its folder with --bin-dir",
            binary.display()
        );
    }
    Ok(binary)
}

impl Member {
    fn start(
        (name, port): (&str, Option<u16>),
        environment: &Environment,
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let binary = built(&environment.binaries, &format!("evp-{name}"))?;
        let admin_port = free_port()?;
        let log = scratch.join(format!("{name}.log"));
        let config = scratch.join(format!("{name}.toml")).display().to_string();
        let address = |port| format!("{}:{port}", Ipv4Addr::LOCALHOST);
        let mut spec = ServiceSpec::new(name, binary)
            .args(["--config", &config])
            .env("EVP__ADMIN__LISTEN", address(admin_port))
            .output(Output::File(log.clone()));
        if let Some(port) = port {
            spec = spec.env("EVP__SERVER__LISTEN", address(port));
        }
        for (key, value) in &environment.settings {
            spec = spec.env(key, value);
        }
        Ok(Self {
            service: Service::start(spec)?,
            admin_port,
            log,
        })
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let port = self.admin_port;
        let polling = async {
            while !matches!(client::get(port, "/readyz").await, Ok((200, _))) {
                tokio::time::sleep(READY_POLL).await;
            }
        };
        let fault = tokio::select! {
            () = polling => return Ok(()),
            status = self.service.wait() => format!("ended with {}", status?),
            () = tokio::time::sleep(READY_WITHIN) => "was not ready in time".to_owned(),
        };
        bail!(
            "{} {fault}; it wrote:\n{}",
            self.service.spec().name,
            self.log_tail()
        )
    }

    async fn scrape(&self) -> anyhow::Result<Scrape> {
        let (_, text) = client::get(self.admin_port, "/metrics")
            .await
            .with_context(|| format!("{} does not answer", self.service.spec().name))?;
        Ok(Scrape::parse(&text))
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}
