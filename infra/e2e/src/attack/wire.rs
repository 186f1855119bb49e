//! What comes before a request: addresses, connections, handshakes, certificates.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::ScratchDir;
use evp_shared::testing::tls::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
    let first = shown(&authority, port).await?;
    let (is_over, served) = (Cell::new(false), Cell::new(0_u64));
    let clients = async {
        while !is_over.get() {
            served.set(served.get() + send_over(&authority, port, &key).await?);
        }
        anyhow::Ok(())
    };
    let exchange = async {
        authority.issue(20).write(files.path())?;
        until("the new certificate is shown", async || {
            shown(&authority, port).await.is_ok_and(|now| now != first)
        })
        .await?;
        let second = shown(&authority, port).await?;
        // The key of another one.
        std::fs::write(files.path().join("key.pem"), authority.issue(30).key)?;
        until("the broken pair is refused", async || {
            node.metric(REFUSED).await.is_ok_and(|count| count > 0.0)
        })
        .await?;
        ensure!(
            shown(&authority, port).await? == second,
            "a broken pair is shown"
        );
        is_over.set(true);
        anyhow::Ok(())
    };
    tokio::try_join!(clients, exchange)?;
    speaks_no_1_1(port).await?;
    gate.held(format!(
        "{} requests over new connections: all served; the broken pair refused, TLS 1.1 too",
        served.get()
    ))
}

/// The certificate that is shown.
async fn shown(authority: &Authority, port: u16) -> Result<Vec<u8>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let stream = authority.connect(stream, &["http/1.1"]).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let first = certificates.and_then(<[_]>::first);
    Ok(first.context("no certificate")?.to_vec())
}

/// Sends two events over a connection of its own; how many requests were served.
async fn send_over(authority: &Authority, port: u16, key: &str) -> Result<u64> {
    let body = r#"{"type":"tls"}"#;
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut stream = authority.connect(stream, &["http/1.1"]).await?;
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer[..read]);
        ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    Ok(2)
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
    let (idle, stalled) = size.of((600, 100), (12_000, 2_000), (12_000, 2_000));
    let (all, of_one) = size.of(("500", "100"), ("10000", "2500"), ("10000", "2500"));
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let key = gate.key("a", "write").await?.key;
    let (authority, files) = (Authority::new(), ScratchDir::new()?);
    authority.issue(10).write(files.path())?;
    let file = |name: &str| files.path().join(name).display().to_string();
    let bounds = [
        ("EVP__SERVER__CONNECTIONS", all),
        ("EVP__SERVER__CONNECTIONS_PER_ADDRESS", of_one),
    ];
    let mut plain = gate.another("ingest", &bounds)?;
    let tls = [
        ("EVP__SERVER__TLS__CERT_FILE", &*file("cert.pem")),
        ("EVP__SERVER__TLS__KEY_FILE", &*file("key.pem")),
    ];
    let mut secured = gate.another("ingest", &[bounds, tls].concat())?;
    let mut held = Vec::new();
    for (node, count) in [(&mut plain, idle), (&mut secured, stalled)] {
        node.await_ready().await?;
        for _ in 0..count {
            // One that is refused is closed again, and costs nothing.
            held.push(from_attacker(node).await?);
        }
    }
    let served = send_over(&authority, secured.port(), &key).await?;
    let url = format!("{}/events", plain.url());
    let typed = gate
        .http
        .post(url)
        .bearer_auth(&key)
        .header("content-type", "application/json");
    let status = typed.body(r#"{"type":"a"}"#).send().await?.status();
    ensure!(status.as_u16() == 202, "{status}");
    drop(held);
    gate.held(format!(
        "{idle} idle connections and {stalled} stalled handshakes of one address; another's {} requests served",
        served + 1
    ))
}

async fn from_attacker(node: &Node) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((ATTACKER, 0).into())?;
    let connecting = socket.connect((Ipv4Addr::LOCALHOST, node.port()).into());
    Ok(tokio::time::timeout(PATIENCE, connecting).await??)
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
