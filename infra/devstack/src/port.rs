use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;

use crate::{Error, Result};

/// Ports handed out lie below 32768, where Linux begins to choose ports for outgoing connections:
/// while a server is down between a kill and its restart, a client that keeps trying to reconnect
/// from that range can be given the very port it connects to, and then occupies it or talks to
/// itself.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
const ATTEMPTS: usize = 1_000;

static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// Returns a loopback port nobody listens on, each one once per process.
///
/// # Errors
/// `AddrInUse` when a thousand random candidates were all taken.
pub fn free_port() -> io::Result<u16> {
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(FIRST..=LAST);
        if handed_out.contains(&port) || !is_free(port) {
            continue;
        }
        handed_out.insert(port);
        return Ok(port);
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "no free port between 20000 and 32000",
    ))
}

/// The given port if nobody listens on it, else a free one.
pub(crate) fn choose(name: &str, given: Option<u16>) -> Result<u16> {
    match given {
        None => free_port().map_err(Error::io(format!("find a free port for {name}"))),
        Some(port) if is_free(port) => Ok(port),
        Some(port) => Err(Error::PortTaken {
            name: name.to_owned(),
            port,
            fix: "another server listens on it; stop that one or choose another port".to_owned(),
        }),
    }
}

/// Tells whether a server could listen on this loopback port.
pub(crate) fn is_free(port: u16) -> bool {
    // A listener on another address of this host (`0.0.0.0` with SO_REUSEPORT, a container's
    // proxy) can leave the bind to succeed, so the port is asked as well.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && !answers(port)
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(
        &(Ipv4Addr::LOCALHOST, port).into(),
        Duration::from_millis(200),
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_handed_out_once() {
        let ports: HashSet<u16> = (0..100).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| (FIRST..=LAST).contains(port)));
    }

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }
}
