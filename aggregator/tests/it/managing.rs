//! What admins and operators do over HTTP.

use bson::Document;
use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::access::record::Scope;
use evp_shared::access::token::Token;
use evp_shared::clock::Clock;
use evp_shared::store::DEAD_LETTERS;
use evp_shared::stream::QuotaAsk;
use evp_shared::testing::{TestRedis, wait_for};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::letter;
use crate::keys::{KEYS, ask, known, status};
use crate::service::{TestAggregator, key, prepared};

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
