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
apt-get -qq -y install --no-install-recommends "$1"
"#;

/// Installs a Debian or Ubuntu package, which takes root; else says what to do by hand.
pub(super) async fn install(package: &str, variable: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(Error::NotFound {
            program: package.to_owned(),
            fix: format!(
                "install it (Debian, Ubuntu: sudo apt-get install {package}) or set {variable} to \
                 a binary that runs here"
            ),
        });
    }
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
