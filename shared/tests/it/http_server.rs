//! The connection loop, seen from raw sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evp_shared::http::body::{self, BodyLimits};
use evp_shared::http::problem::Problem;
use evp_shared::http::server::{self, Listener, RequestBody, ServerLimits};
use evp_shared::shutdown::Shutdown;
use evp_shared::telemetry::Telemetry;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A condition that should hold soon has this long, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const GRACE: Duration = Duration::from_secs(20);
/// More than sockets take.
pub(crate) const LARGE: usize = 64 << 20;
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    /// Requests to `/held` that have arrived; each waits for a permit of `release`.
    arrived: Arc<Semaphore>,
    pub(crate) release: Arc<Semaphore>,
    served: JoinHandle<usize>,
}

pub(crate) async fn start(limits: ServerLimits, grace: Duration) -> Server {
    start_as(limits, grace, Listener::from).await
}

pub(crate) async fn start_as(
    limits: ServerLimits,
    grace: Duration,
    listener: impl FnOnce(TcpListener) -> Listener,
) -> Server {
    let bound = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = bound.local_addr().unwrap();
    let (shutdown, arrived, release) = (
        Shutdown::new(),
        Arc::new(Semaphore::new(0)),
        Arc::new(Semaphore::new(0)),
    );
    let (seen, gate) = (Arc::clone(&arrived), Arc::clone(&release));
    let handler = move |request| answer(request, Arc::clone(&seen), Arc::clone(&gate));
    let serving = server::serve(listener(bound), limits, handler, shutdown.clone(), grace);
    Server {
        address,
        shutdown,
        arrived,
        release,
        served: spawn(serving),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's server; its handle is awaited"
)]
fn spawn(serving: impl Future<Output = usize> + Send + 'static) -> JoinHandle<usize> {
    tokio::spawn(serving)
}

async fn answer(
    request: Request<RequestBody>,
    arrived: Arc<Semaphore>,
    release: Arc<Semaphore>,
) -> Response<Full<Bytes>> {
    let mut path = request.uri().path().to_owned();
    if path == "/held" {
        arrived.add_permits(1);
        release.acquire().await.unwrap().forget();
    }
    assert_ne!(path, "/panic", "asked for");
    let connection = request.body().connection();
    match path.as_str() {
        "/known" => connection.note_credential(),
        "/client" => path = format!("{:?}", connection.client(request.headers())),
        _ => {}
    }
    if path == "/large" {
        return Response::new(Full::new(Bytes::from(vec![b'x'; LARGE])));
    }
    let limits = BodyLimits {
        wire_bytes: 1 << 20,
        idle: SOON,
        total: SOON,
    };
    match body::read(request.into_body(), &limits, || false).await {
        Ok(body) => Response::new(Full::new(Bytes::from(format!("{path} {}", body.len())))),
        Err(_) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large").into_response()
        }
    }
}

pub(crate) fn limits() -> ServerLimits {
    ServerLimits {
        header_timeout: Duration::from_millis(200),
        keep_alive_idle: SOON,
        ..ServerLimits::named("test")
    }
}

impl Server {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn wait_for_held(&self, count: u32) {
        timeout(SOON, self.arrived.acquire_many(count))
            .await
            .unwrap()
            .unwrap()
            .forget();
    }

    pub(crate) async fn stop(self) -> usize {
        self.shutdown.trigger();
        timeout(SOON, self.served).await.unwrap().unwrap()
    }
}

/// Reads to the end of the connection; a reset counts as an end.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = timeout(SOON, stream.read(&mut buffer)).await.unwrap() {
        bytes.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Connects until it is let in and answered.
async fn place_of_its_own(server: &Server) -> TcpStream {
    let let_in = async {
        loop {
            let mut stream = server.connect().await;
            stream.write_all(GET.as_bytes()).await.unwrap();
            if !read_until(&mut stream, "\r\n").await.contains(" 503 ") {
                return stream;
            }
        }
    };
    timeout(SOON, let_in).await.unwrap()
}

/// Reads until `text` has come.
pub(crate) async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut read = String::new();
    let mut buffer = [0; 4096];
    while !read.contains(text) {
        let count = timeout(SOON, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0, "the connection ended after {read:?}");
        read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    read
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() {
    let server = start(limits(), GRACE).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "/ 0").await;
        assert!(
            answer.contains("content-length: 3\r\n") && answer.contains("date: "),
            "{answer}"
        );
    }
    assert_eq!(server.stop().await, 0);
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn an_answer_names_its_request() {
    let server = start(limits(), GRACE).await;
    let ask = async |lines: &str| {
        let mut stream = server.connect().await;
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        let name = answer
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "));
        name.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(ask("X-Request-Id: order-17.a\r\n").await, "order-17.a");
    let made = ask("").await;
    let replaced = ask("x-request-id: two words\r\n").await;
    assert!(
        made.len() > 16 && replaced.len() > 16 && made != replaced,
        "{made} {replaced}"
    );
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(limits(), GRACE).await;
    let mut stream = server.connect().await;
    let requests: String = (0..50)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxx"))
        .collect();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let answers = read_until(&mut stream, "/49 2").await;
    let order: Vec<&str> = answers
        .split("\r\n\r\n/")
        .skip(1)
        .map(|a| a.split(' ').next().unwrap())
        .collect();
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(order, expected);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request() {
    let server = start(limits(), GRACE).await;
    let mut stream = server.connect().await;
    stream
        .write_all(format!("{GET}POST /next HTTP/1.1\r\nhost: a\r\n").as_bytes())
        .await
        .unwrap();
    read_until(&mut stream, "/ 0").await;
    stream
        .write_all(b"content-length: 1\r\n\r\nx")
        .await
        .unwrap();
    read_until(&mut stream, "/next 1").await;
    server.stop().await;
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed() {
    for http2 in [false, true] {
        let server = start(ServerLimits { http2, ..limits() }, GRACE).await;
        let cases = [
            "",
            "P",
            "GET / HTTP/1.1\r\n",
            "PRI * HT",
            "GET / HTTP/1.1\r\nx: ",
        ];
        for sent in cases {
            let mut stream = server.connect().await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            assert_eq!(read_to_end(&mut stream).await, "", "{sent:?} {http2:?}");
        }
        assert_eq!(server.stop().await, 0);
    }
}

#[tokio::test]
async fn a_header_that_drips_is_cut_though_bytes_keep_coming() {
    let server = start(limits(), GRACE).await;
    let (mut reading, mut writing) = server.connect().await.into_split();
    writing.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let drip = async {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        while writing.write_all(b"a: b\r\n").await.is_ok() {
            every.tick().await;
        }
    };
    timeout(SOON, drip)
        .await
        .expect("the server should close the connection");
    let mut rest = Vec::new();
    // A reset is as good an end as any here: what matters is that no answer came.
    drop(reading.read_to_end(&mut rest).await);
    assert!(rest.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn idle_time_after_a_request_is_longer_than_the_header_deadline() {
    let short = Duration::from_millis(400);
    let server = start(
        ServerLimits {
            keep_alive_idle: short,
            ..limits()
        },
        GRACE,
    )
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let answered = tokio::time::Instant::now();
    read_until(&mut stream, "/ 0").await;
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(answered.elapsed() >= short, "{:?}", answered.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_request_under_way_outlives_all_deadlines_of_the_connection() {
    let idle = Duration::from_millis(100);
    let server = start(
        ServerLimits {
            header_timeout: idle,
            keep_alive_idle: idle,
            ..limits()
        },
        GRACE,
    )
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    server.wait_for_held(1).await;
    // A connection that came later is overdue first: then the older one has been spared.
    read_to_end(&mut server.connect().await).await;
    read_to_end(&mut server.connect().await).await;
    server.release.add_permits(1);
    read_until(&mut stream, "/held 0").await;
    server.stop().await;
}

#[tokio::test]
async fn oversized_headers_are_refused() {
    let server = start(limits(), GRACE).await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "y".repeat(17 * 1024)
    );
    let many: String = (0..101).map(|n| format!("x{n}: y\r\n")).collect();
    for request in [large, format!("GET / HTTP/1.1\r\n{many}\r\n")] {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 ") && answer.contains("\"header_too_large\""),
            "{} bytes: {answer:?}",
            request.len()
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn who_closes_his_side_after_a_request_is_answered_where_that_is_wanted() {
    for half_close in [false, true] {
        let server = start(
            ServerLimits {
                half_close,
                ..limits()
            },
            GRACE,
        )
        .await;
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        server.wait_for_held(1).await;
        stream.shutdown().await.unwrap();
        if half_close {
            server.release.add_permits(1);
            read_until(&mut stream, "/held 0").await;
        }
        assert_eq!(read_to_end(&mut stream).await, "", "{half_close}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_panic_closes_its_connection_and_is_counted() {
    let telemetry = Telemetry::install().unwrap();
    let limits = ServerLimits {
        name: "panicking",
        http2: true,
        ..limits()
    };
    let server = start(limits, GRACE).await;
    let mut stream = server.connect().await;
    let request = "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");

    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let asked = async move { sender.send_request(self::request("/panic", "")).await };
    let (asked, _) = tokio::join!(asked, connection);
    asked.unwrap_err();
    server.stop().await;
    let text = telemetry.render();
    for count in [
        "evp_task_panics_total{task=\"connection\"} 2",
        "evp_http_connections_closed_total{listener=\"panicking\",reason=\"panicked\"} 1",
    ] {
        assert!(text.contains(count), "{count}: {text}");
    }
}

#[tokio::test]
async fn an_answer_over_http2_that_is_not_taken_ends_its_connection() {
    let limits = ServerLimits {
        http2: true,
        write_idle: Duration::from_millis(200),
        ..limits()
    };
    let server = start(limits, GRACE).await;
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(io)
        .await
        .unwrap();
    let requests = async move {
        // Held back for longer than that: nothing is owed before there is an answer.
        let held = sender.send_request(request("/held", ""));
        let answer = sender
            .clone()
            .send_request(request("/one", ""))
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        drop(answer.into_body().collect().await.unwrap_err());
        drop(held.await);
    };
    let ended = async { timeout(SOON, connection).await.expect("the server ends it") };
    let ((), ended) = tokio::join!(requests, ended);
    drop(ended);
    server.stop().await;
}

#[tokio::test]
async fn a_refused_body_does_not_cost_the_client_its_answer() {
    let server = start(limits(), GRACE).await;
    for length in [3 << 20, 1 << 30] {
        let (mut reading, mut writing) = server.connect().await.into_split();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        writing.write_all(head.as_bytes()).await.unwrap();
        let sending = async {
            // Cut by the server, for the larger one.
            drop(writing.write_all(&vec![b'x'; 3 << 20]).await);
        };
        let mut answer = String::new();
        let receiving = async { timeout(SOON, reading.read_to_string(&mut answer)).await };
        let ((), read) = tokio::join!(sending, receiving);
        read.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{length}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let server = start(
        ServerLimits {
            connections: 1,
            ..limits()
        },
        GRACE,
    )
    .await;
    let mut first = server.connect().await;
    first.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut first, "/ 0").await;

    let mut second = server.connect().await;
    second.write_all(GET.as_bytes()).await.unwrap();
    let refusal = read_to_end(&mut second).await;
    assert!(
        refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("retry-after: 1"),
        "{refusal}"
    );
    assert!(refusal.contains("too_many_connections"), "{refusal}");

    first.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut first, "/ 0").await;
    first
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    read_to_end(&mut first).await;
    place_of_its_own(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_connection() {
    let limits = ServerLimits {
        connections: 1,
        write_idle: Duration::from_millis(200),
        ..limits()
    };
    let server = start(limits, GRACE).await;
    let mut stopped = server.connect().await;
    stopped
        .write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut stopped, "200 OK").await;
    let mut next = place_of_its_own(&server).await;
    assert!(read_to_end(&mut stopped).await.len() < LARGE);

    next.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(read_to_end(&mut next).await.len() > LARGE);
    server.stop().await;
}

#[tokio::test]
async fn drain_finishes_the_request_under_way_and_closes_idle_connections() {
    let server = start(limits(), GRACE).await;
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    idle.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut idle, "/ 0").await;
    busy.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    server.wait_for_held(1).await;

    server.shutdown.trigger();
    assert_eq!(read_to_end(&mut idle).await, "");
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(SOON, refused)
        .await
        .expect("nobody should be accepted any more");
    server.release.add_permits(1);
    let answer = read_to_end(&mut busy).await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("/held 0"),
        "{answer}"
    );
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn what_overstays_the_grace_period_is_cut_and_counted() {
    let server = start(limits(), Duration::from_millis(100)).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        streams.push(stream);
    }
    server.wait_for_held(2).await;
    assert_eq!(server.stop().await, 2);
    assert_eq!(read_to_end(&mut streams[0]).await, "");
}

#[tokio::test]
async fn http2_and_http1_share_a_port_when_http2_is_on() {
    let http2 = true;
    let server = start(ServerLimits { http2, ..limits() }, GRACE).await;
    let mut plain = server.connect().await;
    plain
        .write_all(b"POST /one HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        .await
        .unwrap();
    read_until(&mut plain, "/one 3").await;

    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
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
        let answer = held.await.unwrap();
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "/held 0"
        );
        server.stop().await
    };
    let (drained, ended) = tokio::join!(requests, connection);
    assert_eq!(drained, 0);
    ended.unwrap();
}

#[tokio::test]
async fn http2_is_refused_when_it_is_off() {
    let server = start(limits(), GRACE).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    server.stop().await;
}

pub(crate) fn request(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(format!("http://a{path}"))
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}
