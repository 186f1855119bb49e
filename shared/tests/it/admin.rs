//! The admin port, as a probe and as Prometheus see it.

use std::future::Future;
use std::net::SocketAddr;

use evp_shared::clock::Clock;
use evp_shared::config::Secret;
use evp_shared::health::Health;
use evp_shared::http::admin;
use evp_shared::shutdown::Shutdown;
use evp_shared::telemetry::Telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn with_admin<T: Future<Output = ()>>(test: impl FnOnce(SocketAddr, Health) -> T) {
    with_token(None, test).await;
}

async fn with_token<T: Future<Output = ()>>(
    token: Option<Secret>,
    test: impl FnOnce(SocketAddr, Health) -> T,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let health = Health::new(Clock::system());
    let telemetry = Telemetry::install().unwrap();
    let shutdown = Shutdown::new();
    let serving = admin::serve(listener, token, health.clone(), telemetry, shutdown.clone());
    let testing = async {
        test(address, health).await;
        shutdown.trigger();
    };
    let (served, ()) = tokio::join!(serving, testing);
    served.unwrap();
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    ask_with(address, method, path, "").await
}

/// With more lines of header.
async fn ask_with(address: SocketAddr, method: &str, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: a\r\n{header}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_process_lives_and_tells_its_metrics() {
    with_admin(|address, _| async move {
        let answer = ask(address, "GET", "/livez").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"),
            "{answer}"
        );
        let answer = ask(address, "GET", "/metrics").await;
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        assert!(answer.contains("evp_build_info{version="), "{answer}");
        // Ours is one of them; an earlier one may be about to close.
        let open = answer
            .lines()
            .find_map(|line| line.strip_prefix("evp_http_open_connections{listener=\"admin\"} "));
        let open: u32 = open.unwrap_or_default().parse().expect(&answer);
        assert!(open >= 1, "{answer}");
    })
    .await;
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    with_admin(|address, health| async move {
        let answer = ask(address, "GET", "/readyz").await;
        assert!(
            answer.contains(r#"{"name":"service","reason":"starting"}"#),
            "{answer}"
        );
        let redis = health.condition("redis");
        redis.ok();
        let answer = ask(address, "GET", "/readyz").await;
        assert!(
            answer.ends_with(r#"{"ready":true,"reasons":[]}"#),
            "{answer}"
        );
        redis.fail("not connected");
        let answer = ask(address, "GET", "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(
            answer.contains(r#"{"name":"redis","reason":"not connected"}"#),
            "{answer}"
        );
        let answer = ask(address, "GET", "/metrics").await;
        assert!(
            answer.contains("evp_ready{condition=\"redis\"} 0\n"),
            "{answer}"
        );
        redis.ok();
        let answer = ask(address, "GET", "/metrics").await;
        assert!(
            answer.contains("evp_ready{condition=\"redis\"} 1\n"),
            "{answer}"
        );
        health.set_draining();
        let answer = ask(address, "GET", "/readyz").await;
        assert!(
            answer.contains(r#"{"name":"shutdown","reason":"draining"}"#),
            "{answer}"
        );
    })
    .await;
}

#[tokio::test]
async fn with_a_token_only_who_shows_it_learns_more_than_readiness() {
    let token = Secret::new("0123456789abcdef");
    with_token(Some(token), |address, health| async move {
        let wrong = [
            "",
            "authorization: Bearer 0123456789abcdee\r\n",
            "authorization: Bearer\r\n",
            "authorization: Basic 0123456789abcdef\r\n",
            "x-api-key: 0123456789abcdef\r\n",
        ];
        health.condition("redis").fail("not connected");
        for header in wrong {
            let answer = ask_with(address, "GET", "/metrics", header).await;
            let is_refused = answer.starts_with("HTTP/1.1 401 ")
                && answer.contains("www-authenticate: Bearer")
                && !answer.contains("evp_");
            assert!(is_refused, "{header}: {answer}");
            let answer = ask_with(address, "GET", "/readyz", header).await;
            let is_curt = answer.starts_with("HTTP/1.1 503 ")
                && answer.ends_with("\r\n\r\n{\"ready\":false}");
            assert!(is_curt, "{header}: {answer}");
            let answer = ask_with(address, "GET", "/livez", header).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        let right = "authorization: Bearer 0123456789abcdef\r\n";
        let answer = ask_with(address, "GET", "/metrics", right).await;
        assert!(answer.contains("evp_build_info"), "{answer}");
        let answer = ask_with(address, "GET", "/readyz", right).await;
        assert!(answer.contains("not connected"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn other_routes_and_methods_are_problems() {
    with_admin(|address, _| async move {
        let answer = ask(address, "GET", "/").await;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.contains("no_route"),
            "{answer}"
        );
        assert!(answer.contains("application/problem+json"), "{answer}");
        let answer = ask(address, "POST", "/metrics").await;
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET"),
            "{answer}"
        );
        let answer = ask(address, "HEAD", "/livez").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    })
    .await;
}
