use std::path::{Path, PathBuf};

use super::super::ports::{Listener, Ports};
use super::auth::Auth;
use crate::{
    Error, MongoOptions, Output, RedisOptions, Result, ServiceSpec, project, scratch::ScratchDir,
};

/// Services and the admin ports on which they say that they are ready.
pub(super) const ADMIN_PORTS: [(&str, Listener); 3] = [
    ("ingest", Listener::IngestAdmin),
    ("processor", Listener::ProcessorAdmin),
    ("aggregator", Listener::AggregatorAdmin),
];

/// A person reads along: without the configuration, which is a page of its own per service.
const LOG_LEVEL: &str = "info,evp_shared::config=warn";

/// What `make run` runs, and where.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) ports: Ports,
    pub(super) data: PathBuf,
    pub(super) auth: Auth,
    /// Where browsers come, if a proxy stands in front of both services.
    public_url: Option<String>,
    binaries: PathBuf,
}

impl Plan {
    /// Settles the paths and checks that the services are built.
    pub(super) fn new(ports: Ports, bin_dir: Option<PathBuf>) -> Result<Self> {
        let own = std::env::current_exe().map_err(Error::io("find this binary"))?;
        let own_folder = own.parent().unwrap_or_else(|| Path::new(".")).to_path_buf();
        let plan = Self {
            ports,
            data: project::data_dir(),
            auth: Auth::from_environment()?,
            public_url: std::env::var("EVP_PUBLIC_URL").ok(),
            binaries: bin_dir.unwrap_or(own_folder),
        };
        let binaries = ADMIN_PORTS.map(|(service, _)| plan.binary(service));
        let missing = binaries.iter().filter(|binary| !binary.is_file());
        let missing: Vec<String> = missing.map(|path| path.display().to_string()).collect();
        if missing.is_empty() {
            return Ok(plan);
        }
        Err(Error::NotFound {
            program: missing.join(", "),
            fix: "build it with `make services`, or name its folder with --bin-dir".to_owned(),
        })
    }

    /// redis-server and mongod, their data kept between runs.
    pub(super) fn servers(&self, redis: &Path, mongod: &Path) -> Result<[ServiceSpec; 2]> {
        let (redis_dir, _) = ScratchDir::or_given(Some(&self.data.join("redis")))?;
        let (mongod_dir, _) = ScratchDir::or_given(Some(&self.data.join("mongod")))?;
        Ok([
            RedisOptions::default().spec(redis, self.ports.get(Listener::Redis), &redis_dir),
            MongoOptions::default().spec(mongod, self.ports.get(Listener::Mongo), &mongod_dir),
        ])
    }

    /// ingest, processor and aggregator, configured by environment.
    pub(super) fn services(&self) -> Vec<ServiceSpec> {
        ADMIN_PORTS
            .into_iter()
            .map(|(name, admin)| self.service(name, admin))
            .collect()
    }

    /// The aggregator, whose binary also makes keys.
    pub(super) fn aggregator(&self) -> ServiceSpec {
        self.service("aggregator", Listener::AggregatorAdmin)
    }

    pub(super) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.ports.get(Listener::Redis))
    }

    pub(super) fn mongo_url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/", self.ports.get(Listener::Mongo))
    }

    fn binary(&self, service: &str) -> PathBuf {
        self.binaries.join(format!("evp-{service}"))
    }

    fn service(&self, name: &str, admin: Listener) -> ServiceSpec {
        let address = |listener| format!("127.0.0.1:{}", self.ports.get(listener));
        let spec = ServiceSpec::new(name, self.binary(name))
            .output(Output::Prefixed)
            .unless_set("EVP__LOG__FORMAT", "pretty")
            .unless_set("EVP__LOG__LEVEL", LOG_LEVEL)
            .env("REDIS_URL", self.redis_url())
            .env("MONGO_URI", self.mongo_url())
            .env("EVP__AUTH__MODE", self.auth.mode())
            .env("EVP__ADMIN__LISTEN", address(admin));
        match name {
            "ingest" => {
                let port = self.ports.get(Listener::Aggregator);
                let mut origins = format!("http://127.0.0.1:{port},http://localhost:{port}");
                if let Some(url) = &self.public_url {
                    origins = format!("{origins},{url}");
                }
                spec.env("EVP__SERVER__LISTEN", address(Listener::Ingest))
                    .env("EVP__INGEST__CORS__ORIGINS", origins)
            }
            "aggregator" => {
                let ingest = self.ports.url(Listener::Ingest);
                let url = self.public_url.clone();
                let spec = match &url {
                    None => spec,
                    Some(url) => spec.env("EVP__AGGREGATOR__PUBLIC_URL", url),
                };
                spec.env("EVP__SERVER__LISTEN", address(Listener::Aggregator))
                    .env("EVP__AGGREGATOR__INGEST_URL", url.unwrap_or(ingest))
            }
            // A name that stays lets a restarted processor go on with what it had at once.
            "processor" => spec.env("EVP__PROCESSOR__NAME", "processor-1"),
            _ => spec,
        }
    }
}
