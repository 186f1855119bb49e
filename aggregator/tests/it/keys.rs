//! Who may ask: `auth.mode = "keys"`, and the command that makes the keys.

use std::process::Stdio;

use bson::{Document, doc};
use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::access::record::Scope;
use evp_shared::access::store::AccessStore;
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::store::DEAD_LETTERS;
use evp_shared::stream::QuotaAsk;
use evp_shared::testing::{PATIENCE, TestMongo, TestRedis, wait_for};
use fred::interfaces::KeysInterface as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::admin::letter;
use crate::service::{TestAggregator, event, id as id_of, key, now_s, prepared};

pub(crate) const KEYS: &str =
    "[auth]\nmode = \"keys\"\n[aggregator.query]\ntime_limit = \"20s\"\ncache_ttl = \"10ms\"";

pub(crate) async fn ask(service: &TestAggregator, path: &str, key: &Token) -> (u16, String) {
    let request = service.request(Method::GET, path).bearer_auth(key.expose());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn status(service: &TestAggregator, path: &str, key: &Token) -> u16 {
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

/// Sends JSON, with a key.
pub(crate) async fn send(
    service: &TestAggregator,
    (method, path): (Method, &str),
    key: &Token,
    body: &Value,
) -> (u16, Value) {
    let request = service.request(method, path).bearer_auth(key.expose());
    let response = request.json(body).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// Somebody who may act on all keys, and somebody who may act on those of `a`.
pub(crate) struct Managers {
    pub(crate) service: TestAggregator,
    pub(crate) operator: Token,
    pub(crate) admin: Token,
}

impl Managers {
    pub(crate) async fn new() -> Self {
        let service = TestAggregator::start_as(KEYS).await;
        let operator = key(&service.mongo, None, Scope::Operator).await.1;
        let admin = key(&service.mongo, Some("a"), Scope::Admin).await.1;
        known(&service, &admin).await;
        Self {
            service,
            operator,
            admin,
        }
    }

    async fn post(&self, path: &str, key: &Token, body: Value) -> (u16, Value) {
        send(&self.service, (Method::POST, path), key, &body).await
    }

    /// What the holder of the key of `made` is answered.
    async fn judged(&self, made: &Value) -> u16 {
        let request = self.service.request(Method::GET, "/events");
        let request = request.bearer_auth(made["key"].as_str().unwrap());
        request.send().await.unwrap().status().as_u16()
    }
}

fn path_of(made: &Value, what: &str) -> String {
    format!("/admin/keys/{}/{what}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn keys_are_made_and_ended_over_http() {
    let world = Managers::new().await;
    let admin = &world.admin;
    let asked = json!({ "name": "y", "scope": "read", "expiresInSeconds": 3_600 });
    let (status, made) = world.post("/admin/keys", admin, asked).await;
    assert_eq!((status, &made["tenant"]), (200, &json!("a")), "{made}");
    assert!(made["expiresAt"].is_string(), "{made}");
    let known = || async { world.judged(&made).await == 200 };
    wait_for("it is known", known).await;

    let no_overlap = json!({ "overlapSeconds": 0 });
    let (status, new) = world
        .post(&path_of(&made, "rotate"), admin, no_overlap)
        .await;
    assert_eq!(status, 200, "{new}");
    let ended = || async { world.judged(&made).await == 401 };
    wait_for("the old one has ended", ended).await;
    assert_eq!(world.judged(&new).await, 200);
    let (status, body) = world.post(&path_of(&new, "revoke"), admin, json!({})).await;
    assert!(status == 200 && body["revokedAt"].is_string(), "{body}");
    let ended = || async { world.judged(&new).await == 401 };
    wait_for("it is refused", ended).await;

    let disable = (Method::PATCH, "/admin/tenants/a");
    let asked = json!({ "state": "disabled" });
    let (status, body) = send(&world.service, disable, &world.operator, &asked).await;
    assert_eq!(
        (status, &body["state"]),
        (200, &json!("disabled")),
        "{body}"
    );
    let is_refused = || async { status_of(&ask(&world.service, "/events", admin).await) == 403 };
    wait_for("its keys are refused", is_refused).await;
    world.service.stop().await;
}

#[tokio::test]
async fn another_tenants_key_is_as_if_it_were_not_there() {
    let world = Managers::new().await;
    let (operator, admin) = (&world.operator, &world.admin);
    let asked = json!({ "id": "b" });
    let (made, body) = world.post("/admin/tenants", operator, asked).await;
    assert_eq!((made, &body["state"]), (200, &json!("active")), "{body}");
    assert_eq!(body["types"], 200);
    let of_b = json!({ "name": "of b", "scope": "read", "tenant": "b" });
    let (made, other) = world.post("/admin/keys", operator, of_b.clone()).await;
    assert_eq!((made, &other["tenant"]), (200, &json!("b")), "{other}");
    for what in ["rotate", "revoke"] {
        let (status, body) = world.post(&path_of(&other, what), admin, json!({})).await;
        assert_eq!(status, 404, "{body}");
    }
    let (_, listed) = ask(&world.service, "/admin/keys", admin).await;
    assert!(
        listed.contains("a key") && !listed.contains("of b"),
        "{listed}"
    );
    let (_, listed) = ask(&world.service, "/admin/keys", operator).await;
    assert!(
        listed.contains("a key") && listed.contains("of b"),
        "{listed}"
    );
    assert!(!listed.contains(other["key"].as_str().unwrap()), "{listed}");
    assert_eq!(status(&world.service, "/admin/tenants", admin).await, 403);
    world.service.stop().await;
}

#[tokio::test]
async fn a_tenant_sees_what_became_of_its_events() {
    let world = Managers::new().await;
    let (service, admin) = (&world.service, &world.admin);
    let change = (Method::PATCH, "/admin/tenants/a");
    let (status, body) = send(
        service,
        change,
        &world.operator,
        &json!({ "eventsPerDay": 1_000 }),
    )
    .await;
    assert_eq!(
        (status, &body["eventsPerDay"]),
        (200, &json!(1_000)),
        "{body}"
    );
    let (now_ms, stream) = (Clock::system().now_ms(), service.redis.stream(2));
    let ask_of = |tenant: &str| QuotaAsk {
        tenant: tenant.to_owned(),
        per_day: 1_000,
        events: 10,
    };
    let asks = [ask_of("a"), ask_of("b")];
    stream
        .take_quotas(now_ms / 86_400_000, &asks)
        .await
        .unwrap();
    let counts = [("accepted", 5), ("too_old", 2), ("rate_limited", 3)];
    stream
        .add_usage("a", now_ms / 3_600_000, &counts)
        .await
        .unwrap();
    stream
        .add_usage("b", now_ms / 3_600_000, &counts)
        .await
        .unwrap();
    let has_quota = || async { ask(service, "/usage", admin).await.1.contains("\"left\"") };
    wait_for("the quota is known", has_quota).await;
    let (_, usage) = ask(service, "/usage", admin).await;
    let mut usage: Value = serde_json::from_str(&usage).unwrap();
    usage["asOf"].take();
    let expected = json!({
        "asOf": null, "quota": { "eventsPerDay": 1_000, "left": 990 }, "accepted": 5,
        "refused": [{ "code": "rate_limited", "count": 3 }, { "code": "too_old", "count": 2 }],
    });
    // At midnight a quota begins anew.
    if Clock::system().now_ms() / 86_400_000 == now_ms / 86_400_000 {
        assert_eq!(usage, expected);
    }
    let is_told = || async {
        let (_, keys) = ask(service, "/admin/keys", admin).await;
        let keys: Value = serde_json::from_str(&keys).unwrap();
        keys["items"][0]["lastUsedAt"].is_string()
    };
    wait_for("its last use is told", is_told).await;
    world.service.stop().await;
}

#[tokio::test]
async fn a_tenants_admin_acts_on_its_own_dead_letters() {
    let world = Managers::new().await;
    let (operator, admin) = (&world.operator, &world.admin);
    let database = world.service.mongo.database();
    let letters = database.collection::<Document>(DEAD_LETTERS);
    for (ms, tenant) in [(1_000, "a"), (2_000, "b"), (3_000, "a")] {
        let mut letter = letter(ms, "click");
        letter.insert("tenant", tenant);
        letters.insert_one(letter).await.unwrap();
    }
    let listed = async |by: &Token| {
        let (_, listed) = ask(&world.service, "/admin/dead-letters", by).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["items"].as_array().unwrap().clone()
    };
    let all = listed(operator).await;
    assert_eq!((all.len(), listed(admin).await.len()), (3, 2));
    let of_b = all[1]["id"].as_str().unwrap();
    let path = format!("/admin/dead-letters/{of_b}");
    assert_eq!(status(&world.service, &path, admin).await, 404);
    assert_eq!(status(&world.service, &path, operator).await, 200);
    let purge = "/admin/dead-letters/purge";
    for asked in [
        json!({ "ids": [of_b], "dryRun": false }),
        json!({ "filter": {}, "dryRun": false }),
    ] {
        let (answered, body) = world.post(purge, admin, asked).await;
        assert_eq!(answered, 200, "{body}");
    }
    assert_eq!(listed(operator).await.len(), 1, "another tenant's stays");
    let audited = async |by: &Token| ask(&world.service, "/admin/audit", by).await.1;
    let own = audited(admin).await;
    assert!(own.contains("key_") && own.contains("a key"), "{own}");
    assert!(own.contains("dead_letters.purge"), "{own}");
    world.service.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_named() {
    let world = Managers::new().await;
    let (operator, admin) = (&world.operator, &world.admin);
    let key = |scope: &str| json!({ "name": "x", "scope": scope });
    let of_b = json!({ "name": "x", "scope": "read", "tenant": "b" });
    let none = json!({ "name": "x", "scope": "write", "tenant": "a",
                       "limits": { "events": { "perSecond": 0, "burst": 1 } } });
    let list = json!({ "name": "x", "scope": "write", "tenant": "a",
                       "limits": { "events": [1, 1] } });
    let wrong = (400, "invalid_parameter");
    let forbidden = (403, "scope_missing");
    for (by, path, body, expected, parameter) in [
        (admin, "/admin/keys", of_b, forbidden, ""),
        (admin, "/admin/keys", key("operator"), forbidden, ""),
        (admin, "/admin/tenants", json!({ "id": "c" }), forbidden, ""),
        (
            operator,
            "/admin/tenants",
            json!({ "id": "a{" }),
            wrong,
            "id",
        ),
        (
            operator,
            "/admin/tenants",
            json!({ "id": "a\u{1f}" }),
            wrong,
            "id",
        ),
        (
            operator,
            "/admin/tenants",
            json!({ "id": "c", "x": 1 }),
            wrong,
            "x",
        ),
        (
            operator,
            "/admin/tenants",
            json!({ "id": "c", "types": 18_801 }),
            wrong,
            "types",
        ),
        (operator, "/admin/keys", key("read"), wrong, "tenant"),
        (operator, "/admin/keys", key("all"), wrong, "scope"),
        (operator, "/admin/keys", none, wrong, "limits"),
        (operator, "/admin/keys", list, wrong, "limits.events"),
    ] {
        let (status, answer) = world.post(path, by, body.clone()).await;
        let text = |name: &str| answer[name].as_str().unwrap_or_default();
        assert_eq!((status, text("code")), expected, "{body}");
        assert_eq!(text("parameter"), parameter, "{body}");
    }
    world.service.stop().await;
}

#[tokio::test]
async fn a_fault_of_a_key_has_the_name_that_the_body_has() {
    let world = Managers::new().await;
    let key = |member: &str, value: Value| {
        let mut key = json!({ "name": "x", "scope": "read" });
        key[member] = value;
        key
    };
    let path = "/admin/keys";
    let (_, made) = world
        .post(path, &world.admin, key("types", json!([])))
        .await;
    let rotate = path_of(&made, "rotate");
    let long = json!({ "overlapSeconds": 31 * 86_400 });
    for (path, body, parameter) in [
        (path, key("public", json!(true)), "public"),
        (
            path,
            key("expiresInSeconds", json!(u64::MAX)),
            "expiresInSeconds",
        ),
        (&rotate, long, "overlapSeconds"),
    ] {
        let (status, answer) = world.post(path, &world.admin, body).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(answer["parameter"], parameter, "{answer}");
    }
    world.service.stop().await;
}

fn status_of(answer: &(u16, String)) -> u16 {
    answer.0
}

#[tokio::test]
async fn a_change_that_redis_has_not_said_is_kept_and_told_so() {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let redis = TestRedis::at(server.url()).await;
    let config = format!("{KEYS}\n[redis]\ncommand_timeout = \"200ms\"");
    let service = TestAggregator::start_on(redis, prepared().await, &config, &[])
        .await
        .ready()
        .await;
    let operator = key(&service.mongo, None, Scope::Operator).await.1;
    let (id, ended) = key(&service.mongo, Some("a"), Scope::Read).await;
    known(&service, &ended).await;
    server.pause();
    let revoke = format!("/admin/keys/{id}/revoke");
    let (status, body) = send(&service, (Method::POST, &revoke), &operator, &json!({})).await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("not_in_force")),
        "{body}"
    );
    assert_eq!(status_of(&ask(&service, "/events", &ended).await), 200);
    server.resume();
    let is_refused = || async { status_of(&ask(&service, "/events", &ended).await) == 401 };
    wait_for("it is refused", is_refused).await;
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
