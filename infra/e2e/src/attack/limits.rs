//! More than one may.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use evp_shared::clock::Clock;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Gate;
use super::gate::{Answer, code};
use crate::PATIENCE;
use crate::scenario::Size;

const STORED: &str = "evp_processor_events_total";
const FLOODERS: usize = 16;
const FLOOD_EVENTS: u16 = 500;
/// So many times as long a machine may take to fill what may wait.
const LONGER: u32 = 5;
/// Of the small tenant.
const EVERY: Duration = Duration::from_millis(100);

pub(super) async fn flood(size: Size) -> Result<String> {
    // Little drains. A quarter of what may wait is more than comes between two looks of ingest at the backlog.
    let gate = Gate::start(&[
        ("EVP__INGEST__ADMISSION__BACKLOG_EVENTS", "2000000"),
        // Room for several of its frames: a bulk for each event of the small one would be what is measured.
        ("EVP__PROCESSOR__BULK_EVENTS", "2000"),
        ("EVP__PROCESSOR__BULKS_IN_FLIGHT", "1"),
    ])
    .await?;
    for tenant in ["large", "small"] {
        gate.tenant(tenant).await?;
    }
    let [large, small] = [
        gate.key("large", "write").await?,
        gate.key("small", "write").await?,
    ];
    let requests = size.of(100, 200, 400);
    // Both from the beginning: one that is alone may fill all there is, and who comes then waits until what
    // is beyond the bound has drained.
    let beside = flooded(&gate, &large.key, requests, Some(&small.key)).await?;
    ensure!(
        beside.taken * 100 >= beside.asked * 99 && beside.asked * 2 > requests,
        "{} of {} of the small one's requests were taken beside {:.0} events/s: {}",
        beside.taken,
        beside.asked,
        beside.sent,
        beside.last
    );
    // A machine is not as fast from one minute to the next: before and after count alike.
    let mut rates = vec![beside.rate];
    if size != Size::Test {
        for small in [None, Some(&*small.key)] {
            rates.push(flooded(&gate, &large.key, requests, small).await?.rate);
        }
        ensure!(
            rates[0] + rates[2] >= 2.0 * 0.9 * rates[1],
            "events/s of the large one that are drained, beside, alone, beside: {rates:.0?}"
        );
    }
    gate.held(format!(
        "{} of {} requests of the small one taken beside {:.0} events/s of the large one, of whose requests {} \
         were refused; drained were {rates:.0?} events/s (beside, alone, beside)",
        beside.taken, beside.asked, beside.sent, beside.refused
    ))
}

struct Flooded {
    /// Requests of the small tenant that were taken, or refused because of the load.
    asked: u32,
    /// Those that were taken.
    taken: u32,
    /// What the last of the others was told.
    last: String,
    /// Events per second that are stored, nearly all of them the large one's, in the second half: what
    /// came before has filled the backlog.
    rate: f64,
    /// Events per second that the large one sends, taken or not.
    sent: f64,
    /// Requests of the large one that were not.
    refused: u64,
}

/// Sends as much as can be as `large`, while `small` sends `requests` events, one every 100 ms; or more,
/// until more has come than drains.
async fn flooded(gate: &Gate, large: &str, requests: u32, small: Option<&str>) -> Result<Flooded> {
    let clock = Clock::system();
    let (began, half) = (clock.now(), Cell::new(None));
    let (is_over, is_refused) = (Cell::new(false), Cell::new(false));
    let few = async {
        let mut few = Few::default();
        let mut beat = tokio::time::interval(EVERY);
        for number in 0_u32.. {
            beat.tick().await;
            let is_full = is_refused.get() || number == LONGER * requests;
            if number >= requests && is_full {
                break;
            }
            if number == requests / 2 {
                half.set(Some((clock.now(), gate.processor.metric(STORED).await?)));
            }
            if let Some(small) = small {
                few.note(
                    gate.post(number as usize % 2, small, r#"{"type":"few"}"#)
                        .await?,
                );
            }
        }
        is_over.set(true);
        anyhow::Ok(few)
    };
    let event = json!({ "type": "many" });
    let body = Value::from(vec![event; FLOOD_EVENTS.into()]).to_string();
    let flooder = async |index: usize| {
        let (mut sent, mut refused) = (0_u32, 0_u64);
        while !is_over.get() {
            sent += 1;
            match gate.post(index % 2, large, &body).await?.0 {
                StatusCode::ACCEPTED => {}
                StatusCode::SERVICE_UNAVAILABLE => {
                    refused += 1;
                    is_refused.set(true);
                }
                status => bail!("{status}"),
            }
        }
        Ok((sent, refused))
    };
    let flooders = futures::future::try_join_all((0..FLOODERS).map(flooder));
    let (few, counts) = tokio::try_join!(few, flooders)?;
    let (since, stored) = half.get().context("it was over before its half")?;
    let stored = gate.processor.metric(STORED).await? - stored;
    let (in_half, in_all) = (clock.now() - since, clock.now() - began);
    let sent: u32 = counts.iter().map(|(sent, _)| sent).sum();
    ensure!(is_refused.get(), "more drains than comes");
    Ok(Flooded {
        asked: few.asked,
        taken: few.taken,
        last: few.last,
        rate: stored / in_half.as_secs_f64(),
        sent: f64::from(sent) * f64::from(FLOOD_EVENTS) / in_all.as_secs_f64(),
        refused: counts.iter().map(|(_, refused)| refused).sum(),
    })
}

/// What became of the small one's requests.
#[derive(Default)]
struct Few {
    asked: u32,
    taken: u32,
    last: String,
}

impl Few {
    /// A Redis that stands still is unfair to nobody.
    fn note(&mut self, (status, text): Answer) {
        let is_taken = status == StatusCode::ACCEPTED;
        if is_taken || code(&text) == "overloaded" {
            self.asked += 1;
            self.taken += u32::from(is_taken);
        }
        if !is_taken {
            self.last = text;
        }
    }
}

pub(super) async fn quota(size: Size) -> Result<String> {
    let mut gate = Gate::start(&[]).await?;
    let (most, request) = size.of((2_000_u64, 10), (100_000, 100), (100_000, 100));
    gate.tenant("a").await?;
    let body = json!({ "eventsPerDay": most });
    gate.manage(Method::PATCH, "/admin/tenants/a", body).await?;
    let [write, read] = [gate.key("a", "write").await?, gate.key("a", "read").await?];
    let events: Vec<Value> = (0..request).map(|_| json!({ "type": "q" })).collect();
    let body = serde_json::to_string(&events)?;
    let spending = spend(&mut gate, (&write.key, &read.key), &body, (most, request));
    let spent = tokio::time::timeout(3 * PATIENCE, spending).await;
    let accepted = spent.context("the quota is never spent")??;
    let least = most * 98 / 100;
    ensure!(
        (least..=most).contains(&accepted),
        "{accepted} of {most} accepted"
    );
    let last = async || {
        let url = format!("{}/events", gate.ingests[0].url());
        let request = gate.http.post(url).bearer_auth(&write.key);
        request.body(body.clone()).send().await
    };
    let mut response = last().await?;
    while response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response = last().await?;
    }
    says_when(&response)?;
    gate.held(format!(
        "{accepted} of {most} accepted, then 429, one of two ingests killed"
    ))
}

/// Sends `request` events after `request` to both ingests until the quota of `most` is spent, and
/// kills one halfway; how many were accepted.
async fn spend(
    gate: &mut Gate,
    (write, read): (&str, &str),
    body: &str,
    (most, request): (u64, u64),
) -> Result<u64> {
    let (mut accepted, mut living, mut is_given_out) = (0, 2, false);
    loop {
        if living == 2 && accepted >= most / 2 {
            gate.ingests[1].kill().await;
            living = 1;
        }
        for index in 0..living {
            let (status, text) = gate.post(index, write, body).await?;
            match status {
                StatusCode::ACCEPTED => accepted += request,
                StatusCode::TOO_MANY_REQUESTS if code(&text) == "quota_exceeded" => {
                    if living == 1 && is_given_out {
                        return Ok(accepted);
                    }
                    // Once more after that: the last part may have come meanwhile.
                    let (_, usage) = gate.get(0, "/usage", read).await?;
                    let usage: Value = serde_json::from_str(&usage)?;
                    is_given_out = usage["quota"]["left"] == 0;
                }
                // A server that stands still; not confirmed, it may have taken of the quota.
                StatusCode::SERVICE_UNAVAILABLE => {}
                _ => bail!("{status} {text}"),
            }
        }
    }
}

/// That a request was too much, and its answer says when to come back, and after which rule.
pub(super) fn says_when(response: &Response) -> Result<()> {
    let has = |name: &str| response.headers().contains_key(name);
    ensure!(
        response.status() == StatusCode::TOO_MANY_REQUESTS
            && ["retry-after", "ratelimit", "ratelimit-policy"]
                .into_iter()
                .all(has),
        "{response:?}"
    );
    Ok(())
}
