//! What every service has, whatever it does: `[auth]`, `[runtime]`, `[admin]`, `[log]`, `[shutdown]`.

use std::net::SocketAddr;
use std::thread::available_parallelism;
use std::time::Duration;

use super::reach::{self, AuthMode};
use super::{LogConfig, Secret, Source};

/// Shorter ones could be tried out.
const TOKEN_BYTES_MIN: usize = 16;

crate::config_section! {
    /// What every service has, whatever it does.
    pub struct ProcessConfig: keys(source, admin_default: &'static str) in "runtime" {
        /// `keys` asks for a key, which `evp-aggregator access` makes; `open` serves everybody who can
        /// connect, all as the tenant `default`: every listener, the admin port too, has to be on a
        /// loopback address then.
        auth["auth.mode"]: AuthMode = "keys";
        /// Threads that do the work; 0 takes half of the cores. A service rarely needs more than
        /// one per 100,000 events/s, and idle ones cost CPU: they wake each other. Raise it for an
        /// ingest that has a machine for itself.
        worker_threads: usize = "0", "0"..="256";
        /// Address of the admin port: `/livez`, `/readyz`, `/metrics`, in plain HTTP. Off loopback it
        /// needs `admin.token`, and a network that only your own machines can listen to.
        admin["admin.listen"]: SocketAddr = admin_default;
        /// What the admin port asks for as `Authorization: Bearer` before it tells `/metrics`, and
        /// with `/readyz` why not; at least 16 characters. Without one it tells everybody.
        admin_token["admin.token"]: Option<Secret> = "";
    } with {
        /// How it logs.
        log: LogConfig = LogConfig::read(source);
        /// How it ends.
        shutdown: ShutdownConfig = ShutdownConfig::read(source);
    }
}

crate::config_section! {
    /// How the service ends.
    #[derive(Copy)]
    pub struct ShutdownConfig in "shutdown" {
        /// Longest time from the end of the delay to the exit. Lower cuts requests and bulks that
        /// are still under way (nothing is lost, clients and other processors retry); higher delays
        /// a rollout, and must stay below the orchestrator's own limit.
        grace: Duration = "15s", "1s"..="10m";
        /// Time between "not ready" and the end of accepting connections. Behind a load balancer
        /// that polls readiness set it to a few polls (5s to 15s), or clients see refused
        /// connections.
        delay: Duration = "0s", "0s"..="5m";
    }
}

impl ProcessConfig {
    /// Reads the sections of a service whose admin port is at `admin_default` by itself.
    pub fn read(source: &mut Source, admin_default: &'static str) -> Self {
        let mut config = Self::keys(source, admin_default);
        if config.worker_threads == 0 {
            let cores = available_parallelism();
            config.worker_threads = cores.map_or(1, |cores| cores.get().div_ceil(2));
        }
        let token = config.admin_token.as_ref();
        if token.is_some_and(|token| token.expose().len() < TOKEN_BYTES_MIN) {
            let fault = format!("is shorter than {TOKEN_BYTES_MIN} characters: write random ones");
            source.problem("admin.token", fault);
        }
        let needs = (token.is_some(), reach::ADMIN);
        reach::check(source, "admin.listen", config.admin, config.auth, needs);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_configured_takes_half_of_the_cores_and_one_at_least() {
        let threads = |text: &str| {
            let mut source = Source::from_text(text, &[]).unwrap();
            ProcessConfig::read(&mut source, "127.0.0.1:0").worker_threads
        };
        let cores = available_parallelism().unwrap().get();
        assert_eq!(threads(""), cores.div_ceil(2));
        assert_eq!(threads("[runtime]\nworker_threads = 7"), 7);
    }
}
