//! What processors tell the other services of storage, through Redis.

use std::time::Duration;

use evp_shared::stream::{StorageSaid, StreamError};
use evp_shared::testing::TestRedis;
use fred::interfaces::KeysInterface;

#[tokio::test]
async fn what_is_said_of_storage_is_what_stands_there() {
    let redis = TestRedis::new().await;
    let (stream, keys) = (redis.stream(1), redis.keys());
    let said = async || stream.storage_said().await;
    let set = async |key: String, value: &str| {
        let set = redis
            .client()
            .set::<(), _, _>(key, value, None, None, false);
        set.await.unwrap();
    };
    assert_eq!(said().await.unwrap(), StorageSaid::default());
    set(keys.floor(), "1700000000000").await;
    set(keys.full(), "951").await;
    let expected = StorageSaid {
        floor_ms: Some(1_700_000_000_000),
        is_full: true,
    };
    assert_eq!(said().await.unwrap(), expected);
    // It rises only.
    for (floor_ms, stands_ms) in [
        (1_600_000_000_000, 1_700_000_000_000),
        (1_800_000_000_000, 1_800_000_000_000),
    ] {
        stream.say_floor(floor_ms).await.unwrap();
        assert_eq!(said().await.unwrap().floor_ms, Some(stands_ms));
    }
    let life = Duration::from_secs(180);
    stream.say_full(None, life).await.unwrap();
    assert!(!said().await.unwrap().is_full);
    stream.say_full(Some(960), life).await.unwrap();
    assert!(said().await.unwrap().is_full);
    let left: i64 = redis.client().ttl(keys.full()).await.unwrap();
    assert!((1..=180).contains(&left), "{left}");
    // No floor is taken from what is none.
    set(keys.floor(), "soon").await;
    assert!(matches!(said().await, Err(StreamError::Protocol { .. })));
    stream.say_floor(7).await.unwrap();
    assert_eq!(said().await.unwrap().floor_ms, Some(7));
}
