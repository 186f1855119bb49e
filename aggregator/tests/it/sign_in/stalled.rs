//! Signing in while MongoDB takes commands and does not answer in time.

use bson::{Bson, doc};
use evp_shared::access::record::Scope;
use evp_shared::testing::{TestMongo, TestRedis, wait_for};
use reqwest::Method;
use serde_json::json;

use super::browser::Browser;
use super::smtp::SmtpServer;
use crate::keys::{CommandLine, KEYS_UNTIMED, ask, known};
use crate::list_failing::mongod_that_fails;
use crate::managing::send;
use crate::service::{TestAggregator, key, prepare_all};

const JANE: &str = "jane@example.org";
const JOE: &str = "joe@example.org";
/// Longer than anybody waits; what is stalled is waited for before something else is.
const STALLED_MS: i64 = 5_000;

/// Has commands on a collection beside `mongo` be answered late, while `mode` lasts.
async fn stall(mongo: &TestMongo, collection: &str, mode: impl Into<Bson>) {
    let namespace = format!("{}.{collection}", mongo.access().name());
    let how = doc! {
        "failCommands": ["find", "insert", "update"], "namespace": namespace,
        "blockConnection": true, "blockTimeMS": STALLED_MS,
    };
    let order = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": how };
    let admin = mongo.database().client().database("admin");
    admin.run_command(order).await.unwrap();
}

#[tokio::test]
async fn what_a_sign_in_asks_of_mongodb_ends() {
    let mongod = mongod_that_fails().await;
    let mongo = prepare_all(TestMongo::at(mongod.url()).await).await;
    let smtp = SmtpServer::start().await;
    let (keys, url) = (KEYS_UNTIMED, smtp.url());
    let config = format!(
        "{keys}\ntime_limit = \"500ms\"\n[mail]\nsmtp_url = \"{url}\"\nfrom = \"evp@example.org\""
    );
    let service = TestAggregator::start_on(TestRedis::new().await, mongo, &config, &[]).await;
    let service = service.ready().await;
    let mongo = &service.mongo;
    let admin = key(mongo, Some("a"), Scope::Admin).await.1;
    known(&service, &admin).await;
    let command = CommandLine {
        redis: &service.redis,
        mongo,
    };
    for email in [JANE, JOE] {
        let add = ["member", "add", email, "--tenant", "a", "--role", "viewer"];
        command.ok(&add).await;
    }
    let removed = json!({ "email": "new@example.org" });
    let invited = json!({ "email": "new@example.org", "role": "viewer" });

    // One for each of these, and one for the first who asks for a code.
    stall(mongo, "members", doc! { "times": 4 }).await;
    assert_eq!(ask(&service, "/admin/members", &admin).await.0, 503);
    for (method, body) in [(Method::PUT, &invited), (Method::DELETE, &removed)] {
        let (status, body) = send(&service, (method, "/admin/members"), &admin, body).await;
        assert_eq!(status, 503, "{body}");
    }
    // Nobody can say whether jane is a member; the next one is looked up all the same.
    let mut browser = Browser::default();
    for email in [JANE, JOE] {
        let asks = json!({ "email": email });
        assert_eq!(browser.post(&service, "/sign-in/code", &asks).await.0, 202);
    }
    wait_for("a mail", || async { !smtp.mails().is_empty() }).await;
    assert!(smtp.mails()[0].to[0].contains(JOE));

    let (status, body) = browser.sign_in(&service, &admin).await;
    assert_eq!(status, 200, "{body}");
    stall(mongo, "audit", "alwaysOn").await;
    assert_eq!(Browser::default().sign_in(&service, &admin).await.0, 503);
    let out = browser.send(&service, Method::DELETE, "/session", None);
    assert_eq!(out.await.0, 503);
    service.stop().await;
}
