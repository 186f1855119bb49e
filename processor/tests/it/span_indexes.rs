//! The housekeeper brings spans to the indexes they are to have, and never to half of them.

use std::time::Duration;

use bson::doc;
use evp_processor::upkeep::housekeeper::building::{Site, next};
use evp_processor::upkeep::housekeeper::sealing::Sizes;
use evp_processor::upkeep::housekeeper::waits::Waits;
use evp_shared::store::{Index, SpanIndex, spans};
use evp_shared::testing::spans::{store_events, stored_events};
use fred::interfaces::StreamsInterface as _;

use crate::housekeeper::{BOTH, OLD_MS, event, house, index_names, round, row_of, until, world};

#[tokio::test]
async fn an_index_dropped_by_hand_is_brought_back_and_one_not_wanted_goes() {
    let (world, calendar) = world().await;
    let new = calendar.span_of(Some(world.now_ms));
    let drop_type = doc! { "dropIndexes": new.to_string(), "index": "type" };
    let database = world.mongo.database();
    database.run_command(drop_type).await.unwrap();
    let mut both = house(&world, "p", "");
    round(&mut both).await;
    let expected = ["_id_", "type", "user_recent"];
    assert_eq!(index_names(&world, &new).await, expected);

    let mine = doc! { "name": "mine", "key": { "eventId": 1 } };
    let create = doc! { "createIndexes": new.to_string(), "indexes": [mine] };
    database.run_command(create).await.unwrap();
    let mut other = house(&world, "p", "[storage]\nindexes = [\"session\"]");
    let are_changed = async || index_names(&world, &new).await == ["_id_", "mine", "session"];
    until(&mut other, "the indexes are as configured", are_changed).await;
    let row = row_of(&world, &new).await.unwrap();
    assert_eq!(row.indexes, [SpanIndex::Session]);
}

#[tokio::test]
async fn indexes_that_are_only_dropped_go_from_all_spans_in_one_round() {
    let (world, calendar) = world().await;
    let spans = [OLD_MS, world.now_ms].map(|ms| calendar.span_of(Some(ms)));
    let mut less = house(&world, "p", "[storage]\nindexes = [\"type\"]");
    round(&mut less).await;
    for span in &spans {
        assert_eq!(index_names(&world, span).await, ["_id_", "type"]);
        assert_eq!(
            row_of(&world, span).await.unwrap().indexes,
            [SpanIndex::Type]
        );
    }
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_begun_and_inserts_go_on() {
    let (world, calendar) = world().await;
    let database = world.mongo.database();
    let old = calendar.span_of(Some(OLD_MS));
    let rows = async || spans::rows(&database, Duration::ZERO).await.unwrap();
    let (before, there) = (rows().await, index_names(&world, &old).await);
    let waits = Waits::new(1_000_000);
    // A seal, and an index that is missing: each would be built, if there were room.
    for indexes in [&BOTH[..], &[Index::Session]] {
        let mut sizes = Sizes::default();
        let mut jobs = async |free, now_ms| {
            let site = Site {
                database: &database,
                indexes,
                waits: &waits,
                now_ms,
                free,
                is_calm: true,
            };
            next(&site, &before, &mut sizes).await.unwrap().0
        };
        jobs(Some(0), world.now_ms).await;
        let later_ms = world.now_ms + 1_000;
        assert_eq!(jobs(Some(0), later_ms).await, []);
        assert_eq!(rows().await, before);
        assert_eq!(index_names(&world, &old).await, there);
        assert!(jobs(Some(1 << 40), later_ms).await[0].builds());
    }
    let stored = stored_events(&database).await.len();
    let late = event(OLD_MS + 1);
    store_events(&database, &BOTH, &[late]).await;
    assert_eq!(stored_events(&database).await.len(), stored + 1);
}

#[tokio::test]
async fn a_sleeper_that_builds_an_index_does_not_make_a_dropped_span_anew() {
    let (world, calendar) = world().await;
    let database = world.mongo.database();
    let old = calendar.span_of(Some(OLD_MS));
    let mut house = house(&world, "p", "[storage]\nindexes = [\"session\"]");
    let jobs = house.round(false).await.unwrap();
    let [job] = &jobs[..] else {
        panic!("one that builds: {jobs:?}")
    };
    assert_eq!(job.row.span, old);
    spans::drop_span(&database, &old).await.unwrap();
    job.run(&database).await.unwrap_err();
    let names = database.list_collection_names().await.unwrap();
    assert!(!names.contains(&old.to_string()), "{names:?}");
    assert!(row_of(&world, &old).await.is_none());
}

#[tokio::test]
async fn no_index_is_built_while_there_is_a_backlog() {
    let (world, calendar) = world().await;
    let new = calendar.span_of(Some(world.now_ms));
    let drop_type = doc! { "dropIndexes": new.to_string(), "index": "type" };
    world.mongo.database().run_command(drop_type).await.unwrap();
    // Two entries, a day apart.
    let key = world.redis.keys().partition(0).events;
    let client = world.redis.client();
    for id in ["1000-0", "86401000-0"] {
        let fields = vec![("v", "x")];
        let _: String = client.xadd(&key, false, None, id, fields).await.unwrap();
    }
    let mut house = house(&world, "p", "");
    round(&mut house).await;
    assert!(!index_names(&world, &new).await.contains(&"type".to_owned()));
    // Its row does not promise what is not there.
    let row = row_of(&world, &new).await.unwrap();
    assert_eq!(row.indexes, [SpanIndex::UserRecent]);
    let _: i64 = client.xdel(&key, "1000-0").await.unwrap();
    round(&mut house).await;
    assert!(index_names(&world, &new).await.contains(&"type".to_owned()));
}
