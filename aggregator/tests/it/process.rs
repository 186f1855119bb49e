//! The binary: exit codes and messages.

use std::process::{Output, Stdio};

use evp_devstack::free_port;
use evp_shared::testing::{TestRedis, wait_for};
use tokio::process::Command;

use crate::service::prepared;

async fn end_of(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-aggregator"));
    command
        .env("EVP__SERVER__LISTEN", "127.0.0.1:0")
        .env("EVP__ADMIN__LISTEN", "127.0.0.1:0")
        .env("EVP__AUTH__MODE", "open")
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

#[tokio::test]
async fn what_others_can_reach_is_refused_with_the_fix() {
    let wide = ("EVP__SERVER__LISTEN", "0.0.0.0:0");
    let table = [
        ("open", "set auth.mode = \"keys\""),
        ("keys", "set server.tls.cert_file and"),
    ];
    for (mode, fix) in table {
        let (code, message) = end_of(&[("EVP__AUTH__MODE", mode), wide]).await;
        assert_eq!(code, Some(64), "{message}");
        assert!(message.contains(fix), "{mode}: {message}");
    }
}

#[tokio::test]
async fn a_request_is_measured_by_its_route() {
    let (redis, mongo) = (TestRedis::new().await, prepared().await);
    let (public, admin) = (free_port().unwrap(), free_port().unwrap());
    let _running = Command::new(env!("CARGO_BIN_EXE_evp-aggregator"))
        .env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}"))
        .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
        .env("EVP__AUTH__MODE", "open")
        .env("EVP__REDIS__URL", redis.url())
        .env("EVP__REDIS__KEY_PREFIX", redis.keys().prefix())
        .env("EVP__MONGO__URI", mongo.uri())
        .env("EVP__MONGO__DATABASE", mongo.database_name())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let get = |port: u16, path: &str| reqwest::get(format!("http://127.0.0.1:{port}{path}"));
    wait_for("it serves", async || get(public, "/events").await.is_ok()).await;
    let paths = ["/events/x", "/admin/info", "/admin/none", "/none"];
    for path in paths {
        get(public, path).await.unwrap();
    }
    let metrics = get(admin, "/metrics").await.unwrap().text().await.unwrap();
    let count = |route: &str| {
        let name = "evp_aggregator_request_duration_seconds_count";
        let of_route = format!("route=\"{route}\"");
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        let lines = lines.filter(|line| line.contains(&of_route));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    let routes = ["/events/{id}", "/admin", "other"];
    assert_eq!(routes.map(count), [1, 2, 1], "{metrics}");
}
