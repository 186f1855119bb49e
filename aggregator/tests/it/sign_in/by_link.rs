//! A link signs in, once.

use std::time::Duration;

use bson::{Document, doc};
use evp_aggregator::sign_in::links::Links;
use evp_aggregator::sign_in::role::Role;
use evp_shared::access::record::{Scope, TenantId};
use evp_shared::audit::Audit;
use evp_shared::clock::Clock;
use evp_shared::testing::TestRedis;
use serde_json::{Value, json};

use super::browser::Browser;
use crate::keys::{CommandLine, KEYS, known};
use crate::service::{TestAggregator, key, now_s, prepared};

/// What stands behind `#sign-in=` of a link that the command printed.
async fn link(service: &TestAggregator, arguments: &[&str]) -> Value {
    let command = CommandLine {
        redis: &service.redis,
        mongo: &service.mongo,
    };
    let made = command.ok(&[&["link"], arguments].concat()).await;
    let line = made.lines().nth(1).unwrap();
    let token = line.strip_prefix("http://127.0.0.1:8090/#sign-in=");
    json!({ "token": token.unwrap() })
}

#[tokio::test]
async fn a_link_signs_in_once_as_what_it_says() {
    let service = TestAggregator::start_as(KEYS).await;
    let token = key(&service.mongo, Some("a"), Scope::Read).await.1;
    known(&service, &token).await;
    for (arguments, tenant, role) in [
        (&["--tenant", "a", "--role", "admin"][..], "a", "admin"),
        (&["--tenant", "a", "--role", "viewer"], "a", "viewer"),
        (&["--operator"], "default", "operator"),
    ] {
        let link = link(&service, arguments).await;
        let mut browser = Browser::default();
        let (status, body) = browser.post(&service, "/sign-in/link", &link).await;
        assert_eq!(status, 200, "{body}");
        let found = [&body["via"], &body["tenant"]["id"], &body["role"]];
        assert_eq!(json!(found), json!(["link", tenant, role]), "{body}");
        let expected = if role == "viewer" { 403 } else { 200 };
        assert_eq!(browser.get(&service, "/admin/keys").await.0, expected);
        let mut second = Browser::default();
        let (status, body) = second.post(&service, "/sign-in/link", &link).await;
        assert_eq!((status, &body["code"]), (401, &json!("link_ended")));
        assert_eq!(browser.get(&service, "/session").await.0, 200);
    }
    let command = CommandLine {
        redis: &service.redis,
        mongo: &service.mongo,
    };
    for (arguments, named) in [
        (&["link", "--tenant", "none", "--role", "admin"][..], "none"),
        (
            &["link", "--tenant", "a", "--role", "operator"],
            "viewer or admin",
        ),
        (&["link", "--tenant", "a"], "--role"),
        (&["link", "--operator", "--tenant", "a"], "--tenant"),
        (&["link"], "--tenant"),
    ] {
        let (is_done, text) = command.run(arguments).await;
        assert!(!is_done && text.contains(named), "{arguments:?}: {text}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_link_that_cannot_sign_in_yet_is_not_used_up() {
    let mongo = prepared().await;
    let links = Links::new(&mongo.database(), Clock::system(), Duration::from_secs(20));
    let made = links.make(TenantId::default_tenant(), Role::Operator).await;
    let link = json!({ "token": made.unwrap().1.expose() });
    // Nobody says who may come in.
    let nowhere = [("REDIS_URL", "redis://127.0.0.1:1")];
    let service = TestAggregator::start_on(TestRedis::new().await, mongo, KEYS, &nowhere).await;
    let mut browser = Browser::default();
    let (status, body) = browser.post(&service, "/sign-in/link", &link).await;
    let found = (status, &body["code"]);
    assert_eq!(found, (503, &json!("access_unknown")), "{body}");

    let service = service.restart().await;
    let tenants = service.mongo.access().collection::<Document>("tenants");
    tenants.insert_one(doc! { "_id": "damaged" }).await.unwrap();
    let (status, body) = browser.post(&service, "/sign-in/link", &link).await;
    assert_eq!(status, 503, "{body}");
    tenants.delete_one(doc! { "_id": "damaged" }).await.unwrap();
    let (status, body) = browser.post(&service, "/sign-in/link", &link).await;
    assert_eq!(status, 200, "{body}");
    service.stop().await;
}

#[tokio::test]
async fn whoever_used_a_link_is_put_out_by_the_command() {
    let service = TestAggregator::start_as(KEYS).await;
    let link = link(&service, &["--operator"]).await;
    let mut browser = Browser::default();
    let (status, body) = browser.post(&service, "/sign-in/link", &link).await;
    assert_eq!(status, 200, "{body}");
    let audit = Audit::new(&service.mongo.database());
    let entries = audit.page(None, None, 9, Duration::ZERO).await.unwrap();
    let begun = entries.iter().find(|entry| entry.what == "session.begin");
    let person = &begun.unwrap().who;
    let command = CommandLine {
        redis: &service.redis,
        mongo: &service.mongo,
    };
    let ended = command.ok(&["session", "end", person]).await;
    assert_eq!(ended.trim(), format!("1 sessions of {person} ended"));
    assert_eq!(browser.get(&service, "/session").await.0, 401);
    service.stop().await;
}

#[tokio::test]
async fn a_link_of_ten_minutes_ago_signs_nobody_in() {
    let clock = Clock::manual(now_s() * 1_000);
    let redis = TestRedis::new().await;
    let service = TestAggregator::start_at(redis, prepared().await, KEYS, &clock).await;
    let service = service.ready().await;
    let link = link(&service, &["--operator"]).await;
    clock.advance(Duration::from_secs(700));
    let (status, body) = Browser::default()
        .post(&service, "/sign-in/link", &link)
        .await;
    assert_eq!(
        (status, &body["code"]),
        (401, &json!("link_ended")),
        "{body}"
    );
    service.stop().await;
}
