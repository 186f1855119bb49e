//! Keys that do not exist.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::testing::TestRedis;
use fred::interfaces::ClientLike as _;
use fred::types::InfoKind;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Gate;
use super::gate::answer;
use crate::guard::OPERATOR;
use crate::scenario::Size;
use crate::{Node, PATIENCE};

/// Requests on their way at once on one connection.
const PIPELINED: usize = 50;
/// What memory grows by whoever asks.
const GROWN_MAX: u64 = 4 << 20;
/// For how long the services are watched doing nothing.
const IDLE: Duration = Duration::from_secs(2);
/// Redis commands beyond twice what idle services send: some are sent every few seconds only.
const COMMANDS_MORE: f64 = 100.0;

pub(super) async fn unknown_keys(size: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    // Each such that 100 bytes of every key would be more than may come to be.
    let (count, others): (usize, usize) =
        size.of((60_000, 60_000), (200_000, 60_000), (1_000_000, 200_000));
    let asked = [
        (&gate.ingests[0], "POST", count),
        (&gate.ingests[1], "POST", others),
        (&gate.aggregators[0], "GET", others),
    ];
    // What a connection takes is there before.
    for (node, method, count) in asked {
        refused_all(node, method, count / 5).await?;
    }
    let (redis, clock) = (gate.fort.redis_as(OPERATOR).await, Clock::system());
    let before = commands(&redis).await?;
    tokio::time::sleep(IDLE).await;
    let idle = (commands(&redis).await? - before) / IDLE.as_secs_f64();
    let (since, before) = (clock.now(), commands(&redis).await?);
    let mut longest = 0;
    for (node, method, count) in asked {
        let memory = resident(node)?;
        refused_all(node, method, count).await?;
        let grown = resident(node)?.saturating_sub(memory);
        ensure!(
            grown <= GROWN_MAX,
            "{}: {} KiB more",
            node.name(),
            grown >> 10
        );
        longest = longest.max(grown);
    }
    let sent = commands(&redis).await? - before;
    let by_themselves = idle * (clock.now() - since).as_secs_f64();
    ensure!(
        sent <= 2.0 * by_themselves + COMMANDS_MORE,
        "{sent} commands, where {by_themselves:.0} were to be expected"
    );
    let (status, text) = answer(gate.ask(0, Method::GET, "/livez")).await?;
    ensure!(status == StatusCode::OK, "{status} {text}");
    gate.held(format!(
        "{} refused by two ingests and an aggregator, at most {} KiB more memory; {sent} Redis commands \
         meanwhile, {by_themselves:.0} of idle services",
        count + 2 * others,
        longest >> 10
    ))
}

/// Sends `count` keys that do not exist, each of which is answered 401.
async fn refused_all(node: &Node, method: &str, count: usize) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port())).await?;
    let mut left = count;
    let mut inbox = vec![0; 256 * 1024];
    while left > 0 {
        let now = left.min(PIPELINED);
        let requests: String = (0..now)
            .map(|_| {
                let key = Token::generate(KeyKind::Secret);
                format!(
                    "{method} /events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
                    key.expose()
                )
            })
            .collect();
        stream.write_all(requests.as_bytes()).await?;
        let mut answers = Vec::new();
        let of_all = |bytes: &[u8], what: &str| {
            bytes
                .windows(what.len())
                .filter(|some| *some == what.as_bytes())
                .count()
        };
        while of_all(&answers, "unknown_key") < now {
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut inbox)).await??;
            ensure!(
                read > 0,
                "closed after {}",
                String::from_utf8_lossy(&answers)
            );
            answers.extend_from_slice(&inbox[..read]);
        }
        ensure!(
            of_all(&answers, "HTTP/1.1 401") == now,
            "{}",
            String::from_utf8_lossy(&answers)
        );
        left -= now;
    }
    Ok(())
}

/// Resident memory of a process, bytes.
fn resident(node: &Node) -> Result<u64> {
    let pid = node.pid().context("it has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .context("no VmRSS")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kib << 10)
}

/// Commands Redis has processed.
async fn commands(redis: &TestRedis) -> Result<f64> {
    let info: String = redis.client().info(Some(InfoKind::Stats)).await?;
    let name = "total_commands_processed:";
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.context("no such line")?.trim().parse()?)
}
