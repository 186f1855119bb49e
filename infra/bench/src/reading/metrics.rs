//! What one `/metrics` costs Redis where there are a thousand tenants.

use std::time::Duration;

use anyhow::ensure;
use evp_shared::access::projector::Projector;
use evp_shared::access::rate::RateLimits;
use evp_shared::access::record::{Scope, TenantId};
use evp_shared::access::store::{AccessStore, NewKey};
use evp_shared::access::token::KeyKind;
use evp_shared::clock::Clock;
use evp_shared::stream::Stream;
use fred::interfaces::ClientLike as _;
use fred::types::InfoKind;

use super::{LEAD, WARMUP, send};
use crate::load::Load;
use crate::load::client::Connection;
use crate::stack::{Environment, Layout, Stack};
use crate::table::Grid;

/// With `default` as many as there may be.
const TENANTS: u16 = 999;
/// What each has.
const TYPES: u16 = 20;
/// Of these one asks, once, so that no answer is one of a moment ago.
const ASKED: u16 = 100;
/// All of the last minute is there, and a second more.
const WINDOW: Duration = Duration::from_secs(61);
/// How long what reads without being asked is watched.
const IDLE: Duration = Duration::from_secs(5);
/// From the last look to the end of the load.
const SPARE: Duration = Duration::from_secs(20);
/// Redis' commands that only read.
const READS: &[&str] = &[
    "get", "mget", "hget", "hmget", "hgetall", "hlen", "scard", "smembers", "sscan", "pfcount",
];

/// Measures while all tenants send; the table.
///
/// # Errors
/// Something could not be started, or was refused.
pub async fn run(environment: &Environment) -> anyhow::Result<String> {
    let layout = Layout {
        tenants: TENANTS,
        ..Layout::new(&[])
    };
    let stack = Stack::start(environment, layout).await?;
    let reader = stack.reader(environment).await?;
    let keys = keys(&stack).await?;
    let stream = stack.servers.stream().await?;
    // A request of each tenant a second.
    let load = Load {
        types: TYPES,
        ..Load::open(20_000.0, 20)
    };
    let sent = send(&stack, load, WINDOW + IDLE + SPARE);
    let asked = async {
        tokio::time::sleep(LEAD + WARMUP + WINDOW).await;
        let clock = Clock::system();
        let (since, before) = (clock.now(), read_us(&stream).await?);
        tokio::time::sleep(IDLE).await;
        let (idle, beside) = (clock.now() - since, read_us(&stream).await? - before);
        let (since, before) = (clock.now(), read_us(&stream).await?);
        let mut connection = Connection::open(reader.port).await?;
        for key in &keys {
            let request = format!(
                "GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\r\n"
            );
            let answer = connection.exchange(request.as_bytes()).await?;
            let said = String::from_utf8_lossy(answer.body);
            ensure!(answer.status == 200, "{}: {said}", answer.status);
            ensure!(said.contains("page.view"), "nothing is counted: {said}");
        }
        let share = (clock.now() - since).as_secs_f64() / idle.as_secs_f64();
        let used = read_us(&stream).await? - before;
        anyhow::Ok((used - beside * share) / f64::from(ASKED))
    };
    let (_, us) = futures::try_join!(sent, asked)?;
    stack.servers.clean().await?;
    let mut grid = Grid::new(&["figure", "value"]);
    let tenants = format!("{TENANTS} tenants of {TYPES} types");
    grid.push([
        format!("Redis' time of one /metrics, {tenants}, us"),
        format!("{us:.0}"),
    ]);
    Ok(grid.text())
}

/// A key that reads of each tenant that asks.
async fn keys(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let store = AccessStore::new(&stack.servers.database().await?);
    let mut keys = Vec::new();
    for number in 0..ASKED {
        let new = NewKey {
            name: "reads".to_owned(),
            kind: KeyKind::Secret,
            scope: Scope::Read,
            tenant: Some(TenantId::try_from(format!("tenant-{number}"))?),
            types: Vec::new(),
            origins: Vec::new(),
            limits: RateLimits::default(),
            expires_ms: None,
        };
        let (_, token) = store.add_key(new, Clock::system().now_ms()).await?;
        keys.push(token.expose().to_owned());
    }
    Projector::new(store, stack.servers.stream().await?)
        .project()
        .await?;
    Ok(keys)
}

/// Microseconds that Redis has spent on commands that read.
async fn read_us(stream: &Stream) -> anyhow::Result<f64> {
    let client = stream.client();
    let said: String = client.info(Some(InfoKind::CommandStats)).await?;
    let of_command = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let us = rest.split_once("usec=")?.1.split(',').next()?;
        READS.contains(&name).then(|| us.parse::<f64>().ok())?
    };
    Ok(said.lines().filter_map(of_command).sum())
}
