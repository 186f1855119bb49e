//! Clients that mean no good.

use std::time::Duration;

use anyhow::{Result, ensure};
use evp_shared::clock::Clock;
use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Size;
use super::overload::percentile;
use crate::{Expected, Journal, Outcome, PATIENCE, Post, System};

/// A header that never ends, and a body that never comes.
const BEGINNINGS: [&str; 2] = [
    "POST /events HTTP/1.1\r\nhost: a\r\nx: ",
    "POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n[",
];

/// Two thousand connections that send the beginning of a request and no more, beside a client
/// that behaves.
pub(super) async fn slowloris(size: Size) -> Result<Outcome> {
    let builder = System::of("slowloris").env("EVP__INGEST__BODY__IDLE", "5s");
    let mut system = builder.start().await?;
    let (sockets, requests) = size.of((200, 200), (2_000, 1_000), (2_000, 3_000));
    let mut journal = Journal::default();
    let before = behave(&system, &mut journal, 0..requests).await?;

    let address = ("127.0.0.1", system.ingests[0].port());
    let mut stalled = Vec::with_capacity(sockets);
    for index in 0..sockets {
        let mut stream = TcpStream::connect(address).await?;
        let beginning = BEGINNINGS[index % BEGINNINGS.len()];
        stream.write_all(beginning.as_bytes()).await?;
        stalled.push(stream);
    }
    let clock = Clock::system();
    let since = clock.now();
    let closing = async {
        let all = join_all(stalled.into_iter().map(closed));
        let closed = tokio::time::timeout(PATIENCE, all).await;
        closed.map(|closed| (closed, (clock.now() - since).as_secs_f64()))
    };
    let (closed, beside) = tokio::join!(
        closing,
        behave(&system, &mut journal, requests..2 * requests)
    );
    let ((closed, took), beside) = (closed?, beside?);
    ensure!(closed.len() == sockets, "{} closed", closed.len());
    let answers: usize = closed
        .iter()
        .filter(|answer| answer.contains(" 202 "))
        .count();
    ensure!(answers == 0, "{answers} of them were accepted");

    system.note("p99 alone", format!("{before:.1} ms"));
    system.note("p99 beside them", format!("{beside:.1} ms"));
    system.note("all closed after", format!("{took:.1} s (deadline 5 s)"));
    let faults = format!("{sockets} stalled connections");
    system.balance(&journal, &Expected::default(), faults).await
}

/// Reads until the other side ends it, and returns what came.
async fn closed(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one event after the other; the 99th percentile of the answers in ms.
async fn behave(
    system: &System,
    journal: &mut Journal,
    numbers: std::ops::Range<u32>,
) -> Result<f64> {
    let url = system.ingests[0].url();
    let mut took_ms = Vec::with_capacity(numbers.len());
    for number in numbers {
        let body = system.events.array(number..number + 1);
        let since = Instant::now();
        let post = Post::json(&system.http, &url, body);
        post.acknowledged(journal, number..number + 1).await?;
        took_ms.push(since.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(percentile(took_ms, 99))
}
