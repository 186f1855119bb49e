//! Where and with what figures were measured.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::stack::{Environment, built};

/// Machine, versions and settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Commit of the source when measuring began; `+` when it has changes.
    pub commit: String,
    /// Hash of the binaries: ingest, processor and this one, which says how servers are started.
    #[serde(default)]
    pub builds: String,
    /// Cargo profile of the binaries, after their folder.
    pub profile: String,
    /// Model of the processor.
    pub cpu: String,
    /// Cores of the machine.
    pub cores: usize,
    /// Memory of the machine, GiB.
    pub memory_gib: u64,
    /// Kernel.
    pub kernel: String,
    /// Version of redis-server.
    pub redis: String,
    /// Version of mongod.
    pub mongod: String,
    /// Version of rustc.
    pub rustc: String,
    /// WiredTiger's cache, GB.
    pub mongo_cache_gb: f32,
    /// What the services were told besides where the servers are.
    pub settings: Vec<(String, String)>,
}

impl Header {
    /// Asks everyone.
    ///
    /// # Errors
    /// redis-server or mongod cannot be found, or a service is not built.
    pub async fn collect(environment: &Environment) -> anyhow::Result<Self> {
        let redis = match &environment.redis_url {
            None => version(&evp_devstack::find::redis_server().await?, "v=", ' '),
            Some(_) => "given".to_owned(),
        };
        let mongod = match &environment.mongo_uri {
            None => version(&evp_devstack::find::mongod().await?, "version v", '\n'),
            Some(_) => "given".to_owned(),
        };
        let folder = environment.binaries.file_name().unwrap_or_default();
        Ok(Self {
            commit: commit(),
            builds: builds(&environment.binaries)?,
            profile: folder.to_string_lossy().into_owned(),
            cpu: line_of("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_kib() / 1024 / 1024,
            kernel: text_of("uname", &["-r"]),
            redis,
            mongod,
            rustc: text_of("rustc", &["--version"]),
            mongo_cache_gb: environment.mongo_cache_gb,
            settings: environment.settings.clone(),
        })
    }

    /// Whether figures of `other` are of the same builds with the same settings on the same
    /// machine, and may stand beside these. The commit does not matter: many change no binary.
    #[must_use]
    pub fn is_comparable(&self, other: &Self) -> bool {
        let commit = self.commit.clone();
        *self
            == Self {
                commit,
                ..other.clone()
            }
    }

    /// As lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        let settings: Vec<String> = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mongod = match self.mongod.as_str() {
            "given" => String::new(),
            _ => format!(
                " (standalone and journaled unless said, {} GB cache, half of the cores evict, from \
                 100 MB on, a checkpoint every 15 s)",
                self.mongo_cache_gb
            ),
        };
        format!(
            "commit {}, builds {}, profile {}, {}\n{} cores ({}), {} GiB, Linux {}; everything on \
             this machine\nredis-server {} (AOF always), mongod {}{mongod}\n{}",
            self.commit,
            self.builds,
            self.profile,
            self.rustc,
            self.cores,
            self.cpu,
            self.memory_gib,
            self.kernel,
            self.redis,
            self.mongod,
            settings.join(" ")
        )
    }
}

/// Cache for mongod: 6 GB, or about a quarter of a smaller machine.
#[must_use]
pub fn default_cache_gb() -> f32 {
    match memory_kib() / 1024 / 1024 {
        20.. => 6.0,
        14.. => 4.0,
        7.. => 2.0,
        _ => 1.0,
    }
}

/// Twelve digits: enough to tell two builds apart.
fn builds(folder: &Path) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let [ingest, processor] = ["evp-ingest", "evp-processor"].map(|name| built(folder, name));
    for binary in [ingest?, processor?, std::env::current_exe()?] {
        hasher.update(&std::fs::read(binary)?);
    }
    Ok(hasher.finalize().to_hex().chars().take(12).collect())
}

fn commit() -> String {
    let commit = text_of("git", &["rev-parse", "--short=10", "HEAD"]);
    let changes = text_of("git", &["status", "--porcelain", "--untracked-files=no"]);
    if changes.is_empty() {
        commit
    } else {
        format!("{commit}+")
    }
}

fn version(program: &Path, after: &str, until: char) -> String {
    let text = text_of(&program.to_string_lossy(), &["--version"]);
    let (_, rest) = text.split_once(after).unwrap_or_default();
    rest.split(until).next().unwrap_or_default().to_owned()
}

fn text_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let bytes = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn line_of(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn memory_kib() -> u64 {
    let line = line_of("/proc/meminfo", "MemTotal");
    let number = line.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}
