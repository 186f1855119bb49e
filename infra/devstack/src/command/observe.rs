use std::time::Duration;

use super::ports::{Listener, Ports};
use super::run::{answers_ok, lock, within};
use super::signals::Signals;
use crate::{Error, Observers, Result, Supervisor, console, find, http, project};

const GRACE: Duration = Duration::from_secs(15);

/// Runs Prometheus and Alertmanager over a `make run` on these ports, until a signal comes.
///
/// # Errors
/// What the user can mend: a missing binary, taken ports, another `make observe` on the same data.
pub async fn observe(ports: &Ports) -> Result<()> {
    let folder = project::data_dir().join("observe");
    let _lock = lock(&folder)?;
    ports.check_free(&Listener::OBSERVE)?;
    let observers = Observers {
        // Absolute, because paths in the files are relative to them.
        folder: folder.canonicalize().map_err(Error::io("find the data"))?,
        prometheus: ports.get(Listener::Prometheus),
        alertmanager: ports.get(Listener::Alertmanager),
        targets: vec![
            ("ingest", ports.get(Listener::IngestAdmin)),
            ("processor", ports.get(Listener::ProcessorAdmin)),
            ("aggregator", ports.get(Listener::AggregatorAdmin)),
        ],
        token: token()?,
    };
    observers.place(str::to_owned)?;
    let (prometheus, alertmanager) = (find::prometheus().await?, find::alertmanager().await?);
    let mut signals = Signals::new()?;
    let mut kept = Supervisor::new();
    kept.keep(observers.alertmanager_spec(&alertmanager));
    kept.keep(observers.prometheus_spec(&prometheus));
    let ended = tokio::select! {
        ended = serve(ports, &observers, &mut kept) => ended,
        () = signals.any() => Ok(()),
    };
    kept.stop(GRACE).await;
    console::say("devstack", "stopped; the data is kept");
    ended
}

/// What the admin ports ask for, given as the services are given it.
fn token() -> Result<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match variable("EVP__ADMIN__TOKEN_FILE") {
        Some(file) => {
            let read = std::fs::read_to_string(&file);
            let text = read.map_err(Error::io(format!("read {file}")))?;
            Ok(text.trim().to_owned())
        }
        None => Ok(variable("EVP__ADMIN__TOKEN").unwrap_or_default()),
    }
}

async fn serve(ports: &Ports, observers: &Observers, kept: &mut Supervisor) -> Result<()> {
    let client = http::client()?;
    for listener in Listener::OBSERVE {
        let url = format!("{}/-/ready", ports.url(listener));
        within(listener.name(), kept, async || {
            answers_ok(&client, &url).await
        })
        .await?;
    }
    let [prometheus, alertmanager] = Listener::OBSERVE.map(|listener| ports.url(listener));
    let folder = observers.folder.display();
    console::print(&format!(
        "\nPrometheus and Alertmanager run. Ctrl-C stops them; the data stays in {folder}.\n\n  \
         {prometheus}/alerts     # what fires, and why\n  \
         {prometheus}/targets    # what is scraped\n  \
         {alertmanager}           # what is sent, as infra/prometheus/alertmanager.yml says\n\n  \
         logs: {folder}/prometheus.log, {folder}/alertmanager.log\n"
    ));
    // Neither ends with the code of a wrong configuration, so neither is given up.
    kept.gave_up().await;
    Ok(())
}
