//! The binary: exit codes and messages.

use std::process::{Output, Stdio};

use evp_devstack::{RedisOptions, RedisServer, free_port};
use evp_shared::testing::{TestRedis, wait_for};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::support::own_redis;

fn ingest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-ingest"));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What the process said, to the log and to whoever started it.
fn message(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// An ingest that runs, with its ports.
struct Running {
    child: Child,
    public: u16,
    admin: u16,
}

impl Running {
    fn start(redis: &TestRedis) -> Self {
        let (public, admin) = (free_port().unwrap(), free_port().unwrap());
        let mut command = ingest();
        command
            .env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}"))
            .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
            .env("EVP__REDIS__URL", redis.url())
            .env("EVP__REDIS__KEY_PREFIX", redis.keys().prefix());
        let child = command.spawn().unwrap();
        Self {
            child,
            public,
            admin,
        }
    }

    fn events(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.public)
    }

    async fn terminate(&self) {
        let pid = self.child.id().expect("running").to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(status.unwrap().success());
    }

    /// Waits until an event is taken.
    async fn takes_events(&self) {
        let http = reqwest::Client::new();
        wait_for("taken", || async {
            let request = http.post(self.events()).body(r#"{"type":"a"}"#);
            request
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 202)
        })
        .await;
    }
}

#[tokio::test]
async fn all_faults_of_the_configuration_are_told_at_once() {
    let mut command = ingest();
    command
        .env("EVP__INGEST__BODY__BYTES", "4")
        .env("EVP__INGEST__FRAME__CODEK", "lz4");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    let message = message(&output);
    assert!(message.contains("ingest.body.bytes"), "{message}");
    assert!(
        message.contains("did you mean ingest.frame.codec?"),
        "{message}"
    );
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = ingest();
    command.env(
        "EVP__SERVER__LISTEN",
        taken.local_addr().unwrap().to_string(),
    );
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        message(&output).contains("server.listen"),
        "{}",
        message(&output)
    );
}

#[tokio::test]
async fn a_redis_that_promises_less_ends_it_with_64_and_the_fix() {
    let options = RedisOptions {
        appendfsync: "everysec",
        ..RedisOptions::default()
    };
    let server = RedisServer::start(options).await.expect("a redis-server");
    let redis = TestRedis::at(server.url()).await;
    let output = Running::start(&redis)
        .child
        .wait_with_output()
        .await
        .unwrap();
    let message = message(&output);
    assert_eq!(output.status.code(), Some(64), "{message}");
    assert!(
        message.contains("CONFIG SET appendfsync always"),
        "{message}"
    );
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_0() {
    let redis = TestRedis::new().await;
    let ingest = Running::start(&redis);
    ingest.takes_events().await;
    ingest.terminate().await;
    let output = ingest.child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", message(&output));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once_with_1() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = Running::start(&redis);
    ingest.takes_events().await;
    // A request that has no answer keeps the drain from ending.
    server.pause();
    let http = reqwest::Client::new();
    let post = http.post(ingest.events()).body(r#"{"type":"a"}"#).send();
    let end = async {
        let admin = format!("http://127.0.0.1:{}", ingest.admin);
        let text = async |path: &str| {
            let answer = http.get(format!("{admin}{path}")).send().await.unwrap();
            answer.text().await.unwrap()
        };
        wait_for("a request is under way", || async {
            let metrics = text("/metrics").await;
            metrics
                .lines()
                .any(|line| line == "evp_ingest_in_flight_requests 1")
        })
        .await;
        ingest.terminate().await;
        wait_for("draining", || async {
            text("/readyz").await.contains("draining")
        })
        .await;
        ingest.terminate().await;
    };
    let (answer, ()) = tokio::join!(post, end);
    assert!(answer.is_err(), "the process was gone before the answer");
    let output = ingest.child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", message(&output));
}
