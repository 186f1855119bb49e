//! The binary: exit codes and messages.

use std::process::{Output, Stdio};

use tokio::process::Command;

async fn end_of(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-aggregator"));
    command
        .env("EVP__SERVER__LISTEN", "127.0.0.1:0")
        .env("EVP__ADMIN__LISTEN", "127.0.0.1:0")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout) + &text(&stderr))
}

#[tokio::test]
async fn what_the_operator_has_to_mend_ends_it_with_64_and_is_named() {
    let cases = [
        (("EVP__REDIS__CA_FILE", "/nowhere.pem"), "redis.ca_file"),
        (("EVP__MONGO__CA_FILE", "/nowhere.pem"), "mongo.uri"),
        (("EVP__QUERY__CACHE_TTL", "soon"), "query.cache_ttl"),
    ];
    for (variable, named) in cases {
        let (code, message) = end_of(&[variable]).await;
        assert_eq!(code, Some(64), "{message}");
        assert!(message.contains(named), "{message}");
    }
}
