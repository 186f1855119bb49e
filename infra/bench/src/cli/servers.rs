//! Which servers and binaries are measured.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::header::default_cache_gb;
use crate::stack::Environment;

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Folder of evp-ingest and evp-processor [default: that of this binary]
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Uses this Redis instead of one of its own; its CPU is then not measured
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Uses this MongoDB instead of one of its own; its CPU is then not measured
    #[arg(long, value_name = "URI")]
    mongo: Option<String>,
    /// WiredTiger's cache in GB [default: 6, less on a machine with less than 24 GB]
    #[arg(long)]
    mongo_cache_gb: Option<f32>,
    /// Sets a variable for both services, as EVP__PROCESSOR__BULKS_IN_FLIGHT=2 (repeat it)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

impl ServerArgs {
    pub(super) fn environment(&self) -> anyhow::Result<Environment> {
        let own = std::env::current_exe().context("find this binary")?;
        let folder = own.parent().unwrap_or_else(|| Path::new(".")).to_path_buf();
        self.environment_of(self.bin_dir.clone().unwrap_or(folder))
    }

    /// The same with the services in `binaries`.
    pub(super) fn environment_of(&self, binaries: PathBuf) -> anyhow::Result<Environment> {
        let settings = self.settings.iter().map(|setting| {
            let (name, value) = setting
                .split_once('=')
                .with_context(|| format!("--set {setting}: write NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        Ok(Environment {
            binaries,
            redis_url: self.redis.clone(),
            mongo_uri: self.mongo.clone(),
            mongo_cache_gb: self.mongo_cache_gb.unwrap_or_else(default_cache_gb),
            settings: settings.collect::<anyhow::Result<_>>()?,
        })
    }
}
