use std::collections::HashMap;

use crate::{Error, Result, port};

/// What listens on a port of `make run` or `make observe`: its name, the variable that moves it, and its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Listener {
    Redis,
    Mongo,
    Ingest,
    Aggregator,
    IngestAdmin,
    ProcessorAdmin,
    AggregatorAdmin,
    Prometheus,
    Alertmanager,
}

impl Listener {
    /// Those of `make run`.
    pub(super) const RUN: [Self; 7] = [
        Self::Redis,
        Self::Mongo,
        Self::Ingest,
        Self::Aggregator,
        Self::IngestAdmin,
        Self::ProcessorAdmin,
        Self::AggregatorAdmin,
    ];
    /// Those of `make observe`.
    pub(super) const OBSERVE: [Self; 2] = [Self::Prometheus, Self::Alertmanager];

    fn all() -> impl Iterator<Item = Self> {
        Self::RUN.into_iter().chain(Self::OBSERVE)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Mongo => "mongod",
            Self::Ingest => "ingest",
            Self::Aggregator => "the aggregator",
            Self::IngestAdmin => "ingest's admin port",
            Self::ProcessorAdmin => "the processor's admin port",
            Self::AggregatorAdmin => "the aggregator's admin port",
            Self::Prometheus => "Prometheus",
            Self::Alertmanager => "Alertmanager",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Redis => "EVP_REDIS_PORT",
            Self::Mongo => "EVP_MONGO_PORT",
            Self::Ingest => "EVP_INGEST_PORT",
            Self::Aggregator => "EVP_AGGREGATOR_PORT",
            Self::IngestAdmin => "EVP_INGEST_ADMIN_PORT",
            Self::ProcessorAdmin => "EVP_PROCESSOR_ADMIN_PORT",
            Self::AggregatorAdmin => "EVP_AGGREGATOR_ADMIN_PORT",
            Self::Prometheus => "EVP_PROMETHEUS_PORT",
            Self::Alertmanager => "EVP_ALERTMANAGER_PORT",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Redis => 6390,
            Self::Mongo => 27090,
            Self::Ingest => 8080,
            Self::Aggregator => 8090,
            Self::IngestAdmin => 9180,
            Self::ProcessorAdmin => 9181,
            Self::AggregatorAdmin => 9182,
            Self::Prometheus => 9090,
            Self::Alertmanager => 9093,
        }
    }
}

/// The loopback ports of `make run` and `make observe`.
#[derive(Debug, Clone)]
pub struct Ports(HashMap<Listener, u16>);

impl Ports {
    /// The defaults, moved by `EVP_REDIS_PORT`, `EVP_MONGO_PORT`, `EVP_INGEST_PORT`,
    /// `EVP_AGGREGATOR_PORT`, `EVP_INGEST_ADMIN_PORT`, `EVP_PROCESSOR_ADMIN_PORT`,
    /// `EVP_AGGREGATOR_ADMIN_PORT`, `EVP_PROMETHEUS_PORT` and `EVP_ALERTMANAGER_PORT`.
    ///
    /// # Errors
    /// [`Error::Usage`] naming all variables that are no port, and all ports given twice.
    pub fn from_environment() -> Result<Self> {
        Self::from(|variable| std::env::var(variable).ok())
    }

    fn from(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut ports = HashMap::new();
        let mut problems = Vec::new();
        for listener in Listener::all() {
            let variable = listener.variable();
            let Some(port) = parse(lookup(variable), listener.default_port()) else {
                problems.push(format!("{variable} is not a port number from 1 to 65535"));
                continue;
            };
            if let Some((other, _)) = ports.iter().find(|(_, taken)| **taken == port) {
                problems.push(format!(
                    "port {port} is given to {} and to {}: change {variable}",
                    Listener::name(*other),
                    listener.name(),
                ));
            }
            ports.insert(listener, port);
        }
        if problems.is_empty() {
            Ok(Self(ports))
        } else {
            Err(Error::Usage(problems.join("\n")))
        }
    }

    /// Base URL of ingest.
    #[must_use]
    pub fn ingest_url(&self) -> String {
        self.url(Listener::Ingest)
    }

    /// Base URL of the aggregator.
    #[must_use]
    pub fn aggregator_url(&self) -> String {
        self.url(Listener::Aggregator)
    }

    pub(crate) fn url(&self, listener: Listener) -> String {
        format!("http://127.0.0.1:{}", self.get(listener))
    }

    pub(crate) fn get(&self, listener: Listener) -> u16 {
        self.0
            .get(&listener)
            .copied()
            .unwrap_or_else(|| listener.default_port())
    }

    /// Checks that nobody listens on any of these.
    pub(super) fn check_free(&self, wanted: &[Listener]) -> Result<()> {
        let is_taken = |each: &Listener| !port::is_free(self.get(*each));
        let taken: Vec<Listener> = wanted.iter().copied().filter(is_taken).collect();
        if taken.is_empty() {
            Ok(())
        } else {
            let all = taken.len() == wanted.len();
            Err(Error::PortsTaken(self.explain(&taken, all)))
        }
    }

    fn explain(&self, taken: &[Listener], all: bool) -> String {
        let mut lines = vec![
            "nothing was started: another make run or another program listens on these ports:"
                .to_owned(),
        ];
        lines.extend(taken.iter().map(|listener| {
            let (port, variable) = (self.get(*listener), listener.variable());
            format!(
                "  {port} for {}: `ss -ltnp 'sport = :{port}'` shows by whom; stop it, or choose \
                 another port with {variable}=PORT",
                listener.name(),
            )
        }));
        if all {
            lines.push("all of them: it seems to be running already".to_owned());
        }
        lines.join("\n")
    }
}

fn parse(text: Option<String>, default: u16) -> Option<u16> {
    match text {
        None => Some(default),
        Some(text) => text.trim().parse().ok().filter(|port| *port != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Ports> {
        let pairs: HashMap<String, String> = pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        Ports::from(|key| pairs.get(key).cloned())
    }

    #[test]
    fn defaults_are_those_of_the_readme() {
        let ports = from(&[]).unwrap();
        assert_eq!(
            Listener::RUN.map(|listener| ports.get(listener)),
            [6390, 27090, 8080, 8090, 9180, 9181, 9182]
        );
        assert_eq!(
            Listener::OBSERVE.map(|listener| ports.get(listener)),
            [9090, 9093]
        );
    }

    #[test]
    fn a_variable_moves_one_port() {
        let ports = from(&[("EVP_INGEST_PORT", "18080")]).unwrap();
        assert_eq!(ports.ingest_url(), "http://127.0.0.1:18080");
        assert_eq!(ports.aggregator_url(), "http://127.0.0.1:8090");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let error = from(&[("EVP_REDIS_PORT", "0"), ("EVP_INGEST_PORT", "8090")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("EVP_REDIS_PORT"), "{text}");
        assert!(
            text.contains("8090 is given to ingest and to the aggregator"),
            "{text}"
        );
        assert_eq!(error.exit_code(), 64);
    }

    #[test]
    fn a_taken_port_is_explained_with_the_variable_that_moves_it() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let ports = from(&[("EVP_MONGO_PORT", &port.to_string())]).unwrap();
        let text = ports.check_free(&Listener::RUN).unwrap_err().to_string();
        assert!(text.contains(&format!("{port} for mongod")), "{text}");
        assert!(text.contains("EVP_MONGO_PORT=PORT"), "{text}");
    }
}
