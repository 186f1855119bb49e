//! Who may ask: `auth.mode = "keys"`, and the command that makes the keys.

use std::process::Stdio;

use bson::{Document, doc};
use evp_shared::access::record::Scope;
use evp_shared::access::store::AccessStore;
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::testing::{PATIENCE, TestMongo, TestRedis, wait_for};
use fred::interfaces::KeysInterface as _;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::service::{TestAggregator, event, id as id_of, key, now_s};

/// For tests that say themselves how long MongoDB is waited for.
pub(crate) const KEYS_UNTIMED: &str =
    "[auth]\nmode = \"keys\"\n[aggregator.query]\ncache_ttl = \"10ms\"";
pub(crate) const KEYS: &str =
    "[auth]\nmode = \"keys\"\n[aggregator.query]\ntime_limit = \"20s\"\ncache_ttl = \"10ms\"";

pub(crate) async fn ask(service: &TestAggregator, path: &str, key: &Token) -> (u16, String) {
    let request = service.request(Method::GET, path).bearer_auth(key.expose());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

pub(crate) async fn status(service: &TestAggregator, path: &str, key: &Token) -> u16 {
    ask(service, path, key).await.0
}

/// Waits until the key is known.
pub(crate) async fn known(service: &TestAggregator, key: &Token) {
    let is_known = || async { status(service, "/nothing", key).await == 404 };
    wait_for("the key is known", is_known).await;
}

#[tokio::test]
async fn a_connection_that_has_shown_no_key_is_closed_before_one_that_has() {
    let service = TestAggregator::start_as(KEYS).await;
    let (_, key) = key(&service.mongo, Some("acme"), Scope::Read).await;
    known(&service, &key).await;
    let unknown = Token::generate(KeyKind::Secret);
    let connect = async || TcpStream::connect(service.address()).await.unwrap();
    let (mut trusted, mut stranger) = (connect().await, connect().await);
    assert!(ask_over(&mut trusted, &key).await.contains(" 200 "));
    assert!(ask_over(&mut stranger, &unknown).await.contains(" 401 "));
    let ended = timeout(PATIENCE, stranger.read(&mut [0; 1])).await;
    assert_eq!(ended.expect("it is closed").unwrap(), 0);
    assert!(ask_over(&mut trusted, &key).await.contains(" 200 "));
}

/// Asks over an open connection; the first bytes of the answer.
async fn ask_over(stream: &mut TcpStream, key: &Token) -> String {
    let key = key.expose();
    let request = format!("GET /usage HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64 << 10];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn nothing_but_the_pages_is_answered_without_a_credential() {
    let service = TestAggregator::start_as(KEYS).await;
    let described: Value =
        serde_json::from_str(&evp_aggregator::openapi::render("http://127.0.0.1:8080")).unwrap();
    let described = described["paths"].as_object().unwrap().keys();
    let mut paths: Vec<String> = described.map(|path| path.replace("{id}", "x")).collect();
    let is_open =
        |path: &str| ["/openapi.json", "/livez"].contains(&path) || path.starts_with("/sign-in");
    paths.retain(|path| !is_open(path));
    assert!(paths.len() > 8, "{paths:?}");
    let made_up = ["/nothing", "/admin", "/admin/", "/assets", "/docsx", "//"];
    paths.extend(made_up.map(str::to_owned));
    paths.extend((0..2).map(|number| format!("/x{number}/{number}")));
    for path in &paths {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let response = service.raw(method.clone(), path).await;
            assert_eq!(response.status(), 401, "{method} {path}");
            assert!(
                response.headers().contains_key("www-authenticate"),
                "{path}"
            );
        }
    }
    for path in ["/", "/live", "/start", "/docs/", "/openapi.json", "/livez"] {
        assert_eq!(service.raw(Method::GET, path).await.status(), 200, "{path}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_sees_what_its_tenant_sent_and_no_more() {
    let service = TestAggregator::start_as(KEYS).await;
    let now_ms = now_s() * 1_000;
    let of = |tenant: &str, hash: u64| -> Document {
        let ms = i64::try_from(now_ms).unwrap();
        let mut event = event(id_of(now_ms, hash), ms, &format!("type-of-{tenant}"));
        event.insert("tenant", tenant);
        event
    };
    service.insert(&[of("a", 1), of("b", 2)]).await;
    let mut keys = Vec::new();
    for tenant in ["a", "b"] {
        keys.push(key(&service.mongo, Some(tenant), Scope::Read).await.1);
    }
    known(&service, &keys[1]).await;
    for (key, own, other) in [(&keys[0], "a", "b"), (&keys[1], "b", "a")] {
        let (status, totals) = ask(&service, "/metrics?window=all", key).await;
        assert_eq!(status, 200, "{totals}");
        assert!(!totals.contains("backlog"), "of all tenants: {totals}");
        let (status, list) = ask(&service, "/events", key).await;
        assert_eq!(status, 200, "{list}");
        assert!(list.contains(&format!("type-of-{own}")), "{list}");
        assert!(!list.contains(&format!("type-of-{other}")), "{list}");
        let list: Value = serde_json::from_str(&list).unwrap();
        let id = list["items"][0]["id"].as_str().unwrap();
        let path = format!("/events/{id}");
        for (asks, expected) in [(own, 200), (other, 404)] {
            let key = if asks == "a" { &keys[0] } else { &keys[1] };
            assert_eq!(ask(&service, &path, key).await.0, expected, "{asks} {path}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_scope_opens_its_own_routes() {
    let service = TestAggregator::start_as(KEYS).await;
    let mongo = &service.mongo;
    let writes = key(mongo, Some("a"), Scope::Write).await.1;
    let reads = key(mongo, Some("a"), Scope::Read).await.1;
    let administers = key(mongo, Some("a"), Scope::Admin).await.1;
    let operates = key(mongo, None, Scope::Operator).await.1;
    known(&service, &operates).await;
    for (path, expected) in [
        ("/events", [403, 200, 200, 403]),
        ("/metrics", [403, 200, 200, 403]),
        ("/admin/info", [200, 200, 200, 200]),
        ("/admin/pipeline", [403, 403, 403, 200]),
        ("/admin/dead-letters", [403, 403, 200, 200]),
    ] {
        let keys = [&writes, &reads, &administers, &operates];
        for (key, expected) in keys.into_iter().zip(expected) {
            let (status, body) = ask(&service, path, key).await;
            assert_eq!(status, expected, "{path}: {body}");
            assert_eq!(status == 403, body.contains("\"scope_missing\""), "{body}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn a_key_works_from_its_making_to_its_end_whatever_redis_forgets() {
    let service = TestAggregator::start_as(KEYS).await;
    let (made, token) = key(&service.mongo, Some("a"), Scope::Read).await;
    known(&service, &token).await;
    let (revoked, ended) = key(&service.mongo, Some("a"), Scope::Read).await;
    known(&service, &ended).await;
    let store = AccessStore::new(&service.mongo.database());
    store
        .revoke_key(&revoked, Clock::system().now_ms())
        .await
        .unwrap();
    let is_refused = || async { status(&service, "/events", &ended).await == 401 };
    wait_for("it is refused", is_refused).await;

    let said = || async {
        let there: bool = service
            .redis
            .client()
            .exists(service.redis.keys().access())
            .await
            .unwrap();
        there
    };
    let _: u64 = service
        .redis
        .client()
        .del(service.redis.keys().access())
        .await
        .unwrap();
    assert!(is_refused().await);
    assert_eq!(status(&service, "/events", &token).await, 200, "{made}");
    wait_for("Redis is told again", said).await;
    assert!(is_refused().await);
    assert_eq!(status(&service, "/events", &token).await, 200, "{made}");
    service.stop().await;
}

#[tokio::test]
async fn a_live_stream_ends_with_its_key() {
    let service = TestAggregator::start_as(KEYS).await;
    let (id, token) = key(&service.mongo, Some("a"), Scope::Read).await;
    known(&service, &token).await;
    let request = service
        .request(Method::GET, "/stream")
        .bearer_auth(token.expose());
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    stream.chunk().await.unwrap();
    let store = AccessStore::new(&service.mongo.database());
    store
        .revoke_key(&id, Clock::system().now_ms())
        .await
        .unwrap();
    let to_its_end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, to_its_end).await.unwrap();
    assert_eq!(status(&service, "/stream", &token).await, 401);
    service.stop().await;
}

#[tokio::test]
async fn an_export_is_broken_off_with_its_key() {
    let service = TestAggregator::start_as(KEYS).await;
    let (id, token) = key(&service.mongo, Some("default"), Scope::Read).await;
    let now_ms = now_s() * 1_000;
    // More than the sockets between here and there hold.
    let text = "x".repeat(20_000);
    let events: Vec<Document> = (0..3_000)
        .map(|hash| {
            let mut event = event(id_of(now_ms, hash), i64::try_from(now_ms).unwrap(), "a");
            event.insert("payload", doc! { "text": &text });
            event
        })
        .collect();
    service.insert(&events).await;
    known(&service, &token).await;
    let export = async |token: &Token| {
        let request = service.request(Method::GET, "/events");
        let request = request.header("accept", "application/x-ndjson");
        request.bearer_auth(token.expose()).send().await.unwrap()
    };
    let to_its_end = async |mut export: Response| {
        while export.chunk().await?.is_some() {}
        Ok::<_, reqwest::Error>(())
    };
    let whole = tokio::time::timeout(PATIENCE, to_its_end(export(&token).await)).await;
    assert!(whole.unwrap().is_ok(), "it goes to its end");
    let mut export = export(&token).await;
    assert!(export.chunk().await.unwrap().is_some());
    let store = AccessStore::new(&service.mongo.database());
    store
        .revoke_key(&id, Clock::system().now_ms())
        .await
        .unwrap();
    let is_refused = || async { status(&service, "/events", &token).await == 401 };
    wait_for("it is refused", is_refused).await;
    let ended = tokio::time::timeout(PATIENCE, to_its_end(export)).await;
    assert!(ended.unwrap().is_err(), "as if all of it were there");
    service.stop().await;
}

pub(crate) struct CommandLine<'s> {
    pub(crate) redis: &'s TestRedis,
    pub(crate) mongo: &'s TestMongo,
}

impl CommandLine<'_> {
    pub(crate) async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_evp-aggregator"))
            .arg("access")
            .args(arguments)
            .env("EVP__REDIS__URL", self.redis.url())
            .env("EVP__REDIS__KEY_PREFIX", self.redis.keys().prefix())
            .env("EVP__MONGO__URI", self.mongo.uri())
            .env("EVP__MONGO__DATABASE", self.mongo.database_name())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    }

    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let (is_done, text) = self.run(arguments).await;
        assert!(is_done, "{arguments:?}: {text}");
        text
    }
}

#[tokio::test]
async fn the_first_key_is_made_by_the_command() {
    let service = TestAggregator::start_as(KEYS).await;
    let command = CommandLine {
        redis: &service.redis,
        mongo: &service.mongo,
    };
    command
        .ok(&["tenant", "add", "acme", "--name", "Acme"])
        .await;
    let arguments = [
        "key", "create", "reports", "--scope", "read", "--tenant", "acme",
    ];
    let made = command.ok(&arguments).await;
    assert!(made.contains("in force within a second"), "{made}");
    let text = made.lines().nth(1).unwrap();
    let asks = || async {
        let request = service.request(Method::GET, "/events").bearer_auth(text);
        request.send().await.unwrap().status().as_u16()
    };
    wait_for("it is in force", || async { asks().await == 200 }).await;

    let listed = command.ok(&["key", "list"]).await;
    assert!(
        listed.contains("reports") && listed.contains("acme"),
        "{listed}"
    );
    assert!(!listed.contains(text), "{listed}");
    assert!(command.ok(&["tenant", "list"]).await.contains("Acme"));
    let id = made.split(' ').next().unwrap();
    let rotated = command.ok(&["key", "rotate", id, "--overlap", "0s"]).await;
    assert!(
        rotated.contains("evp_sec_") && !rotated.contains(text),
        "{rotated}"
    );
    wait_for("the old one has ended", || async { asks().await == 401 }).await;
    let count = ["tenant", "count", "acme", "--types", "18900"];
    command.ok(&count).await;
    assert!(command.ok(&["tenant", "list"]).await.contains("18900"));
    let (is_made, told) = command.run(&["tenant", "add", "second"]).await;
    assert!(!is_made && told.contains("the 100 that are left"), "{told}");
    command
        .ok(&["tenant", "add", "second", "--types", "100"])
        .await;
    command.ok(&["tenant", "disable", "acme"]).await;
    command.ok(&["tenant", "enable", "acme"]).await;
    command.ok(&["key", "revoke", id]).await;

    for (arguments, named) in [
        (&["tenant", "add", "Acme"][..], "a-z"),
        (&["tenant", "add", "acme"], "already"),
        (&["tenant", "disable", "nobody"], "nobody"),
        (&["key", "create", "x", "--scope", "all"], "operator"),
        (
            &["key", "create", "x", "--scope", "read", "--public"],
            "public:",
        ),
        (&["key", "rotate", id, "--overlap", "31d"], "overlap:"),
        (&["key", "revoke", "key_none"], "key_none"),
    ] {
        let (is_done, text) = command.run(arguments).await;
        assert!(!is_done && text.contains(named), "{arguments:?}: {text}");
    }
    service.stop().await;
}
