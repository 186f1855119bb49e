//! The binary: exit codes and messages.

use std::process::{Output, Stdio};

use evp_devstack::free_port;
use evp_shared::testing::{TestRedis, wait_for};
use tokio::net::TcpListener;
use tokio::process::Command;

fn ingest() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-ingest"));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
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
async fn sigterm_drains_and_exits_with_0() {
    let redis = TestRedis::new().await;
    let (public, admin) = (free_port().unwrap(), free_port().unwrap());
    let mut command = ingest();
    command
        .env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}"))
        .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
        .env("EVP__REDIS__URL", redis.url())
        .env("EVP__REDIS__KEY_PREFIX", redis.keys().prefix());
    let child = command.spawn().unwrap();
    let pid = child.id().expect("running").to_string();
    let http = reqwest::Client::new();
    wait_for("taken", || async {
        let url = format!("http://127.0.0.1:{public}/events");
        let answer = http.post(url).body(r#"{"type":"a"}"#).send().await;
        answer.is_ok_and(|answer| answer.status() == 202)
    })
    .await;
    let killed = Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .await
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", message(&output));
}
