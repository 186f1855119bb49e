//! The scripts and the consumer group, against a real Redis.

use std::time::Duration;

use bytes::Bytes;
use evp_shared::counters::{CountRow, Step, field};
use evp_shared::frame::{Frame, FrameId, ProducerId};
use evp_shared::keys::GROUP;
use evp_shared::redis::{Reader, reader_pool};
use evp_shared::stream::{
    AppendError, ClaimStep, Commit, Committed, CountHash, Entry, EntryAck, EntryId, GroupReader,
    KeptWindow, Life, Made, ProducerState, Registration, SetCounts, Settle, Stream, StreamError,
};
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::{
    ClientInterface, ClientLike, HashesInterface, KeysInterface, StreamsInterface,
};
use fred::prelude::Value;
use fred::types::{ClusterHash, CustomCommand};

const SECOND: u32 = 1_700_000_000;
const PATIENT: KeptWindow = KeptWindow {
    age: Duration::from_secs(3_600),
    bytes: 1 << 30,
    none: false,
};

fn frame(number: u32) -> Frame {
    Frame {
        id: FrameId::new(SECOND, ProducerId::new(0, 7), number),
        events: 3,
        bytes: 900,
        meta: Bytes::from_static(b"header"),
        payload: Bytes::from_static(b"payload"),
    }
}

fn settle(number: u32, counts: &[(&str, u32)]) -> Settle {
    Settle {
        frame: frame(number).id,
        receipt_at_ms: now_ms(),
        counts: counts
            .iter()
            .map(|(kind, count)| CountRow {
                tenant: "default".into(),
                event_type: (*kind).into(),
                count: *count,
            })
            .collect(),
        duplicates: 1,
        dead_letters: 0,
        expired: 0,
    }
}

fn now_ms() -> u64 {
    evp_shared::clock::Clock::system().now_ms()
}

fn ack(entry: &Entry) -> EntryAck {
    let (events, bytes) = entry.frame.as_ref().unwrap().claimed();
    EntryAck {
        id: entry.id,
        events,
        bytes,
        stored_bytes: entry.stored_bytes(),
    }
}

fn claim(idle: Duration) -> ClaimStep<'static> {
    ClaimStep {
        consumer: "b",
        idle,
        cursor: EntryId::ZERO,
        count: 10,
    }
}

async fn reader(redis: &TestRedis) -> Reader {
    reader_pool(redis.how(), 1).unwrap().get().await.unwrap()
}

async fn read(redis: &TestRedis, stream: &Stream, consumer: &str) -> Vec<Entry> {
    let client = reader(redis).await;
    GroupReader::new(&client, stream, consumer)
        .read_new(100, Duration::from_millis(1))
        .await
        .unwrap()
}

async fn commit(stream: &Stream, life: Life, acks: &[EntryAck], settles: &[Settle]) -> Committed {
    let commit = Commit {
        life,
        entries: acks,
        settles,
        kept: PATIENT,
    };
    stream.commit(0, &commit).await.unwrap()
}

#[tokio::test]
async fn a_frame_goes_from_append_to_counters_once_however_often_it_is_repeated() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    assert_eq!(hello.made, Made::Stream);

    // The same frame twice: a lost reply made the producer send it again.
    stream.append(0, hello.life, &[frame(1)]).await.unwrap();
    stream
        .append(0, hello.life, &[frame(1), frame(2)])
        .await
        .unwrap();
    let entries = read(&redis, &stream, "a").await;
    assert_eq!(entries.len(), 3);

    let acks: Vec<_> = entries.iter().map(ack).collect();
    let settles = [
        settle(1, &[("click", 2)]),
        settle(1, &[("click", 2)]),
        settle(2, &[("click", 1), ("view", 1)]),
    ];
    let first = commit(&stream, hello.life, &acks, &settles).await;
    assert_eq!(
        (first.acknowledged, first.settled, first.counted),
        (3, 2, 4)
    );
    assert_eq!((first.backlog_events, first.backlog_bytes), (0, 0));
    let again = commit(&stream, hello.life, &acks, &settles).await;
    assert_eq!(
        (again.acknowledged, again.settled, again.counted),
        (0, 0, 0)
    );

    let total = stream.count_total(0).await.unwrap();
    assert_eq!(total[&field("default", "click")], 3);
    for step in Step::ALL {
        let bucket = step.bucket(SECOND.into());
        let buckets = stream
            .count_buckets(0, step, bucket..bucket + 1)
            .await
            .unwrap();
        assert_eq!(buckets[0][&field("default", "view")], 1);
    }
    let totals = stream.totals(0).await.unwrap();
    assert_eq!((totals.appended_events, totals.acknowledged_events), (9, 9));
    assert_eq!((totals.counted_events, totals.duplicate_events), (4, 2));
}

#[tokio::test]
async fn a_bucket_is_kept_from_when_its_newest_type_came() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let (client, keys) = (redis.client(), redis.keys().partition(0));
    let second = u64::from(SECOND);
    let buckets = [
        (keys.count_bucket("s", second), 7_200),
        (keys.count_bucket("m", second / 60), 172_800),
        (keys.count_bucket("h", second / 3_600), 34_560_000),
    ];
    let counted = async |number, kind| {
        let settles = [settle(number, &[(kind, 1)])];
        let done = commit(&stream, hello.life, &[], &settles).await;
        assert_eq!((done.counted, done.failures.len()), (1, 0), "{done:?}");
    };
    let left = async |key: &str| client.ttl::<i64, _>(key).await.unwrap();
    counted(1, "click").await;
    for (key, kept) in &buckets {
        assert!((kept - 60..=*kept).contains(&left(key).await), "{key}");
        let expire = client.expire::<i64, _>(key, 100, None);
        assert_eq!(expire.await.unwrap(), 1);
    }
    counted(2, "click").await;
    for (key, _) in &buckets {
        assert!((1..=100).contains(&left(key).await), "{key}");
    }
    counted(3, "view").await;
    for (key, kept) in &buckets {
        assert!((kept - 60..=*kept).contains(&left(key).await), "{key}");
    }
    assert_eq!(left(&keys.count_total).await, -1, "for ever");
}

#[tokio::test]
async fn nothing_is_written_for_a_caller_of_another_life() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    stream.append(0, hello.life, &[frame(1)]).await.unwrap();
    let entries = read(&redis, &stream, "a").await;

    // As after a restart: the replication id is another one.
    let life = redis.keys().partition(0).life;
    redis
        .client()
        .hset::<i64, _, _>(life, ("replid", "another"))
        .await
        .unwrap();
    let refused = stream.append(0, hello.life, &[frame(2)]).await;
    assert!(matches!(refused, Err(AppendError::SayHello)), "{refused:?}");
    let acks = [ack(&entries[0])];
    let late = Commit {
        life: hello.life,
        entries: &acks,
        settles: &[],
        kept: PATIENT,
    };
    assert!(matches!(
        stream.commit(0, &late).await,
        Err(StreamError::NewLife)
    ));
    assert_eq!(stream.pending(0).await.unwrap().entries, 1);

    let next = stream.hello(0, hello.life, None).await.unwrap();
    assert!(next.life > hello.life);
    assert_eq!(next.cut_since(hello.life), Some(entries[0].id));
    assert_eq!(commit(&stream, next.life, &acks, &[]).await.acknowledged, 1);
    let unchanged = stream.hello(0, next.life, None).await.unwrap();
    assert_eq!(
        (unchanged.life, unchanged.cut_since(next.life)),
        (next.life, None)
    );
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_reported_as_lost_and_made_again() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    stream
        .append(0, hello.life, &[frame(1), frame(2)])
        .await
        .unwrap();
    redis
        .client()
        .del::<i64, _>(redis.keys().partition(0).events)
        .await
        .unwrap();

    let refused = stream.append(0, hello.life, &[frame(3)]).await;
    assert!(matches!(refused, Err(AppendError::SayHello)), "{refused:?}");
    let again = stream.hello(0, hello.life, None).await.unwrap();
    assert_eq!(
        (again.made, again.lost_events, again.lost_bytes),
        (Made::Stream, 6, 1_800)
    );
    assert_eq!(stream.totals(0).await.unwrap().backlog_events(), 0);
    stream.append(0, again.life, &[frame(3)]).await.unwrap();
    assert_eq!(read(&redis, &stream, "a").await.len(), 1);
}

#[tokio::test]
async fn a_stream_made_anew_and_a_caller_ahead_begin_a_new_life() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let first = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    let events = redis.keys().partition(0).events;
    redis.client().del::<i64, _>(events).await.unwrap();
    let second = stream.hello(0, first, None).await.unwrap();
    assert!(
        second.life > first,
        "entry ids of the deleted stream may come again"
    );

    let ahead = Life(second.life.0 + 1_000_000);
    let third = stream.hello(0, ahead, None).await.unwrap();
    assert!(third.life > ahead);
    let lowest = third.lives.iter().map(|(_, cut)| *cut).min();
    assert_eq!(third.cut_since(ahead), lowest);
}

#[tokio::test]
async fn an_append_that_cannot_count_says_so_before_it_writes() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    let keys = redis.keys().partition(0);
    redis.client().del::<i64, _>(&keys.totals).await.unwrap();
    let no_hash = redis
        .client()
        .set::<(), _, _>(&keys.totals, "no hash", None, None, false);
    no_hash.await.unwrap();
    let refused = stream.append(0, life, &[frame(1)]).await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(
        redis.client().xlen::<i64, _>(&keys.events).await.unwrap(),
        0
    );
}

#[tokio::test]
async fn a_group_that_was_destroyed_gets_the_backlog_again_and_no_kept_entry() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    stream
        .append(0, hello.life, &[frame(1), frame(2), frame(3)])
        .await
        .unwrap();
    let entries = read(&redis, &stream, "a").await;
    commit(&stream, hello.life, &[ack(&entries[0])], &[]).await;
    let events = redis.keys().partition(0).events;
    redis
        .client()
        .xgroup_destroy::<i64, _, _>(events, GROUP)
        .await
        .unwrap();

    let client = reader(&redis).await;
    let reader = GroupReader::new(&client, &stream, "a");
    let gone = reader.read_new(10, Duration::from_millis(1)).await;
    assert!(matches!(gone, Err(StreamError::NoGroup)), "{gone:?}");
    assert_eq!(
        stream.hello(0, hello.life, None).await.unwrap().made,
        Made::Group
    );
    let again = reader.read_new(10, Duration::from_millis(1)).await.unwrap();
    let ids: Vec<_> = again.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [entries[1].id, entries[2].id]);
}

#[tokio::test]
async fn a_producer_id_belongs_to_whoever_registered_it() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let registration = |token: &str| Registration {
        id: ProducerId::new(0, 9),
        token: token.to_owned(),
    };
    for (token, expected) in [
        ("mine", ProducerState::Registered),
        ("mine", ProducerState::Registered),
        ("other", ProducerState::Taken),
    ] {
        let hello = stream
            .hello(0, Life::UNKNOWN, Some(&registration(token)))
            .await
            .unwrap();
        assert_eq!(hello.producer, expected, "{token}");
    }
}

#[tokio::test]
async fn entries_leave_the_kept_window_by_age_by_bytes_and_when_memory_is_short() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let frames: Vec<_> = (0..4).map(frame).collect();
    stream.append(0, hello.life, &frames).await.unwrap();
    let acks: Vec<_> = read(&redis, &stream, "a").await.iter().map(ack).collect();
    assert_eq!(commit(&stream, hello.life, &acks, &[]).await.dropped, 0);

    let size = u64::from(acks[0].stored_bytes);
    let tick = |kept| {
        let (stream, life) = (stream.clone(), hello.life);
        async move {
            let tick = Commit {
                life,
                entries: &[],
                settles: &[],
                kept,
            };
            stream.commit(0, &tick).await.unwrap().dropped
        }
    };
    assert_eq!(
        tick(KeptWindow {
            bytes: size * 3,
            ..PATIENT
        })
        .await,
        1
    );
    assert_eq!(tick(PATIENT).await, 0);
    assert_eq!(
        tick(KeptWindow {
            none: true,
            ..PATIENT
        })
        .await,
        3
    );
    let events = redis.keys().partition(0).events;
    assert_eq!(redis.client().xlen::<i64, _>(events).await.unwrap(), 0);
}

#[tokio::test]
async fn types_beyond_the_cap_count_as_other() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    for number in 0..3 {
        let names: Vec<String> = (0..500)
            .map(|kind| format!("k{}", number * 500 + kind))
            .collect();
        let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 2)).collect();
        let done = commit(&stream, hello.life, &[], &[settle(number, &rows)]).await;
        assert_eq!(done.counted, 1_000);
    }
    let total = stream.count_total(0).await.unwrap();
    assert_eq!(total.len(), 1_001);
    assert_eq!(total[&field("default", "__other__")], 1_000);
}

/// Counts of tenants, each an event of every one of its types.
fn of_tenants(number: u32, rows: &[(&str, std::ops::Range<u32>)]) -> Settle {
    let counts = rows.iter().flat_map(|(tenant, types)| {
        types.clone().map(|kind| CountRow {
            tenant: (*tenant).into(),
            event_type: format!("k{kind:03}").into(),
            count: 1,
        })
    });
    Settle {
        counts: counts.collect(),
        ..settle(number, &[])
    }
}

#[tokio::test]
async fn a_tenant_without_end_of_types_takes_no_name_of_anothers() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    stream.caps().say([("a", 3), ("b", 2)].into_iter());
    let both = of_tenants(1, &[("a", 0..500), ("b", 0..2)]);
    commit(&stream, hello.life, &[], &[both]).await;
    // A cap that is lowered takes no name away; one that is raised gives more.
    stream.caps().say([("a", 1), ("b", 4)].into_iter());
    let both = of_tenants(2, &[("a", 0..500), ("b", 0..5)]);
    commit(&stream, hello.life, &[], &[both]).await;
    let total = stream.count_total(0).await.unwrap();
    let mut found: Vec<_> = total
        .iter()
        .map(|(field, count)| (field.replace('\u{1f}', " "), *count))
        .collect();
    found.sort();
    let expected = [
        ("a __other__", 994),
        ("a k000", 2),
        ("a k001", 2),
        ("a k002", 2),
        ("b __other__", 1),
        ("b k000", 2),
        ("b k001", 2),
        ("b k002", 1),
        ("b k003", 1),
    ];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(found, expected);

    let rows = [("a\u{1f}new", 7), ("b\u{1f}new", 7), ("c\u{1f}new", 7)];
    let set = SetCounts {
        life: hello.life,
        hash: CountHash::Total,
        anew: false,
        plus: &[],
        rows: &rows,
    };
    assert_eq!(stream.set_counts(0, &set).await.unwrap(), 3);
    let mut names = Vec::new();
    for tenant in ["a", "b", "c"] {
        names.push(stream.types(0, tenant).await.unwrap().len());
    }
    assert_eq!(names, [3, 4, 1]);
}

#[tokio::test]
async fn a_tenants_counters_are_read_out_of_everybodys() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    stream.caps().say([("a", 3)].into_iter());
    let read = async |tenant: &str| {
        let second = u64::from(SECOND);
        let buckets = stream.tenant_buckets(0, tenant, Step::Second, second - 1..second + 1);
        let mut buckets = buckets.await.unwrap().into_iter();
        assert_eq!(buckets.next().unwrap().len(), 0, "nothing was counted then");
        let bucket = buckets.next().unwrap();
        let total = stream.tenant_total(0, tenant).await.unwrap();
        assert_eq!(bucket, total, "{tenant}");
        let mut counts: Vec<_> = total.into_iter().collect();
        counts.sort();
        counts
    };
    assert_eq!(read("a").await, []);
    commit(&stream, hello.life, &[], &[of_tenants(1, &[("a", 0..5)])]).await;
    let expected = [("__other__", 2), ("k000", 1), ("k001", 1), ("k002", 1)];
    let expected = expected.map(|(name, count)| (Box::<str>::from(name), count));
    assert_eq!(read("a").await, expected, "alone, read whole");
    // Names of tenants that begin alike.
    let others = of_tenants(2, &[("a-b", 0..40), ("b", 7..8)]);
    commit(&stream, hello.life, &[], &[others]).await;
    assert_eq!(read("a").await, expected, "among many, read by field");
    assert_eq!(read("a-b").await.len(), 40);
    assert_eq!(read("b").await, [("k007".into(), 1)]);
    assert_eq!(read("c").await, []);
}

#[tokio::test]
async fn a_receipt_older_than_a_day_is_left_to_verify() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let old = Settle {
        receipt_at_ms: now_ms() - 25 * 3_600_000,
        ..settle(1, &[("click", 2)])
    };
    let done = commit(&stream, hello.life, &[], &[old]).await;
    assert_eq!((done.settled, done.counted, done.left_to_verify), (0, 0, 1));
}

#[tokio::test]
async fn a_frame_without_counts_is_settled_and_what_is_no_number_is_left_and_reported() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let done = commit(&stream, hello.life, &[], &[settle(1, &[])]).await;
    assert_eq!((done.settled, done.counted, done.duplicates), (1, 0, 1));
    assert!(done.failures.is_empty(), "{done:?}");

    let (client, keys) = (redis.client(), redis.keys().partition(0));
    let other = [("default\u{1f}click", "x")];
    let set = client.hset::<(), _, _>(&keys.count_total, other.to_vec());
    set.await.unwrap();
    let counts = [("click", 2), ("view", 3)];
    let done = commit(&stream, hello.life, &[], &[settle(2, &counts)]).await;
    assert_eq!(done.failures.len(), 1, "{done:?}");
    assert!(done.failures[0].contains("no number"), "{done:?}");
    let totals: std::collections::BTreeMap<String, String> =
        client.hgetall(&keys.count_total).await.unwrap();
    let expected = [("default\u{1f}click", "x"), ("default\u{1f}view", "3")];
    let expected = expected.map(|(field, value)| (field.to_owned(), value.to_owned()));
    assert_eq!(totals, expected.into());

    let broken = client.hset::<(), _, _>(&keys.totals, ("counted_events", "x"));
    broken.await.unwrap();
    let done = commit(&stream, hello.life, &[], &[settle(3, &counts[1..])]).await;
    assert_eq!(done.failures.len(), 1, "{done:?}");
    assert!(done.failures[0].contains("counted_events"), "{done:?}");
    assert_eq!(stream.totals(0).await.unwrap().counted_events, 3);
}

#[tokio::test]
async fn more_types_than_lua_unpacks_at_once_are_counted() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let tenants: Vec<String> = (0..5_000).map(|tenant| format!("t{tenant}")).collect();
    let rows = tenants.iter().map(|tenant| (tenant.as_str(), 0..1));
    let settles = [of_tenants(1, &rows.collect::<Vec<_>>())];
    let done = commit(&stream, hello.life, &[], &settles).await;
    assert_eq!((done.counted, done.failures.len()), (5_000, 0), "{done:?}");
    assert_eq!(stream.count_total(0).await.unwrap().len(), 5_000);
}

#[tokio::test]
async fn what_cannot_be_written_is_reported_not_hidden() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let keys = redis.keys().partition(0);
    let bucket = keys.count_bucket("s", SECOND.into());
    redis
        .client()
        .set::<(), _, _>(bucket, "no hash", None, None, false)
        .await
        .unwrap();
    let done = commit(&stream, hello.life, &[], &[settle(1, &[("click", 2)])]).await;
    assert_eq!(done.counted, 2);
    assert!(
        done.failures
            .iter()
            .any(|failure| failure.contains("WRONGTYPE")),
        "{done:?}"
    );

    redis
        .client()
        .set::<(), _, _>(&keys.kept, "no list", None, None, false)
        .await
        .unwrap();
    let tick = Commit {
        life: hello.life,
        entries: &[],
        settles: &[],
        kept: PATIENT,
    };
    let refused = stream.commit(0, &tick).await;
    assert!(matches!(refused, Err(StreamError::WrongType { ref key }) if *key == keys.kept));
}

#[tokio::test]
async fn a_tick_reports_a_backlog_that_is_not_there() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    stream.append(0, hello.life, &[frame(1)]).await.unwrap();
    let entries = read(&redis, &stream, "a").await;
    assert_eq!(
        commit(&stream, hello.life, &[], &[]).await.backlog_events,
        3
    );
    let (events, id) = (redis.keys().partition(0).events, entries[0].id.to_string());
    redis
        .client()
        .xack::<i64, _, _, _>(events, GROUP, id)
        .await
        .unwrap();
    let tick = commit(&stream, hello.life, &[], &[]).await;
    assert_eq!(
        (tick.lost_events, tick.backlog_events, tick.backlog_bytes),
        (3, 0, 0)
    );
}

#[tokio::test]
async fn pending_entries_are_read_again_and_claimed_by_others() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(2);
    for partition in 0..2 {
        let hello = stream.hello(partition, Life::UNKNOWN, None).await.unwrap();
        stream
            .append(partition, hello.life, &[frame(1), frame(2)])
            .await
            .unwrap();
    }
    let client = reader(&redis).await;
    let reader = GroupReader::new(&client, &stream, "a");
    let entries = reader.read_new(10, Duration::from_millis(1)).await.unwrap();
    assert_eq!(
        entries.iter().filter(|entry| entry.partition == 1).count(),
        2
    );
    assert!(
        reader
            .read_new(10, Duration::from_millis(1))
            .await
            .unwrap()
            .is_empty()
    );

    let own = reader.read_pending(1, EntryId::ZERO, 1).await.unwrap();
    let rest = reader.read_pending(1, own[0].id, 10).await.unwrap();
    assert_eq!((own.len(), rest.len()), (1, 1));
    let pending = stream.pending(1).await.unwrap();
    assert_eq!((pending.entries, pending.oldest), (2, Some(own[0].id)));

    let none = stream
        .claim(1, claim(Duration::from_secs(3_600)))
        .await
        .unwrap();
    assert!(none.entries.is_empty());
    let events = redis.keys().partition(1).events;
    redis
        .client()
        .xdel::<i64, _, _>(events, own[0].id.to_string())
        .await
        .unwrap();
    let all = stream.claim(1, claim(Duration::ZERO)).await.unwrap();
    assert_eq!(
        (all.cursor, all.deleted, all.entries.len()),
        (EntryId::ZERO, vec![own[0].id], 1)
    );
    assert!(
        reader
            .read_pending(1, EntryId::ZERO, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_flushed_script_cache_is_filled_again() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let flushed: Result<(), _> =
        fred::interfaces::LuaInterface::script_flush(redis.client(), false).await;
    flushed.unwrap();
    stream.append(0, hello.life, &[frame(1)]).await.unwrap();
}

#[tokio::test]
async fn the_first_identity_stands() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    for (claimed, expected) in [(0xabcd, 0xabcd), (0xabcd, 0xabcd), (7, 0xabcd)] {
        assert_eq!(stream.claim_identity(claimed).await.unwrap(), expected);
    }
}

/// What Redis says when it is asked `words` about the connection `id`.
async fn ask_of(redis: &TestRedis, words: &str, id: i64) -> Value {
    let kind = CustomCommand::new("CLIENT", ClusterHash::FirstKey, false);
    let words = words.split(' ').map(Value::from);
    let words = words.chain([id.into()]).collect::<Vec<_>>();
    redis.client().custom(kind, words).await.unwrap()
}

#[tokio::test]
async fn a_reader_that_is_dropped_ends_its_connection() {
    let redis = TestRedis::new().await;
    let client = reader(&redis).await;
    let id: i64 = client.client_id().await.unwrap();
    let listed = async || ask_of(&redis, "LIST ID", id).await.into_string();
    assert!(listed().await.unwrap().contains("id="));
    drop(Reader::take(client));
    wait_for("it is gone", async || {
        listed().await.unwrap_or_default().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_read_that_loses_its_connection_fails_instead_of_reading_on() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    let client = reader(&redis).await;
    let id: i64 = client.client_id().await.unwrap();
    let group = GroupReader::new(&client, &stream, "a");
    // Sent again over another connection, it would find the frame.
    let read = group.read_new(10, Duration::from_secs(5));
    let cut = async {
        wait_for("the read is blocked", async || {
            let listed = ask_of(&redis, "LIST ID", id).await.into_string().unwrap();
            listed.contains("cmd=xreadgroup") && listed.contains("flags=b")
        })
        .await;
        assert_eq!(ask_of(&redis, "KILL ID", id).await, Value::Integer(1));
        stream.append(0, life, &[frame(1)]).await.unwrap();
    };
    let (read, ()) = tokio::join!(read, cut);
    assert!(matches!(read, Err(StreamError::Unknown { .. })), "{read:?}");
}
