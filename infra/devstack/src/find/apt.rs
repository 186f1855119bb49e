use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::{Error, Result, console};

/// Debian starts a daemon when its package is installed, unless this policy file says no (code
/// 101); a Redis on port 6379 that nobody asked for would be the result. A file that is there
/// already is the administrator's and stays.
const INSTALL: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$1"
"#;

/// Says what to do by hand when a package cannot be installed here: without root or apt.
pub(super) fn require(package: &str, variable: &str) -> Result<()> {
    if rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    Err(Error::NotFound {
        program: package.to_owned(),
        fix: format!(
            "install it (Debian, Ubuntu: sudo apt-get install {package}) or set {variable} to a \
             binary that runs here"
        ),
    })
}

/// Installs a Debian or Ubuntu package.
pub(super) async fn install(package: &str, variable: &str) -> Result<()> {
    require(package, variable)?;
    console::say("devstack", &format!("installing {package} (apt-get, once)"));
    let what = format!("the package {package}");
    let output = Command::new("/bin/sh")
        .args(["-c", INSTALL, "install", package])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(Error::io("run apt-get"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::fetch(
        what,
        String::from_utf8_lossy(&output.stderr).trim(),
    ))
}
