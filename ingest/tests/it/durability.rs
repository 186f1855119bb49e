//! What a `202` promises: that Redis keeps it as configured, and that the events are what the other
//! services take them for.

use evp_devstack::{RedisOptions, RedisServer};
use evp_ingest::RunError;
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::{ConfigInterface, KeysInterface};

use crate::support::{TestIngest, frames, ids_in, list, own_redis};

#[tokio::test]
async fn a_redis_that_promises_less_is_refused_at_the_start_with_the_fix() {
    let options = RedisOptions {
        appendfsync: "everysec",
        ..RedisOptions::default()
    };
    let server = RedisServer::start(options).await.expect("a redis-server");
    let redis = TestRedis::at(server.url()).await;
    let mut ingest = TestIngest::start(&redis, "").await;
    let error = ingest.ended().await.expect_err("refuses to start");
    assert!(matches!(error, RunError::WeakRedis { .. }), "{error:?}");
    assert!(
        error.to_string().contains("CONFIG SET appendfsync always"),
        "{error}"
    );

    let declared = TestIngest::ready(&redis, "[redis]\ndurability = \"everysec\"").await;
    let answer = declared.request("").body(list(1)).send().await.unwrap();
    assert_eq!(answer.headers()["evp-durability"], "everysec");
    declared.stop().await;
}

#[tokio::test]
async fn a_redis_that_promises_less_later_takes_nothing_more() {
    let (_server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "").await;
    redis
        .client()
        .config_set("appendfsync", "no")
        .await
        .unwrap();
    // An idle partition is greeted, and its promise checked, every few seconds.
    wait_for("noticed", || async { !ingest.is_ready() }).await;
    assert_eq!(ingest.post(list(1)).await.0, 503);
    redis
        .client()
        .config_set("appendfsync", "always")
        .await
        .unwrap();
    wait_for("taken", || async { ingest.post(list(1)).await.0 == 202 }).await;
    ingest.stop().await;
}

#[tokio::test]
async fn a_redis_of_another_identity_is_refused_at_the_start_and_later() {
    let (_server, redis) = own_redis("64mb").await;
    let stream = redis.stream(1);
    stream.claim_identity(7).await.unwrap();
    let mut ingest = TestIngest::start(&redis, "").await;
    let error = ingest.ended().await.expect_err("refuses to start");
    assert!(
        matches!(error, RunError::OtherIdentity { stored: 7, .. }),
        "{error:?}"
    );

    let identity = redis.keys().identity();
    let client = redis.client();
    client.del::<i64, _>(&identity).await.unwrap();
    let ingest = TestIngest::ready(&redis, "").await;
    let own: String = client.get(&identity).await.unwrap();
    client
        .set::<(), _, _>(&identity, "00000007", None, None, false)
        .await
        .unwrap();
    wait_for("noticed", || async { !ingest.is_ready() }).await;
    let reason = ingest.health.readiness().reasons.remove(0).reason;
    assert!(reason.contains("storage.salt_bits"), "{reason}");
    let before = frames(&redis).await.len();
    let (status, body) = ingest.post(list(1)).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("not_accepted")));
    assert_eq!(frames(&redis).await.len(), before, "nothing was appended");

    client
        .set::<(), _, _>(&identity, own, None, None, false)
        .await
        .unwrap();
    wait_for("taken", || async { ingest.post(list(1)).await.0 == 202 }).await;
    ingest.stop().await;
}

#[tokio::test]
async fn replicated_means_that_a_replica_has_it() {
    let (server, redis) = own_redis("64mb").await;
    let toml = "[redis]\ndurability = \"replicated\"\n[ingest.append]\ndeadline = \"2500ms\"";
    let ingest = TestIngest::start(&redis, toml).await;
    wait_for("the missing replica is told", || async {
        let reasons = ingest.health.readiness().reasons;
        reasons.iter().any(|told| told.reason.contains("replicaof"))
    })
    .await;
    assert_eq!(ingest.post(list(1)).await.1["code"], "not_accepted");

    let options = RedisOptions {
        extra: ["--replicaof", "127.0.0.1", &server.port().to_string()]
            .map(str::to_owned)
            .to_vec(),
        ..RedisOptions::default()
    };
    let replica = RedisServer::start(options).await.expect("a redis-server");
    ingest.wait_until_ready().await;
    wait_for("admitted", || async { ingest.post(list(1)).await.0 == 202 }).await;
    let before = ids_in(&frames(&redis).await).len();
    let answer = ingest.request("").body(list(3)).send().await.unwrap();
    assert_eq!(answer.headers()["evp-durability"], "replicated");
    assert_eq!(answer.status(), 202);
    assert_eq!(ids_in(&frames(&redis).await).len(), 3, "{before} before");

    // It stands still, and the server does not know it yet.
    replica.pause();
    let (status, body) = ingest.post(list(1)).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (503, Some("not_confirmed")),
        "{body}"
    );
    replica.resume();
    wait_for("taken again", || async {
        ingest.post(list(1)).await.0 == 202
    })
    .await;
    ingest.stop().await;
}
