//! More than one may.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::testing::TestRedis;
use fred::interfaces::ClientLike as _;
use fred::types::InfoKind;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Gate;
use super::gate::{answer, code};
use crate::PATIENCE;
use crate::guard::OPERATOR;
use crate::scenario::Size;

const STORED: &str = "evp_processor_events_total";
const FLOODERS: usize = 16;
const FLOOD_EVENTS: usize = 500;
/// Of the small tenant.
const EVERY: Duration = Duration::from_millis(100);
/// Requests on their way at once on one connection.
const PIPELINED: usize = 50;

pub(super) async fn flood(size: Size) -> Result<String> {
    // Little drains. A quarter of what may wait is more than comes within a second, which is how often
    // ingest asks.
    let gate = Gate::start(&[
        ("EVP__INGEST__ADMISSION__BACKLOG_EVENTS", "2000000"),
        ("EVP__PROCESSOR__BULK_EVENTS", "200"),
        ("EVP__PROCESSOR__BULKS_IN_FLIGHT", "1"),
    ])
    .await?;
    for tenant in ["large", "small"] {
        gate.tenant(tenant).await?;
    }
    let [large, small] = [
        gate.key("large", "write").await?,
        gate.key("small", "write").await?,
    ];
    let requests = size.of(200, 300, 600);
    // Both from the beginning: one that is alone may fill all there is.
    let beside = flooded(&gate, &large.key, requests, Some(&small.key)).await?;
    let alone = flooded(&gate, &large.key, requests, None).await?;
    // A machine that is slow does not fill it in these seconds.
    ensure!(
        size == Size::Test || beside.refused > 0,
        "more drains than comes"
    );
    ensure!(
        beside.taken * 100 >= requests * 99,
        "{} of {requests} of the small one's requests were taken: {}",
        beside.taken,
        beside.last
    );
    let share = beside.rate / alone.rate;
    ensure!(
        size == Size::Test || share >= 0.9,
        "the large one gets {share:.2} of what it had alone"
    );
    gate.held(format!(
        "{} of {requests} requests of the small one taken; the large one {:.0} events/s, {share:.2} of what it \
         has alone, {} of its requests refused",
        beside.taken, beside.rate, beside.refused
    ))
}

struct Flooded {
    /// Requests of the small tenant that were taken.
    taken: u32,
    /// What the last of the others was told.
    last: String,
    /// Events per second that are stored, nearly all of them the large one's, in the second half: what
    /// came before has filled the backlog.
    rate: f64,
    /// Requests of the large one that were not.
    refused: u64,
}

/// Sends as much as can be as `large`, while `small` sends `requests` events, one every 100 ms.
async fn flooded(gate: &Gate, large: &str, requests: u32, small: Option<&str>) -> Result<Flooded> {
    let clock = Clock::system();
    let (half, is_over) = (Cell::new(None), Cell::new(false));
    let few = async {
        let (mut taken, mut last) = (0, String::new());
        let mut beat = tokio::time::interval(EVERY);
        for number in 0..requests {
            beat.tick().await;
            if number == requests / 2 {
                half.set(Some((clock.now(), gate.processor.metric(STORED).await?)));
            }
            let Some(small) = small else { continue };
            let few = r#"{"type":"few"}"#;
            let (status, text) = gate.post(number as usize % 2, small, few).await?;
            match status {
                StatusCode::ACCEPTED => taken += 1,
                _ => last = text,
            }
        }
        is_over.set(true);
        anyhow::Ok((taken, last))
    };
    let events: Vec<Value> = (0..FLOOD_EVENTS)
        .map(|_| json!({ "type": "many" }))
        .collect();
    let body = serde_json::to_string(&events)?;
    let flooder = async |index: usize| {
        let mut refused = 0_u64;
        while !is_over.get() {
            match gate.post(index % 2, large, &body).await?.0 {
                StatusCode::ACCEPTED => {}
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => refused += 1,
                status => bail!("{status}"),
            }
        }
        Ok(refused)
    };
    let flooders = futures::future::try_join_all((0..FLOODERS).map(flooder));
    let ((taken, last), refused) = tokio::try_join!(few, flooders)?;
    let (since, stored) = half.get().context("it was over before its half")?;
    let rate =
        (gate.processor.metric(STORED).await? - stored) / (clock.now() - since).as_secs_f64();
    Ok(Flooded {
        taken,
        last,
        rate,
        refused: refused.iter().sum(),
    })
}

pub(super) async fn quota(size: Size) -> Result<String> {
    let mut gate = Gate::start(&[]).await?;
    let (most, request) = size.of((2_000_u64, 10), (100_000, 100), (100_000, 100));
    gate.tenant("a").await?;
    let body = json!({ "eventsPerDay": most });
    gate.manage(Method::PATCH, "/admin/tenants/a", body).await?;
    let [write, read] = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    let events: Vec<Value> = (0..request).map(|_| json!({ "type": "q" })).collect();
    let body = serde_json::to_string(&events)?;
    let spending = spend(&mut gate, (&write.key, &read.key), &body, (most, request));
    let spent = tokio::time::timeout(3 * PATIENCE, spending).await;
    let accepted = spent.context("the quota is never spent")??;
    let least = most * 98 / 100;
    ensure!(
        (least..=most).contains(&accepted),
        "{accepted} of {most} accepted"
    );
    let url = format!("{}/events", gate.ingests[0].url());
    let response = gate
        .http
        .post(url)
        .bearer_auth(&write.key)
        .body(body.clone())
        .send()
        .await?;
    let has = |name: &str| response.headers().contains_key(name);
    ensure!(
        response.status() == StatusCode::TOO_MANY_REQUESTS
            && ["retry-after", "ratelimit", "ratelimit-policy"]
                .into_iter()
                .all(has),
        "{response:?}"
    );
    gate.held(format!(
        "{accepted} of {most} accepted, then 429, one of two ingests killed"
    ))
}

/// Sends `request` events after `request` to both ingests until the quota of `most` is spent, and
/// kills one halfway; how many were accepted.
async fn spend(
    gate: &mut Gate,
    (write, read): (&str, &str),
    body: &str,
    (most, request): (u64, u64),
) -> Result<u64> {
    let (mut accepted, mut living, mut is_given_out) = (0, 2, false);
    loop {
        if living == 2 && accepted >= most / 2 {
            gate.ingests[1].kill().await;
            living = 1;
        }
        for index in 0..living {
            let (status, text) = gate.post(index, write, body).await?;
            match status {
                StatusCode::ACCEPTED => accepted += request,
                StatusCode::TOO_MANY_REQUESTS if code(&text) == "quota_exceeded" => {
                    if living == 1 && is_given_out {
                        return Ok(accepted);
                    }
                    // Once more after that: the last part may have come meanwhile.
                    let (_, usage) = gate.get(0, "/usage", read).await?;
                    let usage: Value = serde_json::from_str(&usage)?;
                    is_given_out = usage["quota"]["left"] == 0;
                }
                _ => bail!("{status} {text}"),
            }
        }
    }
}

pub(super) async fn unknown_keys(size: Size) -> Result<String> {
    const MIB: u64 = 1 << 20;
    let gate = Gate::start(&[]).await?;
    let count: usize = size.of(20_000, 200_000, 1_000_000);
    let pid = gate.ingests[0].pid().context("the ingest has ended")?;
    // What a connection takes is there before.
    refused_all(gate.ingests[0].port(), count / 10).await?;
    let redis = gate.fort.redis_as(OPERATOR).await;
    let (memory, before) = (resident(pid)?, commands(&redis).await?);
    refused_all(gate.ingests[0].port(), count).await?;
    let grown = resident(pid)?.saturating_sub(memory);
    let commands = commands(&redis).await? - before;
    ensure!(grown <= 4 * MIB, "{} KiB more", grown >> 10);
    // What the services ask for by themselves, some hundred a second in all.
    ensure!(
        commands * 10 <= count as u64,
        "{commands} commands of {count} requests"
    );
    let (status, text) = answer(gate.ask(0, Method::GET, "/livez")).await?;
    ensure!(status == StatusCode::OK, "{status} {text}");
    gate.held(format!(
        "{count} refused, {} KiB more memory, {commands} Redis commands meanwhile",
        grown >> 10
    ))
}

/// Sends `count` keys that do not exist, each of which is answered 401.
async fn refused_all(port: u16, count: usize) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut left = count;
    let mut inbox = vec![0; 256 * 1024];
    while left > 0 {
        let now = left.min(PIPELINED);
        let requests: String = (0..now)
            .map(|_| {
                let key = Token::generate(KeyKind::Secret);
                format!(
                    "POST /events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
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
fn resident(pid: u32) -> Result<u64> {
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
async fn commands(redis: &TestRedis) -> Result<u64> {
    let info: String = redis.client().info(Some(InfoKind::Stats)).await?;
    let name = "total_commands_processed:";
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.context("no such line")?.trim().parse()?)
}
