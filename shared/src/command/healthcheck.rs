//! Whether a service is ready, asked by a command of its own: for containers, which hold no other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Done, FAILED, run_to_end};
use crate::config::ProcessConfig;
use crate::service::ServiceConfig;

const WITHIN: Duration = Duration::from_secs(3);
/// More than all reasons take.
const ANSWER_MAX: u64 = 64 * 1024;

/// Asks the admin port of the service `name`, configured as this process is, whether it is ready, and
/// prints the answer. Exit code 0: ready; 1: not, or no answer; 64: it cannot run as configured.
pub fn healthcheck<C: ServiceConfig>(name: &str, config_file: Option<&Path>) -> ExitCode {
    run_to_end(name, config_file, FAILED, async |config: &C| {
        let asked = tokio::time::timeout(WITHIN, ask(config.process()));
        asked
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    })
}

async fn ask(process: &ProcessConfig) -> io::Result<Done> {
    let mut stream = TcpStream::connect(reachable(process.admin)).await?;
    // Shown, so that it says why not.
    let token = process.admin_token.as_ref();
    let shown = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {}\r\n", token.expose())
    });
    let request =
        format!("GET /readyz HTTP/1.1\r\nhost: localhost\r\n{shown}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    let text = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(Done {
        text: text.trim().to_owned(),
        complete: answer.starts_with("HTTP/1.1 200 "),
    })
}

/// The address under which this machine reaches a listener on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
