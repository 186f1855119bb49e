//! What a refusal costs ingest, beside a single event that is accepted.
//!
//! The same connections, as fast as answers come; CPU is that of the ingest process over the answers
//! of its phase. What refuses has no body, as the figure to reach has it. `/livez` is beside them: an
//! answer that looks at nothing costs as much as HTTP and the kernel do, and no refusal costs less.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use evp_shared::access::projector::Projector;
use evp_shared::access::rate::{Rate, RateLimits};
use evp_shared::access::record::TenantId;
use evp_shared::access::store::{AccessStore, Change};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;

use crate::load::client::Connection;
use crate::measure::process::Usage;
use crate::measure::watch::Role;
use crate::run::drained;
use crate::stack::{Environment, Layout, Stack};

const CONNECTIONS: u16 = 32;
const STORED_WITHIN: Duration = Duration::from_secs(120);
const BODY: &str = r#"{"eventType":"page.view","userId":"user-000001","metadata":{"page":"/a"}}"#;
const UNAUTHORIZED: u16 = 401;
const TOO_MANY: u16 = 429;
const ACCEPTED: u16 = 202;
const LIVE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

/// Measures each for `measured`; the table.
///
/// # Errors
/// Something could not be started, or was answered otherwise.
pub async fn run(environment: &Environment, measured: Duration) -> anyhow::Result<String> {
    let layout = Layout {
        tenants: 2,
        ..Layout::new(&[])
    };
    let stack = Stack::start(environment, layout).await?;
    let [good, limited] = &stack.keys[..] else {
        anyhow::bail!("there are not two keys")
    };
    limit(&stack).await?;
    let unknown = Token::generate(KeyKind::Secret);
    let phases = [
        ("accepted, one event", post(good, BODY), ACCEPTED),
        ("unknown key", post(unknown.expose(), ""), UNAUTHORIZED),
        ("no key", post("", ""), UNAUTHORIZED),
        ("over its rate", post(limited, ""), TOO_MANY),
        ("HTTP alone", LIVE.to_vec(), 200),
        ("accepted, one event", post(good, BODY), ACCEPTED),
    ];
    let mut table =
        String::from("| answer | answers/s | ingest, us each | to accepted |\n|---|---|---|---|\n");
    let mut accepted_us = None;
    for (name, request, status) in phases {
        let spent = phase(&stack, &request, status, measured).await;
        let (rate, us) = spent.with_context(|| format!("{name}; {}", stack.logs()))?;
        let base = *accepted_us.get_or_insert(us);
        table += &format!("| {name} | {rate:.0} | {us:.2} | {:.3} |\n", us / base);
        drained(&stack.servers.stream().await?, STORED_WITHIN).await?;
    }
    Ok(table)
}

/// Leaves the second tenant one event a day, which is spent.
async fn limit(stack: &Stack) -> anyhow::Result<()> {
    let store = AccessStore::new(&stack.servers.database().await?);
    let once = Rate {
        per_second: 1,
        burst: 1,
    };
    let change = Change {
        limits: Some(RateLimits {
            events: Some(once),
            bytes: None,
        }),
        ..Change::default()
    };
    let id = TenantId::try_from("tenant-1".to_owned())?;
    store.change(&id, &change).await?;
    Projector::new(store, stack.servers.stream().await?)
        .project()
        .await?;
    // It asks twice a second, and its debts are of many seconds then.
    let request = post(
        &stack.keys[1],
        &format!("[{}{BODY}]", format!("{BODY},").repeat(999)),
    );
    let mut connection = Connection::open(stack.ingest_port).await?;
    loop {
        let answer = connection.exchange(&request).await?;
        match answer.status {
            TOO_MANY => return Ok(()),
            ACCEPTED => {}
            status => anyhow::bail!("{status}: {}", String::from_utf8_lossy(answer.body)),
        }
    }
}

fn post(key: &str, body: &str) -> Vec<u8> {
    let key = match key {
        "" => String::new(),
        key => format!("authorization: Bearer {key}\r\n"),
    };
    format!(
        "POST /events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{key}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends `request` again and again; answers per second, and ingest's CPU of one, in microseconds.
async fn phase(
    stack: &Stack,
    request: &[u8],
    status: u16,
    measured: Duration,
) -> anyhow::Result<(f64, f64)> {
    let processes = stack.processes();
    let ingest = processes.iter().find(|(role, _)| *role == Role::Ingest);
    let (_, pid) = ingest.context("ingest has ended")?;
    let clock = Clock::system();
    let (since, before) = (clock.now(), Usage::of(*pid)?);
    let end = since + measured;
    let works = (0..CONNECTIONS).map(|_| work(stack.ingest_port, request, status, (&clock, end)));
    let answers: u64 = futures::future::try_join_all(works).await?.iter().sum();
    let used = Usage::of(*pid)?.cpu_s - before.cpu_s;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 52 bits")]
    let answers = answers as f64;
    ensure!(answers > 0.0, "no answer");
    Ok((answers / measured.as_secs_f64(), used * 1e6 / answers))
}

async fn work(
    port: u16,
    request: &[u8],
    status: u16,
    (clock, end): (&Clock, Instant),
) -> anyhow::Result<u64> {
    let mut connection = Connection::open(port).await?;
    let mut answers = 0;
    while clock.now() < end {
        let answer = connection.exchange(request).await?;
        ensure!(
            answer.status == status,
            "{} instead of {status}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body)
        );
        answers += 1;
    }
    Ok(answers)
}
