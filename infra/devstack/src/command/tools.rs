use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::ports::Ports;
use crate::{Error, Keys, Result, console, find};

/// Finds or fetches all binaries and prints where they are.
///
/// # Errors
/// Those of [`find`].
pub async fn fetch() -> Result<()> {
    console::say("redis", &find::redis_server().await?.display().to_string());
    console::say("mongod", &find::mongod().await?.display().to_string());
    let (prometheus, alertmanager) = (find::prometheus().await?, find::alertmanager().await?);
    console::say("prometheus", &prometheus.display().to_string());
    console::say("alertmanager", &alertmanager.display().to_string());
    console::say("k6", &find::k6().await?.display().to_string());
    Ok(())
}

/// Becomes k6 with these arguments, aimed at `make run` and with its keys unless `BASE_URL` and
/// `AGGREGATOR_URL` say otherwise.
///
/// # Errors
/// Those of [`find::k6`], and [`Error::Spawn`] when it cannot be run; else it does not return.
pub async fn k6(ports: &Ports, args: &[String]) -> Result<()> {
    let program = find::k6().await?;
    let mut command = Command::new(&program);
    command.args(args).env("K6_NO_USAGE_REPORT", "true");
    let keys = if std::env::var_os("BASE_URL").is_none() {
        Keys::of_make_run()?
    } else {
        Keys::from_environment()
    };
    command.envs(keys.variables());
    for (variable, url) in [
        ("BASE_URL", ports.ingest_url()),
        ("AGGREGATOR_URL", ports.aggregator_url()),
    ] {
        if std::env::var_os(variable).is_none() {
            command.env(variable, url);
        }
    }
    Err(Error::Spawn {
        name: "k6".to_owned(),
        program,
        source: command.exec(),
    })
}
