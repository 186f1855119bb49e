//! Nobody guesses on and on, and nobody is kept out by those who do.

use bson::{Document, doc};
use evp_shared::access::record::Scope;
use evp_shared::access::token::{Ticket, Token};
use evp_shared::testing::wait_for;
use futures::TryStreamExt as _;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::browser::Browser;
use super::signed_in;
use crate::keys::{KEYS, known};
use crate::service::{TestAggregator, key};

#[tokio::test]
async fn of_sign_ins_at_the_same_time_thirty_may_fail() {
    let service = TestAggregator::start_as(KEYS).await;
    let token = key(&service.mongo, Some("a"), Scope::Read).await.1;
    known(&service, &token).await;
    // These say nothing of who somebody is.
    for _ in 0..31 {
        let wrong = json!({ "key": 1 });
        let mut browser = Browser::default();
        let (status, _) = browser.post(&service, "/sign-in/key", &wrong).await;
        assert_eq!(status, 400);
    }
    let guesses = (0..100).map(|_| async {
        let guess = json!({ "token": Token::ticket(Ticket::Link).expose() });
        let answer = Browser::default()
            .post(&service, "/sign-in/link", &guess)
            .await;
        answer.0
    });
    let answers = join_all(guesses).await;
    let count = |wanted: u16| answers.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(401), count(429)), (30, 70), "{answers:?}");
    service.stop().await;
}

#[tokio::test]
async fn streams_of_a_session_share_what_is_read_of_it() {
    let (service, browser, _) = signed_in(Scope::Read).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let stream = browser.request(&service, Method::GET, "/stream");
        let mut stream = stream.send().await.unwrap();
        stream.chunk().await.unwrap();
        streams.push(stream);
    }
    let access = service.mongo.access();
    access.run_command(doc! { "profile": 2 }).await.unwrap();
    let profile = access.collection::<Document>("system.profile");
    let reads = doc! { "op": "query", "ns": format!("{}.sessions", access.name()) };
    let counted = || async { profile.count_documents(reads.clone()).await.unwrap() >= 4 };
    wait_for("reads of the session", counted).await;
    access.run_command(doc! { "profile": 0 }).await.unwrap();
    let reads = profile.find(reads).sort(doc! { "ts": 1 });
    let reads: Vec<Document> = reads.await.unwrap().try_collect().await.unwrap();
    let times = reads.iter().map(|read| read.get_datetime("ts").unwrap());
    let times: Vec<i64> = times.map(|at| at.timestamp_millis()).collect();
    // What was read is good for a second, however slow the machine is.
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] > 900, "{times:?}");
    }
    drop(streams);
    service.stop().await;
}

#[tokio::test]
async fn bad_sessions_keep_no_good_one_of_their_address_out() {
    let (service, good, _) = signed_in(Scope::Read).await;
    let show = async |text: &str| {
        let request = Browser::with(text).request(&service, Method::GET, "/session");
        request.send().await.unwrap()
    };
    let made_up = || Token::ticket(Ticket::Session);
    // What cannot be a session costs nothing, and does not count.
    for _ in 0..301 {
        assert_eq!(show("x").await.status(), 401);
    }
    for _ in 0..300 {
        assert_eq!(show(made_up().expose()).await.status(), 401);
    }
    let refused = show(made_up().expose()).await;
    assert_eq!(refused.status(), 429);
    for name in ["retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(refused.headers().contains_key(name), "{name}");
    }
    assert_eq!(good.get(&service, "/session").await.0, 200);
    service.stop().await;
}
