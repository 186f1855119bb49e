use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, bail};
use evp_e2e::{Attempt, Expected, Journal, Load, Post, Producer, System, until};

const EVENTS: u32 = 3_000;
const PROBES: u32 = 8;
const PROBE: u32 = 40;

/// Redis is away: requests are refused with a reason and a time to come back, nothing of them is
/// half stored, and sent again with the same ids they are stored once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_refused_whole_while_redis_is_away() -> Result<()> {
    let mut system = System::of("redis_away").own_redis().start().await?;
    let load = Load {
        events: EVENTS,
        clients: 2,
        batch: 20..=100,
    };
    let before = Producer::new(&system, load);
    before.run().await?;
    let mut journal = before.journal();

    system.own_redis()?.kill().await;
    let refused = probe(&system, &mut journal).await?;
    until("the processor says that redis is away", async || {
        let readiness = system.processors[0].readiness().await;
        readiness.is_some_and(|readiness| readiness.blames("redis"))
    })
    .await?;
    until("ingest says that redis is away", async || {
        let readiness = system.ingests[0].readiness().await;
        readiness.is_some_and(|readiness| readiness.blames("redis"))
    })
    .await?;

    system.own_redis()?.restart().await?;
    system.ingests[0].await_ready().await?;
    system.processors[0].await_ready().await?;
    let ledger = system.ledger();
    until("what is left is stored", async || {
        ledger.is_settled().await.unwrap_or(false)
    })
    .await?;
    let stored = ledger.read().await?.stored;
    for (code, numbers) in &refused {
        let of_probe = |(number, _): &&(u32, String)| numbers.contains(number);
        let found = stored.values().filter(of_probe).count();
        let whole = code == "not_confirmed" && found == numbers.len();
        assert!(
            found == 0 || whole,
            "{found} of {} after {code}",
            numbers.len()
        );
    }

    for (_, numbers) in &refused {
        let body = system.events.array(numbers.clone());
        let post = Post::json(&system.http, &system.ingests[0].url(), body);
        post.acknowledged(&mut journal, numbers.clone()).await?;
    }
    let faults = format!("{PROBES} requests while redis-server was away");
    let verdict = system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    assert_eq!(verdict.stored(), u64::from(EVENTS + PROBES * PROBE));
    Ok(())
}

/// Sends requests of their own, once each, and returns those with the codes they were refused
/// with.
async fn probe(system: &System, journal: &mut Journal) -> Result<Vec<(String, Range<u32>)>> {
    let url = system.ingests[0].url();
    let mut refused = Vec::new();
    let mut codes = BTreeMap::<String, u32>::new();
    for probe in 0..PROBES {
        let numbers = EVENTS + probe * PROBE..EVENTS + (probe + 1) * PROBE;
        journal.sending(numbers.clone());
        let body = system.events.array(numbers.clone());
        match Post::json(&system.http, &url, body).send().await? {
            Attempt::Later { code, retry_after } => {
                assert!(
                    ["not_accepted", "not_confirmed"].contains(&code.as_str()),
                    "{code}"
                );
                assert!(retry_after.is_some_and(|seconds| (1..=75).contains(&seconds)));
                *codes.entry(code.clone()).or_default() += 1;
                refused.push((code, numbers));
            }
            other => bail!("redis is away, and the answer is {other:?}"),
        }
    }
    assert_eq!(codes.values().sum::<u32>(), PROBES);
    Ok(refused)
}
