//! Keys that have ended, while what services know of it is forgotten or cannot be asked for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bson::{Document, doc};
use evp_shared::clock::Clock;
use evp_shared::store::{META, access};
use evp_shared::testing::TestRedis;
use fred::interfaces::{ClientLike as _, HashesInterface as _, KeysInterface as _};
use fred::types::Value as RedisValue;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Gate;
use super::gate::{Answer, Made, answer, refuses};
use super::keys::{EVENT, refused_by_all, revoke};
use crate::guard::OPERATOR;
use crate::scenario::Size;
use crate::servers::cut_append_only_file;
use crate::until;

/// What Redis says of who may come in.
const ACCESS: &str = "evp:access";
const DAY_MS: u64 = 86_400_000;

/// One that writes, and one that reads.
type Pair = [Made; 2];

/// Who is asked about, and for how long at least in each stage.
struct Watch {
    good: Pair,
    ended: Pair,
    lasting: Duration,
}

pub(super) async fn forgotten(size: Size) -> Result<String> {
    let mut gate = Gate::start(&[
        ("EVP__REDIS__COMMAND_TIMEOUT", "1s"),
        ("EVP__INGEST__APPEND__DEADLINE", "2s"),
    ])
    .await?;
    gate.tenant("a").await?;
    // Longer than the services take from one look to the next, and Redis to be told anew.
    let lasting = size.of(1_500, 3_000, 3_000);
    let watch = Watch {
        good: pair(&gate).await?,
        ended: pair(&gate).await?,
        lasting: Duration::from_millis(lasting),
    };
    let late = pair(&gate).await?;
    let redis = gate.fort.redis_as(OPERATOR).await;
    let older: RedisValue = redis.client().dump(ACCESS).await?;
    for key in &watch.ended {
        revoke(&gate, key).await?;
        refused_by_all(&gate, &key.key).await?;
    }

    let mut asked = 0;
    let nothing = async || Ok(());
    let flush = async || Ok(redis.client().flushall::<()>(false).await?);
    asked += watched(&gate, &watch, flush).await?;
    let revive = async || older_again(&redis, &older).await;
    asked += watched(&gate, &watch, revive).await?;
    gate.fort.redis.kill().await;
    changed_meanwhile(&gate, &late).await?;
    asked += watched(&gate, &watch, nothing).await?;
    cut_append_only_file(gate.fort.redis.dir(), 4_096)?;
    gate.fort.redis.restart().await?;
    asked += watched(&gate, &watch, nothing).await?;
    for key in &late {
        refused_by_all(&gate, &key.key).await?;
    }
    gate.key("made-meanwhile", "write").await?;
    gate.fort.mongo.pause();
    asked += watched(&gate, &watch, nothing).await?;
    gate.fort.redis.pause();
    asked += watched(&gate, &watch, nothing).await?;
    gate.fort.redis.resume();
    gate.fort.mongo.resume();
    asked += watched(&gate, &watch, nothing).await?;
    restored(&gate).await?;
    until("events are taken again", async || {
        let answer = gate.post(0, &watch.good[0].key, EVENT).await;
        answer.is_ok_and(|(status, _)| status == StatusCode::ACCEPTED)
    })
    .await?;
    gate.held(format!(
        "{asked} answers of all four: no revoked key was taken, no good one answered 401; what was changed \
         without Redis, and after MongoDB was set back, came into force"
    ))
}

async fn pair(gate: &Gate) -> Result<Pair> {
    Ok([gate.key("a", "write").await?, gate.key("a", "read").await?])
}

/// Has Redis say again who came in before the keys were revoked.
async fn older_again(redis: &TestRedis, older: &RedisValue) -> Result<()> {
    let older = older.clone();
    let client = redis.client();
    let restored = client.restore::<(), _>(ACCESS, 0, older, true, false, None, None);
    Ok(restored.await?)
}

/// Changes what Redis cannot be told of, all at once: each is answered when that is clear.
async fn changed_meanwhile(gate: &Gate, late: &Pair) -> Result<()> {
    let revocation = |key: &Made| (format!("/admin/keys/{}/revoke", key.id), json!({}));
    let tenant = json!({ "id": "made-meanwhile" });
    let changes = [
        revocation(&late[0]),
        revocation(&late[1]),
        ("/admin/tenants".to_owned(), tenant),
    ];
    let changing = changes.map(async |(path, body)| {
        let request = gate.ask(0, Method::POST, &path);
        let answer = answer(request.bearer_auth(&gate.operator).json(&body)).await?;
        refuses(&answer, StatusCode::SERVICE_UNAVAILABLE, "not_in_force")
    });
    futures::future::try_join_all(changing).await.map(drop)
}

/// Sets back what MongoDB keeps of versions, below the one that all services have: a change comes
/// into force nevertheless.
async fn restored(gate: &Gate) -> Result<()> {
    let database = gate.fort.database(OPERATOR).await?;
    let meta = access(&database).collection::<Document>(META);
    let ahead = i64::try_from(Clock::system().now_ms() + DAY_MS)?;
    for version in [ahead, 1] {
        let key = gate.key("a", "write").await?;
        let set = doc! { "$set": { "version": version } };
        let done = meta.update_one(doc! { "_id": "access" }, set).await?;
        ensure!(done.matched_count == 1, "no version is kept");
        revoke(gate, &key).await?;
        refused_by_all(gate, &key.key).await?;
    }
    let redis = gate.fort.redis_as(OPERATOR).await;
    let version: Option<i64> = redis.client().hget(ACCESS, "version").await?;
    ensure!(version.context("no version")? > ahead, "{version:?}");
    Ok(())
}

/// Asks all services again and again, doing something before each round: the good keys are never
/// answered 401, the ended ones never otherwise.
async fn watched(gate: &Gate, watch: &Watch, before: impl AsyncFn() -> Result<()>) -> Result<u32> {
    let clock = Clock::system();
    let (since, mut answers) = (clock.now(), [0; 4]);
    while clock.now() - since < watch.lasting {
        before().await?;
        let (first, second) = tokio::try_join!(round(gate, 0, watch), round(gate, 1, watch))?;
        for (sum, count) in answers.iter_mut().zip(first.into_iter().chain(second)) {
            *sum += count;
        }
    }
    ensure!(
        answers.iter().all(|count| *count > 0),
        "somebody gave no answer: {answers:?}"
    );
    Ok(answers.iter().sum())
}

/// Asks an ingest and an aggregator; how many answers each gave.
async fn round(gate: &Gate, index: usize, watch: &Watch) -> Result<[u32; 2]> {
    let Watch { good, ended, .. } = watch;
    // It takes neither server.
    let path = "/admin/info";
    let (taken, refused, shown, hidden) = tokio::join!(
        gate.post(index, &good[0].key, EVENT),
        gate.post(index, &ended[0].key, EVENT),
        gate.get(index, path, &good[1].key),
        gate.get(index, path, &ended[1].key),
    );
    for (status, text) in [&taken, &shown].into_iter().flatten() {
        ensure!(
            *status != StatusCode::UNAUTHORIZED,
            "a good key: {status} {text}"
        );
    }
    for answer in [&refused, &hidden].into_iter().flatten() {
        refuses(answer, StatusCode::UNAUTHORIZED, "key_revoked")?;
    }
    let count = |one: Result<Answer>, other: Result<Answer>| {
        u32::from(one.is_ok()) + u32::from(other.is_ok())
    };
    Ok([count(taken, refused), count(shown, hidden)])
}
