use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Output, Result, ServiceSpec, project};

/// What is shipped, below `infra/prometheus`.
const FILES: [&str; 4] = [
    "prometheus.yml",
    "alertmanager.yml",
    "rules/recording.yml",
    "rules/alerts.yml",
];
/// Services and where the shipped file looks for their metrics.
const TARGETS: [(&str, &str); 3] = [
    ("ingest", "\"127.0.0.1:9180\""),
    ("processor", "\"127.0.0.1:9181\""),
    ("aggregator", "\"127.0.0.1:9182\""),
];
const ALERTMANAGER: &str = "127.0.0.1:9093";
/// Where the shipped file looks for secrets.
const SECRETS: &str = "/etc/evp/";

/// Prometheus and Alertmanager with the shipped files, on this machine.
#[derive(Debug, Clone)]
pub struct Observers {
    /// Holds the copies of the files, data and logs.
    pub folder: PathBuf,
    /// Port of Prometheus.
    pub prometheus: u16,
    /// Port of Alertmanager.
    pub alertmanager: u16,
    /// Admin ports of a service's instances: its name and a port.
    pub targets: Vec<(&'static str, u16)>,
    /// What the admin ports ask for; empty where they ask for nothing.
    pub token: String,
}

impl Observers {
    /// Copies the shipped files with the ports that are used here, each as `edit` leaves it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn place(&self, edit: impl Fn(&str) -> String) -> Result<()> {
        let shipped = project::root().join("infra/prometheus");
        for folder in ["rules", "tokens"].map(|name| self.folder.join(name)) {
            fs::create_dir_all(&folder)
                .map_err(Error::io(format!("create {}", folder.display())))?;
        }
        for name in FILES {
            let file = shipped.join(name);
            let text = fs::read_to_string(&file);
            let text = text.map_err(Error::io(format!("read {}", file.display())))?;
            write(&self.folder.join(name), &edit(&self.moved(text)))?;
        }
        for (service, _) in TARGETS {
            write(&self.folder.join("tokens").join(service), &self.token)?;
        }
        Ok(())
    }

    /// Prometheus as a process; the files have to be placed.
    #[must_use]
    pub fn prometheus_spec(&self, binary: &Path) -> ServiceSpec {
        let spec = self.spec("prometheus", binary, self.prometheus);
        spec.args([format!("--storage.tsdb.path={}", self.data("prometheus"))])
    }

    /// Alertmanager as a process; the files have to be placed.
    #[must_use]
    pub fn alertmanager_spec(&self, binary: &Path) -> ServiceSpec {
        let spec = self.spec("alertmanager", binary, self.alertmanager);
        spec.args([
            format!("--storage.path={}", self.data("alertmanager")),
            // One alone asks nobody whether it may speak, and listens on no further port.
            "--cluster.listen-address=".to_owned(),
        ])
    }

    fn spec(&self, name: &str, binary: &Path, port: u16) -> ServiceSpec {
        let config = self.folder.join(format!("{name}.yml"));
        ServiceSpec::new(name, binary)
            .args([
                format!("--config.file={}", config.display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                format!("--web.external-url=http://127.0.0.1:{port}/"),
            ])
            .output(Output::File(self.folder.join(format!("{name}.log"))))
    }

    fn data(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn moved(&self, mut text: String) -> String {
        for (service, shipped) in TARGETS {
            let of_service = self.targets.iter().filter(|(name, _)| *name == service);
            let here: Vec<String> = of_service
                .map(|(_, port)| format!("\"127.0.0.1:{port}\""))
                .collect();
            text = text.replace(shipped, &here.join(", "));
        }
        let folder = format!("{}/", self.folder.display());
        text.replace(ALERTMANAGER, &format!("127.0.0.1:{}", self.alertmanager))
            .replace(SECRETS, &folder)
    }
}

/// For its owner alone: there are tokens among them.
fn write(file: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = || Error::io(format!("write {}", file.display()));
    let mut options = fs::File::options();
    let mut opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .map_err(failed())?;
    opened.write_all(text.as_bytes()).map_err(failed())
}
