//! Each service as the user it is in production: it may do what it has to, and little else.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bson::{Document, doc};
use evp_e2e::guard::url_as;
use evp_e2e::{Journal, PATIENCE, Post, System, client, until};
use evp_shared::config::RedisConfig;
use evp_shared::event::span::SPANS;
use evp_shared::store::{AUDIT, DEAD_LETTERS, RECEIPTS};
use fred::clients::Client as Redis;
use fred::interfaces::{ClientLike as _, HashesInterface as _, KeysInterface as _};
use fred::prelude::Value as Reply;
use fred::types::{ClusterHash, CustomCommand};
use mongodb::{Client as Mongo, Collection, Database};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::everything_arrives_once::ask;

const EVENTS: u32 = 20;
/// The span of all that is sent.
const SPAN: &str = "events_2023";
const UNAUTHORIZED: i32 = 13;

/// All that services and their commands do, and no server has refused any of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_its_own_user_each_service_does_all_its_work() -> Result<()> {
    let system = System::of("least_privilege").guarded().aggregator();
    let mut system = system.start().await?;
    let mut journal = Journal::default();
    let url = system.ingests[0].url();
    let body = system.events.array(0..EVENTS);
    let post = Post::json(&system.http, &url, body);
    post.acknowledged(&mut journal, 0..EVENTS).await?;
    until("everything is counted", async || {
        let metrics = ask(&system, "/metrics?window=all").await;
        metrics.is_ok_and(|metrics| metrics["totals"]["events"] == EVENTS)
    })
    .await?;

    for path in [
        "/events?limit=5",
        "/metrics",
        "/metrics/series",
        "/analytics?range=1h",
        "/usage",
    ] {
        ask(&system, path).await?;
    }
    streams(&system).await?;
    limits_and_keys(&system).await?;
    dead_letter(&system).await?;
    commands(&system).await?;
    for node in [&mut system.processors[0], &mut system.ingests[0]] {
        node.term().await?;
        node.restart().await?;
        node.await_ready().await?;
    }
    let refused = refusals(&system).await?;
    ensure!(refused.is_empty(), "{refused:#?}");
    system.pass();
    Ok(())
}

/// What is appended comes to who listens.
async fn streams(system: &System) -> Result<()> {
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    let listening = system
        .reader
        .get(format!("{}/stream", aggregator.url()))
        .send();
    let mut listening = listening.await?.error_for_status()?;
    let sending = async {
        let event = r#"{"type":"heard"}"#;
        let url = format!("{}/events", system.ingests[0].url());
        loop {
            system.http.post(&url).body(event).send().await.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let hearing = async {
        let mut heard = Vec::new();
        while let Some(chunk) = listening.chunk().await? {
            heard.extend_from_slice(&chunk);
            if String::from_utf8_lossy(&heard).contains("heard") {
                return Ok(());
            }
        }
        bail!("the stream ended")
    };
    tokio::select! {
        never = sending => never,
        heard = timeout(PATIENCE, hearing) => heard?,
    }
}

/// An event that MongoDB refuses at first, and its replay over HTTP.
async fn dead_letter(system: &System) -> Result<()> {
    let database = system.mongo.database();
    let validate = async |validator: Document| {
        let order = doc! { "collMod": SPAN, "validator": validator };
        database.run_command(order).await
    };
    validate(doc! { "eventType": { "$ne": "letter" } }).await?;
    let event = r#"{"type":"letter","eventId":"one","timestamp":"2023-11-14T00:00:00Z"}"#;
    let url = format!("{}/events", system.ingests[0].url());
    let sent = system.http.post(&url).body(event).send().await?;
    sent.error_for_status()?;
    let letters = database.collection::<Document>(DEAD_LETTERS);
    until("it is a dead letter", async || {
        letters
            .count_documents(doc! {})
            .await
            .is_ok_and(|count| count == 1)
    })
    .await?;
    validate(doc! {}).await?;
    let keys = system.keys.as_ref().context("keys")?;
    let replay = (Method::POST, "/admin/dead-letters/replay");
    let all = json!({ "filter": {}, "dryRun": false });
    let done = admin(system, keys.admin.expose(), replay, all).await?;
    ensure!(done["replayed"] == 1, "{done}");
    until("it is stored", async || {
        let found = ask(system, "/events?type=letter").await;
        found.is_ok_and(|found| {
            found["items"]
                .as_array()
                .is_some_and(|items| items.len() == 1)
        })
    })
    .await
}

/// A tenant with a quota, a key made by a command, and one made over HTTP, which sends.
async fn limits_and_keys(system: &System) -> Result<()> {
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    let make = ["access", "key", "create", "ops", "--scope", "operator"];
    let made = aggregator.command(&make).await?;
    let words = made.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let operator = words
        .into_iter()
        .find(|word| word.starts_with("evp_sec_"))
        .context("a key")?;
    until("the operator's key is known", async || {
        let tenants = (Method::GET, "/admin/tenants");
        admin(system, operator, tenants, Value::Null).await.is_ok()
    })
    .await?;
    let tenant = json!({ "id": "acme", "name": "Acme" });
    admin(system, operator, (Method::POST, "/admin/tenants"), tenant).await?;
    let path = "/admin/tenants/acme";
    let quota = json!({ "eventsPerDay": 1_000 });
    admin(system, operator, (Method::PATCH, path), quota).await?;
    let key = json!({ "name": "site", "scope": "write", "tenant": "acme" });
    let key = admin(system, operator, (Method::POST, "/admin/keys"), key).await?;
    let text = key["key"].as_str().context("its text")?;
    let url = format!("{}/events", system.ingests[0].url());
    let sends = async || {
        let event = r#"{"type":"a","eventId":"quota","timestamp":"2026-01-01T00:00:00Z"}"#;
        let sent = client()?.post(&url).bearer_auth(text).body(event).send();
        anyhow::Ok(sent.await?.status() == 202)
    };
    until("the key is known", async || sends().await.unwrap_or(false)).await?;
    until("the quota is used", async || {
        let day = evp_shared::clock::Clock::system().now_ms() / 86_400_000;
        let given = system.redis.stream(1).quota_given("acme", day).await;
        given.is_ok_and(|given| given > 0)
    })
    .await?;
    let id = key["id"].as_str().context("its id")?;
    for what in ["rotate", "revoke"] {
        let path = format!("/admin/keys/{id}/{what}");
        admin(system, operator, (Method::POST, &path), json!({})).await?;
    }
    let pipeline = (Method::GET, "/admin/pipeline");
    admin(system, operator, pipeline, Value::Null).await?;
    Ok(())
}

async fn admin(
    system: &System,
    key: &str,
    (method, path): (Method, &str),
    body: Value,
) -> Result<Value> {
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    let url = format!("{}{path}", aggregator.url());
    let mut request = client()?.request(method, url).bearer_auth(key);
    if !body.is_null() {
        request = request.json(&body);
    }
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{path}: {status} {text}");
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// What operators ask of the processor's binary.
async fn commands(system: &System) -> Result<()> {
    let processor = &system.processors[0];
    for command in [
        &["doctor"][..],
        &["verify", "--repair"],
        &["verify", "--deep"],
        &["storage", "list"],
        &["dlq", "list"],
        &["dlq", "purge", "--reason", "undecodable"],
        &["erase", "--tenant", "default", "--user", "nobody", "--yes"],
    ] {
        processor.command(command).await?;
    }
    Ok(())
}

/// What the servers have refused so far.
async fn refusals(system: &System) -> Result<Vec<String>> {
    let command = CustomCommand::new_static("ACL", ClusterHash::Random, false);
    let log = system.redis.client().custom(command, vec!["LOG"]).await?;
    let mut refused = match log {
        Reply::Array(log) => log.iter().map(|entry| format!("{entry:?}")).collect(),
        _ => Vec::new(),
    };
    let server = system.mongo_server.as_ref().context("its own mongod")?;
    let log = std::fs::read_to_string(server.dir().join("mongod.log"))?;
    // The aggregator asks for the indexes of the audit, which are there and not for it to make.
    let is_known = |line: &&str| line.contains("createIndexes") && line.contains("audit");
    let of_services = log
        .lines()
        .filter(|line| line.contains("Checking authorization failed") && !is_known(line));
    refused.extend(of_services.map(str::to_owned));
    Ok(refused)
}

/// Row 14 of what is to be shown: who may come in, and what was done, is not for a service to change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_changes_what_is_not_its_own() -> Result<()> {
    let builder = System::of("no_service_changes").guarded().aggregator();
    let system = builder.start().await?;
    let audit = system.mongo.access().collection::<Document>(AUDIT);
    audit.insert_one(doc! { "_id": 1, "what": "erase" }).await?;

    let access = system.redis.keys().access();
    for user in ["ingest", "processor"] {
        let redis = redis_as(&system, user).await?;
        let set = redis.hset::<(), _, _>(&access, ("version", "1")).await;
        ensure!(is_no_perm(set), "{user} writes who may come in");
        let gone = redis.del::<(), _>(&access).await;
        ensure!(is_no_perm(gone), "{user} deletes who may come in");
    }
    let ingest = redis_as(&system, "ingest").await?;
    let read: Option<String> = ingest.hget(&access, "version").await?;
    ensure!(read.is_some(), "ingest reads who may come in");
    let floor = ingest.set::<(), _, _>(system.redis.keys().floor(), "1", None, None, false);
    ensure!(is_no_perm(floor.await), "ingest raises the floor");
    let reader = redis_as(&system, "processor").await?;
    let read = reader.hget::<Reply, _, _>(&access, "content").await;
    ensure!(is_no_perm(read), "a processor reads who may come in");

    for user in ["processor", "aggregator"] {
        let database = mongo_as(&system, user).await?;
        let audit = evp_shared::store::access(&database).collection(AUDIT);
        refuses_changes(&audit, user).await?;
        audit.insert_one(doc! { "what": "storage.drop" }).await?;
    }
    let processor = mongo_as(&system, "processor").await?;
    for name in ["tenants", "keys", "sessions", "members"] {
        let others: Collection<Document> = evp_shared::store::access(&processor).collection(name);
        let read = others.find_one(doc! {}).await;
        ensure!(is_unauthorized(&read), "a processor reads {name}");
        let written = others.insert_one(doc! {}).await;
        ensure!(is_unauthorized(&written), "a processor writes {name}");
    }
    let aggregator = mongo_as(&system, "aggregator").await?;
    for name in [SPAN, RECEIPTS, DEAD_LETTERS] {
        let events: Collection<Document> = aggregator.collection(name);
        let written = events.insert_one(doc! {}).await;
        ensure!(is_unauthorized(&written), "the aggregator writes {name}");
    }
    ensure!(SPAN.starts_with(SPANS.0));
    system.pass();
    Ok(())
}

async fn refuses_changes(audit: &Collection<Document>, user: &str) -> Result<()> {
    let entry = doc! { "_id": 1 };
    let update = audit.update_one(entry.clone(), doc! { "$set": { "what": "nothing" } });
    ensure!(is_unauthorized(&update.await), "{user} changes the audit");
    let replace = audit.find_one_and_replace(entry.clone(), doc! {}).await;
    ensure!(is_unauthorized(&replace), "{user} replaces in the audit");
    let gone = audit.delete_one(entry.clone()).await;
    ensure!(is_unauthorized(&gone), "{user} deletes from the audit");
    ensure!(is_unauthorized(&audit.drop().await), "{user} drops it");
    let found = audit.find_one(entry).await?;
    ensure!(found.is_some(), "{user} reads the audit");
    Ok(())
}

async fn redis_as(system: &System, user: &str) -> Result<Redis> {
    let how = RedisConfig::at(url_as(user, system.redis.url()), PATIENCE);
    let client = evp_shared::redis::connect(&how)?;
    client.wait_for_connect().await?;
    Ok(client)
}

async fn mongo_as(system: &System, user: &str) -> Result<Database> {
    let client = Mongo::with_uri_str(url_as(user, system.mongo.uri())).await?;
    Ok(client.database(system.mongo.database_name()))
}

fn is_no_perm<T>(done: Result<T, fred::error::Error>) -> bool {
    done.is_err_and(|error| error.details().starts_with("NOPERM"))
}

fn is_unauthorized<T>(done: &mongodb::error::Result<T>) -> bool {
    let error = done.as_ref().err();
    let code = error.and_then(evp_shared::store::code_of);
    code == Some(UNAUTHORIZED)
}
