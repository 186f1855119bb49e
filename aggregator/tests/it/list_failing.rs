//! Lists on a mongod that fails partway.

use std::time::Duration;

use bson::{Document, doc};
use evp_aggregator::events::Events;
use evp_devstack::{MongoOptions, MongoServer};
use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::store::Index;
use evp_shared::testing::TestMongo;
use evp_shared::testing::spans::store_events;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;

use crate::events::{expected, id_of};
use crate::plans::{everything, some, walked};
use crate::service::{id, prepare_all};

/// mongod's codes for a read that took too long, and for a cursor that is not there any more.
const CODES: [i32; 2] = [50, 43];

/// Time that a page has.
const LIMIT: Duration = Duration::from_secs(20);

/// A mongod that fails when it is told to.
pub(crate) async fn mongod_that_fails() -> MongoServer {
    let extra = ["--setParameter", "enableTestCommands=1"];
    let options = MongoOptions {
        cache_gb: 0.25,
        extra: extra.map(str::to_owned).to_vec(),
        ..MongoOptions::default()
    };
    MongoServer::start(options).await.unwrap()
}

#[tokio::test]
async fn a_page_whose_first_read_fails_partway_skips_no_type() {
    let mongod = mongod_that_fails().await;
    for code in CODES {
        let mongo = prepare_all(TestMongo::at(mongod.url()).await).await;
        // More types than one read merges; those of the second one stand among those of the first.
        let documents = some(300, |n| id(n, n));
        store_events(&mongo.database(), &[Index::Type], &documents).await;

        // Time is over with the failure, so that what went away is not asked for again either.
        let clock = Clock::manual(0);
        let hands = clock.clone();
        let mut options = ClientOptions::parse(mongo.uri()).await.unwrap();
        options.command_event_handler = Some(EventHandler::callback(move |event| {
            if matches!(event, CommandEvent::Failed(_)) {
                hands.advance(LIMIT);
            }
        }));
        let client = mongodb::Client::with_options(options).unwrap();
        let order = doc! {
            "configureFailPoint": "failCommand",
            "mode": { "times": 1 },
            "data": { "failCommands": ["getMore"], "errorCode": code },
        };
        client.database("admin").run_command(order).await.unwrap();
        let database = client.database(mongo.database_name());
        let events = Events::new(&database, IdentityConfig::default(), clock, LIMIT);

        let (found, pages) = walked(&events, &everything(), 1_000).await;
        let found: Vec<String> = found
            .iter()
            .map(|found| id_of(&Document::try_from(found).unwrap()))
            .collect();
        assert_eq!(found, expected(&documents, |_| true), "code {code}");
        assert_eq!(pages, 5, "one was short: code {code}");
    }
}
