//! Who connects: how much one address may take of a server, and whom a proxy speaks for.

use std::net::SocketAddr;
use std::time::Duration;

use evp_shared::http::client::TrustedProxies;
use evp_shared::http::server::{Listener, ServerLimits};
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::tls::Authority;
use evp_shared::testing::wait_for;
use evp_shared::tls::Tls;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::http_server::{
    GET, GRACE, SOON, Server, limits, read_to_end, read_until, start, start_as,
};

const OTHER: &str = "127.0.0.2:0";

/// Connects from an address of one's own.
async fn connect_from(address: &str, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    socket.connect(server.address).await.unwrap()
}

fn trusting(listener: Listener) -> Listener {
    let proxies = vec!["127.0.0.2/32".parse().unwrap()];
    listener.trusting(TrustedProxies::from(proxies))
}

fn refused_of(telemetry: &Telemetry, listener: &str) -> u32 {
    let name = format!(
        "evp_http_connections_refused_total{{listener=\"{listener}\",reason=\"address\"}} "
    );
    let text = telemetry.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_told_so_and_others_are_served() {
    let telemetry = Telemetry::install().unwrap();
    let limits = ServerLimits {
        name: "crowded",
        connections_per_address: 3,
        ..limits()
    };
    let server = start_as(limits, GRACE, |tcp| trusting(tcp.into())).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut stream, "/ 0").await;
        held.push(stream);
    }
    let mut refused = server.connect().await;
    let answer = read_to_end(&mut refused).await;
    assert!(answer.contains("too_many_connections"), "{answer}");
    assert_eq!(refused_of(&telemetry, "crowded"), 1);
    // Of a trusted proxy more are let in.
    for from in ["127.0.0.3:0", OTHER, OTHER, OTHER, OTHER] {
        let mut stream = connect_from(from, &server).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut stream, "/ 0").await;
        held.push(stream);
    }
    drop(held);
    let is_let_in = || async {
        let mut stream = server.connect().await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut stream, "\r\n").await.contains(" 200 ")
    };
    wait_for("a place", is_let_in).await;
    server.stop().await;
}

#[tokio::test]
async fn one_address_that_stalls_its_handshakes_does_not_keep_others_from_theirs() {
    let telemetry = Telemetry::install().unwrap();
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(1).write(folder.path()).unwrap();
    let tls = Tls::new(&files.load().unwrap());
    // Those that stall stay for longer than the others wait.
    let patient = ServerLimits {
        name: "stalling",
        connections_per_address: 200,
        header_timeout: 10 * SOON,
        keep_alive_idle: 10 * SOON,
        ..limits()
    };
    let server = start_as(patient, GRACE, |tcp| Listener::from(tcp).with_tls(tls)).await;
    let mut stalled = Vec::new();
    for _ in 0..201 {
        let mut stream = server.connect().await;
        // Those that are let in wait for more of the hello.
        drop(stream.write_all(b"\x16\x03\x01").await);
        stalled.push(stream);
    }
    wait_for("one is refused", || async {
        refused_of(&telemetry, "stalling") == 1
    })
    .await;
    for _ in 0..3 {
        let stream = connect_from(OTHER, &server).await;
        let shaken = timeout(SOON, authority.connect(stream, &["http/1.1"])).await;
        let mut stream = shaken.expect("a turn").unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_until(&mut stream, "/ 0").await;
    }
    drop(stalled);
    server.stop().await;
}

#[tokio::test]
async fn who_has_shown_no_credential_may_be_idle_for_less() {
    let limits = ServerLimits {
        stranger_idle: Duration::from_millis(200),
        ..limits()
    };
    let server = start_as(limits, GRACE, |tcp| trusting(tcp.into())).await;
    let mut known = server.connect().await;
    known
        .write_all(b"GET /known HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut known, "/known 0").await;
    let mut proxy = connect_from(OTHER, &server).await;
    proxy.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut proxy, "/ 0").await;
    let mut stranger = server.connect().await;
    stranger.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stranger, "/ 0").await;
    // The stranger came last and is closed, the others are not.
    assert_eq!(read_to_end(&mut stranger).await, "");
    for stream in [&mut known, &mut proxy] {
        stream.write_all(GET.as_bytes()).await.unwrap();
        read_until(stream, "/ 0").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_forged_x_forwarded_for_counts_for_nothing() {
    let server = start_as(limits(), GRACE, |tcp| trusting(tcp.into())).await;
    let table = [
        ("127.0.0.1:0", "192.0.2.9", "127.0.0.1"),
        ("127.0.0.1:0", "192.0.2.9, 127.0.0.2", "127.0.0.1"),
        (OTHER, "192.0.2.9", "192.0.2.9"),
        (OTHER, "203.0.113.5, 192.0.2.9", "192.0.2.9"),
        (OTHER, "203.0.113.5, 192.0.2.9, 127.0.0.2", "192.0.2.9"),
        (OTHER, "garbage", "127.0.0.2"),
    ];
    for (from, said, expected) in table {
        let mut stream = connect_from(from, &server).await;
        let request = format!("GET /client HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {said}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, ") 0").await;
        let expected = format!("ClientAddr({expected})");
        assert!(answer.contains(&expected), "{from} {said}: {answer}");
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
    server.stop().await;

    let untold = start(limits(), GRACE).await;
    let mut stream = untold.connect().await;
    stream
        .write_all(b"GET /client HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.1.1.1\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut stream, "ClientAddr(127.0.0.1)").await;
    untold.stop().await;
}
