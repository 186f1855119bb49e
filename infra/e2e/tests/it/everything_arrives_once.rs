use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use evp_e2e::{Events, Expected, Journal, Post, Sent, System, until};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// Events of each way to send them; the single object is one.
const EACH: u32 = 10;
const EVENTS: u32 = 1 + 5 * EACH;
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Each way to send events, each sent twice: everything is stored once, counted once, and asked
/// back by time, by id, and in numbers. Nobody is asked who they are: this is the test of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_sent_in_every_way_are_stored_counted_and_asked_back() -> Result<()> {
    let builder = System::of("everything_arrives_once").open().aggregator();
    let system = builder.start().await?;
    let mut journal = Journal::default();
    for _ in 0..2 {
        send_in_every_way(&system, &mut journal).await?;
    }
    let numbers = until("everything is counted", async || {
        let metrics = ask(&system, "/metrics?window=all").await;
        metrics.is_ok_and(|metrics| metrics["totals"]["duplicates"] == EVENTS)
    });
    numbers.await?;
    check_metrics(&system).await?;
    check_list(&system, &journal).await?;
    check_single(&system, &journal).await?;

    let faults = "object, array, envelope, NDJSON, gzip and zstd, each sent twice";
    let outcome = system
        .balance(&journal, &Expected::default(), faults)
        .await?;
    let books = outcome.verdict.context("books")?;
    assert_eq!(books.stored, u64::from(EVENTS));
    assert_eq!(books.duplicates, i64::from(EVENTS));
    Ok(())
}

async fn send_in_every_way(system: &System, journal: &mut Journal) -> Result<()> {
    let (http, url) = (&system.http, system.ingests[0].url());
    let events = &system.events;
    let part = |index: u32| 1 + index * EACH..1 + (index + 1) * EACH;
    let envelope = format!("{{\"events\":{}}}", events.array(part(1)));
    let zipped = gzip(&events.ndjson(part(3)))?;
    let zstd = zstd::encode_all(events.array(part(4)).as_bytes(), 3)?;
    let posts = [
        (0..1, Post::new(http, &url, JSON, events.json(0))),
        (part(0), Post::new(http, &url, JSON, events.array(part(0)))),
        (part(1), Post::new(http, &url, JSON, envelope)),
        (
            part(2),
            Post::new(http, &url, NDJSON, events.ndjson(part(2))),
        ),
        (
            part(3),
            Post::new(http, &url, NDJSON, zipped).encoded("gzip"),
        ),
        (part(4), Post::new(http, &url, JSON, zstd).encoded("zstd")),
    ];
    for (numbers, post) in posts {
        post.acknowledged(journal, numbers).await?;
    }
    Ok(())
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

pub(crate) async fn ask(system: &System, path: &str) -> Result<Value> {
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    let url = format!("{}{path}", aggregator.url());
    let response = system.reader.get(url).send().await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    ensure!(status.is_success(), "{path}: {status} {answer}");
    Ok(answer)
}

async fn check_metrics(system: &System) -> Result<()> {
    let mut by_type = BTreeMap::<&str, u64>::new();
    for number in 0..EVENTS {
        *by_type.entry(Events::event_type(number)).or_default() += 1;
    }
    let metrics = ask(system, "/metrics?window=all").await?;
    assert_eq!(metrics["totals"]["events"], EVENTS, "{metrics}");
    assert_eq!(metrics["totalEventsLastMinute"], EVENTS, "{metrics}");
    assert_eq!(metrics["windowSeconds"], 60);
    for counts in [&metrics["byType"], &metrics["totals"]["byType"]] {
        let found: Option<BTreeMap<&str, u64>> = counts
            .as_array()
            .context("byType is a list")?
            .iter()
            .map(|row| Some((row["_id"].as_str()?, row["count"].as_u64()?)))
            .collect();
        assert_eq!(found.as_ref(), Some(&by_type), "{metrics}");
    }
    Ok(())
}

/// Pages through the list: every event once, newest first.
async fn check_list(system: &System, journal: &Journal) -> Result<()> {
    let mut ids = BTreeSet::new();
    let mut numbers = Vec::new();
    let mut path = "/events?limit=20".to_owned();
    loop {
        let page = ask(system, &path).await?;
        for item in page["items"].as_array().context("items")? {
            let event_id = item["eventId"].as_str().context("eventId")?;
            numbers.extend(system.events.number(event_id));
            ids.insert(item["id"].as_str().context("id")?.to_owned());
        }
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/events?limit=20&cursor={cursor}");
    }
    let newest_first: Vec<u32> = (0..EVENTS).rev().collect();
    assert_eq!(numbers, newest_first);
    let acknowledged = journal.events().map(|(_, sent)| match sent {
        Sent::Acknowledged(id) => id.to_string(),
        Sent::Unknown => String::new(),
    });
    assert_eq!(ids, acknowledged.collect());
    Ok(())
}

async fn check_single(system: &System, journal: &Journal) -> Result<()> {
    let Some(Sent::Acknowledged(id)) = journal.get(3) else {
        bail!("event 3 is not acknowledged");
    };
    let found = ask(system, &format!("/events/{id}")).await?;
    assert_eq!(found["eventId"], system.events.event_id(3), "{found}");
    assert_eq!(found["status"], "stored", "{found}");
    let unknown = ask(system, "/events/01890000-0000-8000-8000-000000000000").await;
    let refusal = unknown.err().context("nobody sent it")?.to_string();
    assert!(
        refusal.contains("404") && refusal.contains("storedThrough"),
        "{refusal}"
    );
    Ok(())
}
