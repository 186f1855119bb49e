//! The connection loop over TLS: what holds without it holds with it.

use std::time::Duration;

use bytes::Bytes;
use evp_shared::http::server::{Listener, ServerLimits};
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::tls::{self, Authority};
use evp_shared::testing::wait_for;
use evp_shared::tls::Tls;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::http_server::{
    GET, GRACE, LARGE, SOON, Server, limits, read_to_end, read_until, request, start_as,
};

const HTTP1: &[&str] = &["http/1.1"];
const HSTS: &str = "strict-transport-security: max-age=31536000\r\n";
const HELD: &[u8] = b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n";

/// A server that speaks TLS, and who signed its certificate.
struct Secure {
    server: Server,
    authority: Authority,
}

impl Secure {
    async fn start(limits: ServerLimits) -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let files = authority.issue(30).write(folder.path()).unwrap();
        let tls = Tls::new(&files.load().unwrap());
        let server = start_as(limits, GRACE, |tcp| Listener::from(tcp).with_tls(tls)).await;
        Self { server, authority }
    }

    async fn connect(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        let stream = self.server.connect().await;
        self.authority.connect(stream, alpn).await.unwrap()
    }
}

fn named(name: &'static str) -> ServerLimits {
    ServerLimits { name, ..limits() }
}

/// Waits until that many connections of a listener were closed for a reason.
async fn closed(telemetry: &Telemetry, listener: &str, reason: &str, count: u32) {
    let line = format!(
        "evp_http_connections_closed_total{{listener=\"{listener}\",reason=\"{reason}\"}} {count}\n"
    );
    wait_for(&line, || async { telemetry.render().contains(&line) }).await;
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other_in_either_version() {
    let secure = Secure::start(limits()).await;
    for version in [&TLS12, &TLS13] {
        let connector = secure.authority.connector(HTTP1, &[version]);
        let stream = secure.server.connect().await;
        let mut stream = connector.connect(tls::name(), stream).await.unwrap();
        for _ in 0..3 {
            stream.write_all(GET.as_bytes()).await.unwrap();
            let answer = read_until(&mut stream, "/ 0").await;
            assert!(answer.contains(HSTS), "{answer}");
        }
    }
    let mut unasked = secure.connect(&[]).await;
    unasked.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut unasked, "/ 0").await;
    assert_eq!(secure.server.stop().await, 0);
    assert_eq!(read_to_end(&mut unasked).await, "");
}

#[tokio::test]
async fn http2_is_spoken_with_who_asks_for_it_in_the_handshake() {
    let secure = Secure::start(limits()).await;
    let stream = secure.connect(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let Secure { server, .. } = secure;
    let requests = async move {
        let held = sender.send_request(request("/held", ""));
        let quick = sender.clone().send_request(request("/two", "abcd"));
        let answer = quick.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "/two 4"
        );
        server.release.add_permits(1);
        assert_eq!(held.await.unwrap().status(), StatusCode::OK);
        server.stop().await
    };
    let (drained, ended) = tokio::join!(requests, connection);
    assert_eq!(drained, 0);
    ended.unwrap();
}

#[tokio::test]
async fn a_handshake_that_stalls_or_is_none_is_closed() {
    let telemetry = Telemetry::install().unwrap();
    let secure = Secure::start(named("stalled")).await;
    let half_a_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 100]].concat();
    let table: [&[u8]; 4] = [b"", b"\x16", &half_a_hello, GET.as_bytes()];
    for sent in table {
        let mut stream = secure.server.connect().await;
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(SOON, stream.read_to_end(&mut answer)).await;
        drop(read.expect("the server should close the connection"));
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    closed(&telemetry, "stalled", "handshake", 4).await;
    let mut good = secure.connect(HTTP1).await;
    good.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut good, "/ 0").await;
    secure.server.stop().await;
}

#[tokio::test]
async fn tls_1_1_is_refused() {
    let secure = Secure::start(limits()).await;
    // A hello of TLS 1.1, with three of its suites, that could sign as our certificate does.
    let suites = [0, 6, 0xc0, 0x13, 0xc0, 0x14, 0, 0x2f];
    let signatures = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let body = [&[3, 2][..], &[9; 32], &[0], &suites, &[1, 0], &signatures].concat();
    let length = u8::try_from(body.len()).unwrap();
    let head = [0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    let mut stream = secure.server.connect().await;
    stream
        .write_all(&[&head[..], &body].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    // An alert: fatal, protocol_version.
    assert_eq!((answer[0], &answer[5..]), (0x15, [2, 70].as_slice()));
    secure.server.stop().await;
}

#[tokio::test]
async fn the_first_request_is_due_from_the_opening_on_and_idle_ones_are_closed() {
    let telemetry = Telemetry::install().unwrap();
    let idle = ServerLimits {
        keep_alive_idle: Duration::from_millis(200),
        ..named("secure idle")
    };
    let secure = Secure::start(idle).await;
    for sent in ["", "GET / HTTP/1.1\r\nx: ", GET] {
        let mut stream = secure.connect(HTTP1).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert_eq!(answer.is_empty(), sent != GET, "{sent:?}: {answer}");
    }
    closed(&telemetry, "secure idle", "slow_header", 1).await;
    closed(&telemetry, "secure idle", "idle", 2).await;
    secure.server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_connection() {
    let telemetry = Telemetry::install().unwrap();
    let limits = ServerLimits {
        write_idle: Duration::from_millis(200),
        ..named("secure slow")
    };
    let secure = Secure::start(limits).await;
    let mut stopped = secure.connect(HTTP1).await;
    let large = b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stopped.write_all(large).await.unwrap();
    read_until(&mut stopped, "200 OK").await;
    closed(&telemetry, "secure slow", "slow_reader", 1).await;
    assert!(read_to_end(&mut stopped).await.len() < LARGE);

    let mut taking = secure.connect(HTTP1).await;
    taking.write_all(large).await.unwrap();
    assert!(read_to_end(&mut taking).await.len() > LARGE);
    secure.server.stop().await;
}

#[tokio::test]
async fn who_ends_his_side_is_answered_and_who_is_gone_has_ended() {
    let telemetry = Telemetry::install().unwrap();
    let limits = ServerLimits {
        half_close: true,
        ..named("secure half")
    };
    let secure = Secure::start(limits).await;
    let mut half = secure.connect(HTTP1).await;
    half.write_all(HELD).await.unwrap();
    secure.server.wait_for_held(1).await;
    half.shutdown().await.unwrap();
    secure.server.release.add_permits(1);
    read_until(&mut half, "/held 0").await;
    assert_eq!(read_to_end(&mut half).await, "");

    // Without a word of TLS.
    let mut gone = secure.connect(HTTP1).await;
    gone.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut gone, "/ 0").await;
    drop(gone.into_inner().0);
    closed(&telemetry, "secure half", "ended", 2).await;
    secure.server.stop().await;
}

#[tokio::test]
async fn a_refused_body_does_not_cost_the_client_its_answer() {
    let secure = Secure::start(limits()).await;
    for length in [3 << 20, 1 << 30] {
        let (mut reading, mut writing) = tokio::io::split(secure.connect(HTTP1).await);
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        writing.write_all(head.as_bytes()).await.unwrap();
        let sending = async {
            // Cut by the server, for the larger one.
            drop(writing.write_all(&vec![b'x'; 3 << 20]).await);
        };
        let receiving = read_to_end(&mut reading);
        let ((), answer) = tokio::join!(sending, receiving);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{length}: {answer}");
    }
    secure.server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_others_go_on() {
    let telemetry = Telemetry::install().unwrap();
    let limits = ServerLimits {
        connections: 1,
        ..named("secure full")
    };
    let secure = Secure::start(limits).await;
    let mut first = secure.connect(HTTP1).await;
    let second = secure.server.connect().await;
    secure.authority.connect(second, HTTP1).await.unwrap_err();
    first.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut first, "/ 0").await;
    let refused = "evp_http_connections_refused_total{listener=\"secure full\",reason=\"all\"} 1\n";
    assert!(telemetry.render().contains(refused));
    secure.server.stop().await;
}

#[tokio::test]
async fn drain_finishes_the_request_under_way_and_waits_for_no_handshake() {
    let limits = ServerLimits {
        header_timeout: GRACE,
        ..limits()
    };
    let secure = Secure::start(limits).await;
    let mut stalled = secure.server.connect().await;
    let mut busy = secure.connect(HTTP1).await;
    busy.write_all(HELD).await.unwrap();
    secure.server.wait_for_held(1).await;
    secure.server.shutdown.trigger();
    assert_eq!(read_to_end(&mut stalled).await, "");
    secure.server.release.add_permits(1);
    let answer = read_to_end(&mut busy).await;
    assert!(answer.ends_with("/held 0"), "{answer}");
    assert_eq!(secure.server.stop().await, 0);
}

#[tokio::test]
async fn an_answer_over_http2_that_is_not_taken_ends_its_connection() {
    let limits = ServerLimits {
        write_idle: Duration::from_millis(200),
        ..limits()
    };
    let secure = Secure::start(limits).await;
    let stream = secure.connect(&["h2"]).await;
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .unwrap();
    let asking = async move {
        let answer = sender.send_request(request("/one", "")).await.unwrap();
        drop(answer.into_body().collect().await.unwrap_err());
    };
    let ended = async { timeout(SOON, connection).await.expect("the server ends it") };
    let ((), ended) = tokio::join!(asking, ended);
    drop(ended);
    secure.server.stop().await;
}
