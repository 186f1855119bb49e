//! Keys that have ended.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use evp_shared::clock::Clock;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::Gate;
use super::gate::{Answer, Made, refuses};
use crate::scenario::Size;
use crate::{PATIENCE, until};

pub(super) const EVENT: &str = r#"{"type":"a"}"#;
/// How long a key that was rotated or revoked may be taken.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// Events of an export, and their bytes: together more than two pages of 8 MiB, one that is sent and one
/// that waits, and what lies in the sockets between here and there.
const EXPORTED: (usize, usize) = (200, 200_000);
const AT_ONCE: usize = 10;
/// A few segments of loopback: with less it stalls.
const RECEIVE_BYTES: u32 = 512 * 1024;

pub(super) async fn revoked(size: Size) -> Result<String> {
    let (gate, clock) = (Gate::start(&[]).await?, Clock::system());
    gate.tenant("a").await?;
    let mut longest = Duration::ZERO;
    // Rotated without an overlap: the old ones have ended, the new ones work.
    let mut new = Vec::new();
    for old in [gate.key("a", "write").await?, gate.key("a", "read").await?] {
        let since = clock.now();
        let path = format!("/admin/keys/{}/rotate", old.id);
        let body = json!({ "overlapSeconds": 0 });
        new.push(Made::read(&gate.manage(Method::POST, &path, body).await?)?);
        refused_by_all(&gate, &old.key).await?;
        longest = longest.max(clock.now() - since);
    }
    let [write, read] = &new[..] else {
        unreachable!("there are two")
    };
    work(&gate, write, read).await?;

    fill(&gate, write, read).await?;
    let stream = gate.ask(1, Method::GET, "/stream").bearer_auth(&read.key);
    let (stream, mut export) = (stream.send().await?, exporting(&gate, read).await?);
    ensure!(stream.status() == StatusCode::OK, "{}", stream.status());
    let since = clock.now();
    revoke(&gate, read).await?;
    let refusing = refused_by_all(&gate, &read.key);
    tokio::try_join!(refusing, heard_to_its_end(stream))?;
    longest = longest.max(clock.now() - since);
    broken_off(&mut export).await?;
    let since = clock.now();
    revoke(&gate, write).await?;
    refused_by_all(&gate, &write.key).await?;
    longest = longest.max(clock.now() - since);
    ensure!(
        size == Size::Test || longest <= REFUSED_WITHIN,
        "refused by all four, and the stream ended, after {longest:?}"
    );
    gate.held(format!(
        "two rotated and two revoked: refused by two ingests and two aggregators, a stream ended, after at \
         most {} ms; an export broken off",
        longest.as_millis()
    ))
}

/// Waits until the new keys work everywhere.
async fn work(gate: &Gate, write: &Made, read: &Made) -> Result<()> {
    for index in 0..gate.ingests.len() {
        until("the new key writes", async || {
            let answer = gate.post(index, &write.key, EVENT).await;
            answer.is_ok_and(|(status, _)| status == StatusCode::ACCEPTED)
        })
        .await?;
    }
    gate.in_force(&read.key, "/events").await
}

pub(super) async fn revoke(gate: &Gate, key: &Made) -> Result<Value> {
    let path = format!("/admin/keys/{}/revoke", key.id);
    gate.manage(Method::POST, &path, json!({})).await
}

/// Waits until both ingests and both aggregators refuse `key` as one that has ended, whatever else it
/// may not.
pub(super) async fn refused_by_all(gate: &Gate, key: &str) -> Result<()> {
    let is_refused = |answer: Result<Answer>| {
        answer.is_ok_and(|one| refuses(&one, StatusCode::UNAUTHORIZED, "key_revoked").is_ok())
    };
    let each = [0, 1].map(async |index: usize| {
        until("the ingest refuses it", async || {
            is_refused(gate.post(index, key, EVENT).await)
        })
        .await?;
        until("the aggregator refuses it", async || {
            is_refused(gate.get(index, "/events", key).await)
        })
        .await
    });
    futures::future::try_join_all(each).await.map(drop)
}

/// Stores what an export takes long for.
async fn fill(gate: &Gate, write: &Made, read: &Made) -> Result<()> {
    let (events, bytes) = EXPORTED;
    let event = json!({ "type": "exported", "payload": { "text": "x".repeat(bytes) } });
    let body = Value::from(vec![event; AT_ONCE]).to_string();
    for _ in 0..events / AT_ONCE {
        let taken = gate.accepted(0, &write.key, &body).await?;
        let last = taken["ids"][AT_ONCE - 1].as_str().context("no id")?;
        gate.stored(&read.key, last).await?;
    }
    Ok(())
}

/// Begins an export of which only the beginning is read. It asks for the type by name: a list of all
/// types knows a new one up to a second later.
async fn exporting(gate: &Gate, read: &Made) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let address = ([127, 0, 0, 1], gate.aggregators[0].port()).into();
    let mut export = socket.connect(address).await?;
    let request = format!(
        "GET /events?type=exported HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         accept: application/x-ndjson\r\nauthorization: Bearer {}\r\n\r\n",
        read.key
    );
    export.write_all(request.as_bytes()).await?;
    let mut beginning = [0; 12];
    export.read_exact(&mut beginning).await?;
    ensure!(beginning == *b"HTTP/1.1 200", "{beginning:?}");
    Ok(export)
}

/// That an answer of chunks ends before its end.
async fn broken_off(export: &mut TcpStream) -> Result<()> {
    let mut rest = Vec::new();
    // Whether it is closed or reset says nothing.
    let read = tokio::time::timeout(PATIENCE, export.read_to_end(&mut rest)).await;
    let read = read.context("the export has no end")?;
    let is_whole = rest.ends_with(b"0\r\n\r\n") || rest.len() >= EXPORTED.0 * EXPORTED.1;
    ensure!(
        !is_whole,
        "the export of a revoked key goes on: {} bytes, {read:?}",
        rest.len()
    );
    Ok(())
}

async fn heard_to_its_end(mut stream: Response) -> Result<()> {
    let to_its_end = async {
        while stream.chunk().await?.is_some() {}
        Ok(())
    };
    let ended = tokio::time::timeout(PATIENCE, to_its_end).await;
    ended.context("the stream does not end")?
}
