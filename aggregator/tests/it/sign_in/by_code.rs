//! A code by mail signs a member in: once, in the browser that asked.

use std::time::Duration;

use bson::{Document, doc};
use evp_shared::access::record::Scope;
use evp_shared::access::token::KeyHash;
use evp_shared::clock::Clock;
use evp_shared::testing::{PATIENCE, TestRedis, wait_for};
use reqwest::Method;
use serde_json::{Value, json};

use super::browser::Browser;
use super::smtp::SmtpServer;
use crate::keys::{CommandLine, KEYS, ask, known};
use crate::service::{TestAggregator, key, now_s, prepared};

const JANE: &str = "jane@example.org";

struct World {
    smtp: SmtpServer,
    service: TestAggregator,
    clock: Clock,
}

impl World {
    /// Jane is a viewer of `a` and an admin of `b`.
    async fn new() -> Self {
        let smtp = SmtpServer::start().await;
        let mail = format!(
            "[mail]\nsmtp_url = \"{}\"\nfrom = \"EVP <evp@example.org>\"",
            smtp.url()
        );
        let config = format!("{KEYS}\n{mail}");
        let clock = Clock::manual(now_s() * 1_000);
        let redis = TestRedis::new().await;
        let service = TestAggregator::start_at(redis, prepared().await, &config, &clock).await;
        let service = service.ready().await;
        key(&service.mongo, Some("a"), Scope::Read).await;
        let token = key(&service.mongo, Some("b"), Scope::Read).await.1;
        known(&service, &token).await;
        let world = Self {
            smtp,
            service,
            clock,
        };
        for (tenant, role) in [("a", "viewer"), ("b", "admin")] {
            world
                .member(&["add", JANE, "--tenant", tenant, "--role", role])
                .await;
        }
        world
    }

    async fn member(&self, arguments: &[&str]) {
        let command = CommandLine {
            redis: &self.service.redis,
            mongo: &self.service.mongo,
        };
        command.ok(&[&["member"], arguments].concat()).await;
    }

    async fn ask(&self, browser: &mut Browser, email: &str) -> u16 {
        let body = json!({ "email": email });
        let (status, answer) = browser.post(&self.service, "/sign-in/code", &body).await;
        if status == 202 {
            assert_eq!(answer, json!({ "expiresInSeconds": 300 }));
        }
        status
    }

    /// The code of mail number `count`, once it has come.
    async fn code(&self, count: usize) -> String {
        wait_for("a mail", || async { self.smtp.mails().len() >= count }).await;
        assert_eq!(self.smtp.mails().len(), count);
        self.smtp.mails()[count - 1].code()
    }

    async fn confirm(&self, browser: &mut Browser, code: &str) -> (u16, Value) {
        let body = json!({ "code": code });
        let path = "/sign-in/code/confirm";
        let (status, answer) = browser.post(&self.service, path, &body).await;
        let code = answer.get("code").cloned();
        (status, code.unwrap_or(answer))
    }
}

fn other_than(code: &str) -> String {
    let other = if code == "123456" { "654321" } else { "123456" };
    other.to_owned()
}

#[tokio::test]
async fn a_code_signs_a_member_in_once_and_where_it_was_asked_for() {
    let world = World::new().await;
    let service = &world.service;
    let (_, methods) = Browser::default().get(service, "/sign-in").await;
    assert_eq!(methods["methods"], json!(["key", "link", "code"]));
    let mut browser = Browser::default();
    assert_eq!(world.ask(&mut browser, "Jane@Example.org").await, 202);
    let code = world.code(1).await;
    assert!(world.smtp.mails()[0].to[0].contains(JANE));

    let mut another = Browser::default();
    assert_eq!(
        world.confirm(&mut another, &code).await,
        (401, json!("code_expired"))
    );
    assert_eq!(world.ask(&mut another, "nobody@example.org").await, 202);
    assert_eq!(
        world.confirm(&mut another, &code).await,
        (401, json!("wrong_code"))
    );

    let (status, session) = world.confirm(&mut browser, &code).await;
    assert_eq!(status, 200, "{session}");
    let found = ["via", "email", "role"].map(|name| &session[name]);
    assert_eq!(json!(found), json!(["code", JANE, "viewer"]));
    assert_eq!(
        session["tenants"][1],
        json!({ "id": "b", "name": "one", "role": "admin" })
    );
    assert_eq!(
        world.confirm(&mut browser, &code).await,
        (401, json!("code_expired"))
    );

    assert_eq!(
        world.smtp.mails().len(),
        1,
        "nobody but members is written to"
    );
    world.service.stop().await;
}

#[tokio::test]
async fn a_session_of_a_member_is_what_the_membership_says() {
    let world = World::new().await;
    let service = &world.service;
    let mut browser = Browser::default();
    world.ask(&mut browser, JANE).await;
    let code = world.code(1).await;
    assert_eq!(world.confirm(&mut browser, &code).await.0, 200);
    // The other tenant does not learn that she came.
    let admin = key(&service.mongo, Some("b"), Scope::Admin).await.1;
    known(service, &admin).await;
    let (_, text) = ask(service, "/admin/members", &admin).await;
    assert!(
        text.contains(JANE) && !text.contains("lastSignInAt"),
        "{text}"
    );
    // A viewer of one, an admin of the other.
    assert_eq!(browser.get(service, "/admin/members").await.0, 403);
    let to_b = json!({ "tenant": "b" });
    assert_eq!(browser.post(service, "/session/tenant", &to_b).await.0, 200);
    let (status, members) = browser.get(service, "/admin/members").await;
    assert_eq!(status, 200, "{members}");
    assert!(
        members["members"][0]["lastSignInAt"].is_string(),
        "{members}"
    );
    let default = json!({ "tenant": "default" });
    assert_eq!(
        browser.post(service, "/session/tenant", &default).await.0,
        400
    );

    // The session ends with the membership, and its streams with it.
    let mut stream = browser
        .request(service, Method::GET, "/stream")
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    world.member(&["remove", JANE, "--tenant", "b"]).await;
    let (status, body) = browser.get(service, "/session").await;
    assert_eq!((status, &body["code"]), (401, &json!("session_ended")));
    let to_its_end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, to_its_end).await.unwrap();
    // For good: another invitation does not bring it back.
    world
        .member(&["add", JANE, "--tenant", "b", "--role", "admin"])
        .await;
    let (status, body) = browser.get(service, "/session").await;
    assert_eq!((status, &body["code"]), (401, &json!("session_ended")));
    world.service.stop().await;
}

#[tokio::test]
async fn a_code_is_good_for_five_tries_and_five_minutes() {
    let world = World::new().await;
    let mut browser = Browser::default();
    world.ask(&mut browser, JANE).await;
    let code = world.code(1).await;
    let wrong = other_than(&code);
    for _ in 0..5 {
        assert_eq!(
            world.confirm(&mut browser, &wrong).await,
            (401, json!("wrong_code"))
        );
    }
    assert_eq!(
        world.confirm(&mut browser, &code).await,
        (401, json!("code_expired"))
    );

    world.ask(&mut browser, JANE).await;
    let code = world.code(2).await;
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(
        world.confirm(&mut browser, &code).await,
        (401, json!("code_expired"))
    );
    world.service.stop().await;
}

#[tokio::test]
async fn nobody_can_tell_a_member_from_anybody_else() {
    let world = World::new().await;
    let mut found = Vec::new();
    for email in [JANE, "nobody@example.org"] {
        let mut browser = Browser::default();
        let mut seen = vec![(world.ask(&mut browser, email).await, json!(null))];
        // The mail is under way or not sent at all: the answers are the same.
        for _ in 0..6 {
            seen.push(world.confirm(&mut browser, "x").await);
        }
        found.push(seen);
    }
    assert_eq!(found[0], found[1]);
    for email in [
        "jane@example.org\r\nBcc: x@example.org",
        "jane\n@example.org",
        "x",
        "",
    ] {
        assert_eq!(
            world.ask(&mut Browser::default(), email).await,
            400,
            "{email:?}"
        );
    }
    let code = world.code(1).await;
    assert!(!code.is_empty());
    world.service.stop().await;
}

#[tokio::test]
async fn a_code_that_was_not_mailed_signs_nobody_in() {
    let world = World::new().await;
    let joe = "joe@example.org";
    let as_viewer = ["--tenant", "a", "--role", "viewer"];
    world
        .member(&[&["add", joe], &as_viewer[..]].concat())
        .await;
    let mut browsers = vec![Browser::default(); 4];
    for browser in &mut browsers {
        assert_eq!(world.ask(browser, JANE).await, 202);
    }
    // Looked at after the fourth of jane's, which is one too many.
    world.ask(&mut Browser::default(), joe).await;
    wait_for("joe's", || async { world.smtp.mails().len() == 4 }).await;
    let attempts = world.service.mongo.access().collection::<Document>("codes");
    for (number, browser) in browsers.iter_mut().enumerate() {
        // As if it had been guessed.
        let attempt = browser.attempt().to_owned();
        let code = KeyHash::of(&format!("{attempt}:123456")).to_string();
        let one = doc! { "_id": KeyHash::of(&attempt).to_string() };
        let guessed = doc! { "$set": { "code": code } };
        let changed = attempts.update_one(one, guessed).await.unwrap();
        assert_eq!(changed.matched_count, 1);
        let (status, answer) = world.confirm(browser, "123456").await;
        if number < 3 {
            assert_eq!(status, 200, "{answer}");
        } else {
            assert_eq!((status, answer), (401, json!("wrong_code")));
        }
    }
    world.service.stop().await;
}

#[tokio::test]
async fn mails_to_one_address_and_to_all_are_bounded_over_all_instances() {
    let world = World::new().await;
    let attempts = world.service.mongo.access().collection::<Document>("codes");
    let withheld = async |most: u64| {
        let mailed = doc! { "mailed": true };
        let counted = attempts.count_documents(mailed).await.unwrap();
        assert!(counted <= most + 1, "{counted}");
        counted == most
    };
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let mut browser = Browser::default();
    for _ in 0..5 {
        assert_eq!(world.ask(&mut browser, JANE).await, 202);
    }
    // One after the other: the last one is looked at last.
    world
        .member(&[
            "add",
            "joe@example.org",
            "--tenant",
            "a",
            "--role",
            "viewer",
        ])
        .await;
    world.ask(&mut browser, "joe@example.org").await;
    wait_for("joe's", || async { world.smtp.mails().len() == 4 }).await;
    assert!(withheld(4).await, "three of jane's and joe's");
    // Three more in each of the next quarters, but ten a day.
    // A tenant is noted of what was judged.
    let judged = async |email: &str| {
        let withheld = doc! { "email": email, "tenant": "a", "mailed": false };
        attempts.count_documents(withheld).await.unwrap()
    };
    for (sent, kept) in [(7, 3), (10, 4), (11, 7)] {
        world.clock.advance(minutes(16));
        for _ in 0..4 {
            world.ask(&mut browser, JANE).await;
        }
        wait_for("mails", || async {
            world.smtp.mails().len() == sent && judged(JANE).await == kept
        })
        .await;
    }
    world.clock.advance(minutes(16));
    world.ask(&mut browser, JANE).await;
    // Another instance has sent as many as may be.
    let now = i64::try_from(world.clock.now_ms()).unwrap();
    let others = (0..100).map(|number| {
        doc! { "_id": format!("x{number}"), "email": "x@y", "mailed": true, "createdMs": now }
    });
    attempts.insert_many(others).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    world.ask(&mut browser, "joe@example.org").await;
    wait_for("joe's is withheld", async || {
        judged("joe@example.org").await == 1
    })
    .await;
    assert_eq!(world.smtp.mails().len(), 11);
    attempts.delete_many(doc! { "email": "x@y" }).await.unwrap();
    world.ask(&mut browser, "joe@example.org").await;
    wait_for("joe's", || async { world.smtp.mails().len() == 12 }).await;
    world.service.stop().await;
}

#[tokio::test]
async fn one_tenant_leaves_mails_to_the_others() {
    let world = World::new().await;
    let joe = "joe@example.org";
    world
        .member(&["add", joe, "--tenant", "b", "--role", "viewer"])
        .await;
    // Jane is of both, and was invited to `a` first.
    let attempts = world.service.mongo.access().collection::<Document>("codes");
    let now = i64::try_from(world.clock.now_ms()).unwrap();
    let others = (0..25).map(|number| {
        doc! { "_id": format!("x{number}"), "email": "x@y", "mailed": true, "tenant": "a", "createdMs": now }
    });
    attempts.insert_many(others).await.unwrap();
    for email in [JANE, joe] {
        assert_eq!(world.ask(&mut Browser::default(), email).await, 202);
    }
    world.code(1).await;
    assert!(world.smtp.mails()[0].to[0].contains(joe));
    world.service.stop().await;
}

#[tokio::test]
async fn without_mail_nobody_asks_for_a_code() {
    let service = TestAggregator::start_as(KEYS).await;
    let mut browser = Browser::default();
    for (path, body) in [
        ("/sign-in/code", json!({ "email": JANE })),
        ("/sign-in/code/confirm", json!({ "code": "123456" })),
    ] {
        let (status, body) = browser.post(&service, path, &body).await;
        assert_eq!(
            (status, &body["code"]),
            (404, &json!("mail_not_configured"))
        );
    }
    service.stop().await;
}
