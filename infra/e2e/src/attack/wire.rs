//! What comes before a request: addresses, connections, handshakes, certificates.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::ScratchDir;
use evp_shared::testing::tls::Authority;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::Gate;
use crate::scenario::Size;
use crate::system::binary;
use crate::{Node, PATIENCE, until};

/// `EX_USAGE` of sysexits.h.
const USAGE: i32 = 64;
/// From where the attack comes; others come from 127.0.0.1.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const REFUSED: &str = "evp_tls_certificates_refused_total";
const OPEN: &str = "evp_http_open_connections";
/// Connections of ours that are open besides, at most.
const OF_OURS: f64 = 16.0;
/// Handshakes that a listener has under way at once, as it is built.
const HANDSHAKES: u32 = 128;
/// Clients whose connections outlive a certificate.
const KEPT: usize = 4;
/// The record of a hello of TLS 1.1: nothing newer, two of its suites, signatures that fit ours.
/// Source: RFC 4346, 7.4.1.2.
const HELLO_1_1: [u8; 9] = [0x16, 3, 1, 0, 0x39, 1, 0, 0, 0x35];
/// Fatal `protocol_version`. Source: RFC 4346, 7.2.
const TOO_OLD: [u8; 2] = [2, 70];

pub(super) async fn certificates(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let key = gate.key("a", "write").await?.key;
    let (authority, files) = (Authority::new(), ScratchDir::new()?);
    authority.issue(10).write(files.path())?;
    let file = |name: &str| files.path().join(name).display().to_string();
    let mut node = gate.another(
        "ingest",
        &[
            ("EVP__SERVER__TLS__CERT_FILE", &file("cert.pem")),
            ("EVP__SERVER__TLS__KEY_FILE", &file("key.pem")),
        ],
    )?;
    node.await_ready().await?;
    let port = node.port();
    let (is_over, served) = (Cell::new(false), Cell::new(0_u64));
    let kept = async |_: usize| {
        let mut stream = opened(&authority, port).await?;
        while !is_over.get() {
            send_over(&mut stream, &key).await?;
            served.set(served.get() + 1);
        }
        anyhow::Ok(())
    };
    let anew = async {
        while !is_over.get() {
            send_over(&mut opened(&authority, port).await?, &key).await?;
            served.set(served.get() + 1);
        }
        anyhow::Ok(())
    };
    let exchange = async {
        exchanged(&authority, files.path(), &node).await?;
        is_over.set(true);
        Ok(())
    };
    let all_along = futures::future::try_join_all((0..KEPT).map(kept));
    tokio::try_join!(all_along, anew, exchange)?;
    speaks_no_1_1(port).await?;
    gate.held(format!(
        "{} requests over {KEPT} connections that lasted, and over new ones: all served; the broken pair \
         refused, TLS 1.1 too",
        served.get()
    ))
}

/// Exchanges the certificate, then puts a pair in its place that is none.
async fn exchanged(authority: &Authority, files: &Path, node: &Node) -> Result<()> {
    let port = node.port();
    let first = shown(authority, port).await?;
    authority.issue(20).write(files)?;
    until("the new certificate is shown", async || {
        shown(authority, port).await.is_ok_and(|now| now != first)
    })
    .await?;
    let second = shown(authority, port).await?;
    let refused = node.metric(REFUSED).await?;
    // The key of another one.
    std::fs::write(files.join("key.pem"), authority.issue(30).key)?;
    until("the broken pair is refused", async || {
        let now = node.metric(REFUSED).await;
        now.is_ok_and(|now| now > refused)
    })
    .await?;
    ensure!(
        shown(authority, port).await? == second,
        "a broken pair is shown"
    );
    Ok(())
}

/// The certificate that is shown.
async fn shown(authority: &Authority, port: u16) -> Result<Vec<u8>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let stream = authority.connect(stream, &["http/1.1"]).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let first = certificates.and_then(<[_]>::first);
    Ok(first.context("no certificate")?.to_vec())
}

async fn opened(
    authority: &Authority,
    port: u16,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    Ok(authority.connect(stream, &["http/1.1"]).await?)
}

/// Sends an event over a connection, which is taken.
async fn send_over(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), key: &str) -> Result<()> {
    let body = r#"{"type":"wire"}"#;
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer[..read]);
    ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    Ok(())
}

async fn speaks_no_1_1(port: u16) -> Result<()> {
    let mut hello = HELLO_1_1.to_vec();
    hello.extend([3, 2]);
    hello.extend([7; 32]);
    // No session, ECDHE_RSA with AES 128 and 256, no compression.
    hello.extend([0, 0, 4, 0xc0, 0x13, 0xc0, 0x14, 1, 0]);
    // `signature_algorithms`: ECDSA with SHA-256.
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(&hello).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    ensure!(answer.ends_with(&TOO_OLD), "{answer:?}");
    Ok(())
}

pub(super) async fn idle(size: Size) -> Result<String> {
    // More handshakes than may be under way at once.
    let (idle, stalled) = size.of((600, 150), (12_000, 2_000), (12_000, 2_000));
    let (all, of_one) = size.of((500, 200), (10_000, 2_500), (10_000, 2_500));
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let key = gate.key("a", "write").await?.key;
    let (authority, files) = (Authority::new(), ScratchDir::new()?);
    authority.issue(10).write(files.path())?;
    let file = |name: &str| files.path().join(name).display().to_string();
    let bounds = [
        ("EVP__SERVER__CONNECTIONS", &*all.to_string()),
        ("EVP__SERVER__CONNECTIONS_PER_ADDRESS", &*of_one.to_string()),
    ];
    let mut plain = gate.another("ingest", &bounds)?;
    let tls = [
        ("EVP__SERVER__TLS__CERT_FILE", &*file("cert.pem")),
        ("EVP__SERVER__TLS__KEY_FILE", &*file("key.pem")),
    ];
    let mut secured = gate.another("ingest", &[bounds, tls].concat())?;
    plain.await_ready().await?;
    secured.await_ready().await?;

    let held = from_attacker(&plain, idle).await?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, plain.port())).await?;
    send_over(&mut stream, &key).await?;
    // Before those that are idle are closed for that; on the admin port are a few of ours.
    let open = plain.metric(OPEN).await?;
    let most = f64::from(of_one) + OF_OURS;
    ensure!(
        (f64::from(of_one) / 2.0..=most).contains(&open),
        "{open} of {idle} connections are open, {of_one} of one address may be"
    );
    drop(held);

    let held = from_attacker(&secured, stalled).await?;
    let mut stream = opened(&authority, secured.port()).await?;
    send_over(&mut stream, &key).await?;
    // Had it waited until theirs were over, these would be gone.
    let stalling = secured.metric(OPEN).await?;
    ensure!(
        stalling > f64::from(HANDSHAKES),
        "{stalling} of {stalled} handshakes are under way"
    );
    drop(held);
    gate.held(format!(
        "{idle} idle connections, {open} of them open, and {stalled} stalled handshakes, {stalling} of them \
         open, of one address: another is served"
    ))
}

/// Opens connections over which nothing is said. One that is refused is closed again, and costs nothing.
async fn from_attacker(node: &Node, count: usize) -> Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4()?;
        socket.bind((ATTACKER, 0).into())?;
        let connecting = socket.connect((Ipv4Addr::LOCALHOST, node.port()).into());
        held.push(tokio::time::timeout(PATIENCE, connecting).await??);
    }
    Ok(held)
}

/// A service, what it is told, and the key that its refusal names.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

pub(super) async fn wide_open(_: Size) -> Result<String> {
    let cases: [Case; 5] = [
        (
            "ingest",
            &[("EVP__SERVER__LISTEN", "0.0.0.0:0")],
            "server.tls",
        ),
        (
            "aggregator",
            &[("EVP__SERVER__LISTEN", "0.0.0.0:0")],
            "server.tls",
        ),
        (
            "ingest",
            &[
                ("EVP__SERVER__LISTEN", "0.0.0.0:0"),
                ("EVP__AUTH__MODE", "open"),
            ],
            "auth.mode",
        ),
        (
            "aggregator",
            &[
                ("EVP__SERVER__LISTEN", "0.0.0.0:0"),
                ("EVP__SERVER__PLAINTEXT", "behind_proxy"),
                ("EVP__AUTH__MODE", "open"),
            ],
            "auth.mode",
        ),
        (
            "processor",
            &[("EVP__ADMIN__LISTEN", "0.0.0.0:0")],
            "admin.token",
        ),
    ];
    for (service, env, fix) in cases {
        let mut command = tokio::process::Command::new(binary(service)?);
        for (name, value) in env {
            command.env(name, value);
        }
        let started = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let ended = tokio::time::timeout(PATIENCE, started).await;
        let ended = ended.with_context(|| format!("{service} {env:?} runs"))??;
        let said = String::from_utf8_lossy(&ended.stderr) + String::from_utf8_lossy(&ended.stdout);
        ensure!(
            ended.status.code() == Some(USAGE) && said.contains(fix),
            "{service} {env:?}: {} {said}",
            ended.status
        );
    }
    Ok(format!(
        "{} configurations: exit 64, and the fix",
        cases.len()
    ))
}
