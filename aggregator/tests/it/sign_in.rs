//! People sign in, with a key or a link, and are out when they should be.

mod bounds;
mod browser;
mod by_code;
mod by_link;
mod members;
pub(crate) mod smtp;
mod stalled;

use evp_shared::access::record::Scope;
use evp_shared::access::store::AccessStore;
use evp_shared::access::token::{Ticket, Token};
use evp_shared::audit::Audit;
use evp_shared::clock::Clock;
use evp_shared::testing::{PATIENCE, wait_for};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

use self::browser::Browser;
use crate::keys::{KEYS, known};
use crate::service::{TestAggregator, event, id as id_of, key, now_s, prepared};

/// A service, and a browser that has signed in with a key of `a`.
async fn signed_in(scope: Scope) -> (TestAggregator, Browser, (String, Token)) {
    let service = TestAggregator::start_as(KEYS).await;
    let (id, token) = key(&service.mongo, Some("a"), scope).await;
    known(&service, &token).await;
    let mut browser = Browser::default();
    let (status, body) = browser.sign_in(&service, &token).await;
    assert_eq!(status, 200, "{body}");
    (service, browser, (id, token))
}

#[tokio::test]
async fn a_session_is_its_key_in_a_cookie() {
    let (service, browser, (id, token)) = signed_in(Scope::Read).await;
    let (status, body) = browser.get(&service, "/session").await;
    assert_eq!(status, 200, "{body}");
    let [idle, longest] = ["idleExpiresAt", "expiresAt"].map(|name| body[name].as_str().unwrap());
    assert!(idle < longest, "{body}");
    let expected = json!({
        "via": "key", "tenant": { "id": "a", "name": "one" }, "role": "viewer",
        "tenants": [{ "id": "a", "name": "one", "role": "viewer" }],
        "idleExpiresAt": idle, "expiresAt": longest,
    });
    assert_eq!(body, expected);
    assert_eq!(browser.get(&service, "/events").await.0, 200);
    // A viewer does no admin's action.
    for path in [
        "/admin/keys",
        "/admin/audit",
        "/admin/pipeline",
        "/admin/tenants",
    ] {
        let (status, body) = browser.get(&service, path).await;
        assert_eq!(
            (status, &body["code"]),
            (403, &json!("scope_missing")),
            "{path}"
        );
    }
    let mut both = browser.request(&service, Method::GET, "/events");
    both = both.bearer_auth(token.expose());
    let both = both.send().await.unwrap();
    assert_eq!(both.status(), 400);
    let both: Value = both.json().await.unwrap();
    assert_eq!(both["code"], "conflicting_keys");

    let stored = Audit::new(&service.mongo.database());
    let stored = stored.page(None, None, 9, Duration::ZERO).await.unwrap();
    let begun = stored
        .iter()
        .find(|entry| entry.what == "session.begin")
        .unwrap();
    assert!(begun.who.contains(&id), "{begun:?}");
    assert_eq!(begun.tenant.as_deref(), Some("a"), "{begun:?}");
    let shown = format!("{stored:?}");
    assert!(!shown.contains(token.expose()) && !shown.contains(browser.text()));
    service.stop().await;
}

#[tokio::test]
async fn what_is_signed_out_is_out_with_its_streams() {
    let (service, mut browser, _) = signed_in(Scope::Read).await;
    let streaming = browser.request(&service, Method::GET, "/stream");
    let mut stream = streaming.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    stream.chunk().await.unwrap();
    let kept = Browser::with(browser.text());
    let (status, _) = browser
        .send(&service, Method::DELETE, "/session", None)
        .await;
    assert_eq!(status, 204);
    assert_eq!(browser.text(), "", "the browser is told to forget it");
    let (status, body) = kept.get(&service, "/events").await;
    assert_eq!(
        (status, &body["code"]),
        (401, &json!("session_ended")),
        "{body}"
    );
    let to_its_end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, to_its_end).await.unwrap();
    // As if there had never been one.
    let never = Browser::with(Token::ticket(Ticket::Session).expose());
    assert_eq!(never.get(&service, "/events").await.1, body);
    assert_eq!(Browser::with("x").get(&service, "/events").await.1, body);
    service.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_key() {
    let (service, browser, (id, _)) = signed_in(Scope::Read).await;
    let mut stream = browser
        .request(&service, Method::GET, "/stream")
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    let store = AccessStore::new(&service.mongo.database());
    store
        .revoke_key(&id, Clock::system().now_ms())
        .await
        .unwrap();
    let to_its_end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, to_its_end).await.unwrap();
    let (status, body) = browser.get(&service, "/session").await;
    assert_eq!(
        (status, &body["code"]),
        (401, &json!("key_revoked")),
        "{body}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_after_its_longest_life() {
    let clock = Clock::manual(now_s() * 1_000);
    let redis = evp_shared::testing::TestRedis::new().await;
    let service = TestAggregator::start_at(redis, prepared().await, KEYS, &clock).await;
    let service = service.ready().await;
    let token = key(&service.mongo, Some("a"), Scope::Read).await.1;
    known(&service, &token).await;
    let hour = Duration::from_secs(3_600);
    let mut idle = Browser::default();
    let mut used = Browser::default();
    for browser in [&mut idle, &mut used] {
        assert_eq!(browser.sign_in(&service, &token).await.0, 200);
    }
    clock.advance(12 * hour - Duration::from_secs(1));
    assert_eq!(used.get(&service, "/session").await.0, 200);
    clock.advance(Duration::from_secs(1));
    let (status, body) = idle.get(&service, "/session").await;
    assert_eq!(
        (status, &body["code"]),
        (401, &json!("session_ended")),
        "{body}"
    );
    // Seven days less what has passed.
    for _ in 0..14 {
        assert_eq!(used.get(&service, "/session").await.0, 200);
        clock.advance(11 * hour);
    }
    assert_eq!(used.get(&service, "/session").await.0, 200);
    clock.advance(2 * hour);
    assert_eq!(used.get(&service, "/session").await.0, 401);
    service.stop().await;
}

#[tokio::test]
async fn one_more_than_twenty_ends_the_oldest() {
    let (service, first, (_, token)) = signed_in(Scope::Read).await;
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut browser = Browser::default();
        assert_eq!(browser.sign_in(&service, &token).await.0, 200);
        others.push(browser);
    }
    assert_eq!(first.get(&service, "/session").await.0, 401);
    for browser in others {
        assert_eq!(browser.get(&service, "/session").await.0, 200);
    }
    service.stop().await;
}

#[tokio::test]
async fn only_our_own_pages_use_the_cookie() {
    let config = format!("{KEYS}\n[aggregator]\npublic_url = \"https://evp.example\"");
    let service = TestAggregator::start_as(&config).await;
    let token = key(&service.mongo, Some("a"), Scope::Admin).await.1;
    known(&service, &token).await;
    let mut browser = Browser::at("https://evp.example");
    assert_eq!(browser.sign_in(&service, &token).await.0, 200);
    let cookie = browser.set_cookie();
    assert!(
        cookie.starts_with("__Host-evp_session=evp_ses_"),
        "{cookie}"
    );
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let asked = json!({ "name": "x", "scope": "read" });
    let path = "/admin/keys";
    let (status, body) = browser
        .send(&service, Method::POST, path, Some(&asked))
        .await;
    assert_eq!(status, 200, "{body}");
    for origin in ["https://evil.example", "http://evp.example", "null"] {
        let mut foreign = browser.of_page(origin);
        for (method, path) in [
            (Method::POST, path),
            (Method::DELETE, "/session"),
            (Method::POST, "/session/tenant"),
            (Method::POST, "/sign-in/key"),
        ] {
            let (status, body) = foreign.send(&service, method, path, Some(&asked)).await;
            assert_eq!(status, 403, "{origin} {path}");
            assert_eq!(body["code"], "origin_not_allowed");
        }
    }
    assert_eq!(browser.get(&service, "/session").await.0, 200);
    // Without the prefix it may be of anybody who changes plain HTTP.
    let request = service.request(Method::GET, "/session");
    let plain = request.header("cookie", format!("evp_session={}", browser.text()));
    assert_eq!(plain.send().await.unwrap().status(), 401);
    service.stop().await;
}

#[tokio::test]
async fn an_operator_sees_one_tenant_after_the_other() {
    let service = TestAggregator::start_as(KEYS).await;
    let ms = i64::try_from(now_s() * 1_000).unwrap();
    for (hash, tenant) in [(1, "a"), (2, "b")] {
        let mut event = event(id_of(now_s() * 1_000, hash), ms, &format!("of-{tenant}"));
        event.insert("tenant", tenant);
        service.insert(&[event]).await;
    }
    let admin = key(&service.mongo, Some("a"), Scope::Admin).await.1;
    key(&service.mongo, Some("b"), Scope::Read).await;
    let operator = key(&service.mongo, None, Scope::Operator).await.1;
    known(&service, &operator).await;
    let mut browser = Browser::default();
    let (_, body) = browser.sign_in(&service, &operator).await;
    assert_eq!(body["tenant"]["id"], "default");
    let ids: Vec<_> = body["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(json!(ids), json!(["a", "b", "default"]));
    let mut stream = browser
        .request(&service, Method::GET, "/stream")
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    for tenant in ["a", "b"] {
        let to = json!({ "tenant": tenant });
        let (status, body) = browser.post(&service, "/session/tenant", &to).await;
        assert_eq!(
            (status, &body["tenant"]["id"]),
            (200, &json!(tenant)),
            "{body}"
        );
        let (_, events) = browser.get(&service, "/events").await;
        assert_eq!(
            events["items"][0]["eventType"],
            format!("of-{tenant}"),
            "{events}"
        );
        assert_eq!(events["items"].as_array().unwrap().len(), 1);
    }
    // Of the tenant it began with.
    let to_its_end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, to_its_end).await.unwrap();
    assert_eq!(browser.get(&service, "/admin/pipeline").await.0, 200);
    // Of no tenant, whose admins read what is about it.
    let stored = Audit::new(&service.mongo.database());
    let stored = stored.page(None, None, 9, Duration::ZERO).await.unwrap();
    let begun = stored.iter().find(|entry| entry.what == "session.begin");
    assert_eq!(begun.unwrap().tenant, None, "{stored:?}");
    let (_, totals) = browser.get(&service, "/metrics?window=all").await;
    assert!(totals["totals"]["backlog"].is_i64(), "{totals}");

    let mut of_a = Browser::default();
    assert_eq!(of_a.sign_in(&service, &admin).await.0, 200);
    for (tenant, expected) in [("a", 200), ("b", 400), ("none", 400), ("A{", 400)] {
        let to = json!({ "tenant": tenant });
        let (status, body) = of_a.post(&service, "/session/tenant", &to).await;
        assert_eq!(status, expected, "{tenant}: {body}");
    }
    service.stop().await;
}

#[tokio::test]
async fn what_does_not_sign_in_is_told_why_and_not_for_ever() {
    let service = TestAggregator::start_as(KEYS).await;
    let writes = key(&service.mongo, Some("a"), Scope::Write).await.1;
    let reads = key(&service.mongo, Some("a"), Scope::Read).await.1;
    known(&service, &reads).await;
    let (_, methods) = Browser::default().get(&service, "/sign-in").await;
    assert_eq!(methods["mode"], "keys");
    let unknown = Token::generate(evp_shared::access::token::KeyKind::Secret);
    let mut browser = Browser::default();
    for (path, body, status, code) in [
        (
            "/sign-in/key",
            json!({ "key": writes.expose() }),
            403,
            "scope_missing",
        ),
        (
            "/sign-in/key",
            json!({ "key": unknown.expose() }),
            401,
            "unknown_key",
        ),
        ("/sign-in/key", json!({ "key": "x" }), 401, "malformed_key"),
        (
            "/sign-in/key",
            json!({ "key": 1 }),
            400,
            "invalid_parameter",
        ),
        (
            "/sign-in/key",
            json!({ "keys": "" }),
            400,
            "invalid_parameter",
        ),
        ("/sign-in/link", json!({ "token": "x" }), 401, "link_ended"),
    ] {
        let (found, answer) = browser.post(&service, path, &body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{body}");
    }
    assert_eq!(browser.text(), "");
    // The same client, on and on: even what is good waits then.
    let bad = json!({ "key": "x" });
    let limited = async || {
        Browser::default()
            .post(&service, "/sign-in/key", &bad)
            .await
            .0
            == 429
    };
    wait_for("it is told to wait", limited).await;
    let good = json!({ "key": reads.expose() });
    let request = service.request(Method::POST, "/sign-in/key").json(&good);
    let waits = request.send().await.unwrap();
    assert_eq!(waits.status(), 429);
    for name in ["retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(waits.headers().contains_key(name), "{name}");
    }
    service.stop().await;
}

#[tokio::test]
async fn nobody_signs_in_where_nobody_is_asked() {
    let service = TestAggregator::start_as("[auth]\nmode = \"open\"").await;
    let mut browser = Browser::with("x");
    let (_, methods) = browser.get(&service, "/sign-in").await;
    assert_eq!(methods, json!({ "mode": "open", "methods": [] }));
    let (status, session) = browser.get(&service, "/session").await;
    assert_eq!(status, 200, "{session}");
    assert_eq!(
        (&session["via"], &session["role"]),
        (&json!("open"), &json!("operator"))
    );
    assert_eq!(session["tenant"]["id"], "default");
    let (status, body) = browser
        .post(&service, "/sign-in/key", &json!({ "key": "x" }))
        .await;
    assert_eq!((status, &body["code"]), (404, &json!("sign_in_off")));
    let (status, body) = browser
        .send(&service, Method::DELETE, "/session", None)
        .await;
    assert_eq!((status, &body["code"]), (400, &json!("no_session")));
    service.stop().await;
}
