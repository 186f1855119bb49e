mod shop;

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::signals::Signals;
use crate::error::chain;
use crate::{Error, Keys, Result, console, http};
use shop::Shop;

const TICK: Duration = Duration::from_millis(250);
const TICKS_PER_SECOND: f64 = 4.0;
const REPORT_TICKS: u64 = 30 * 4;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// One swell of the rate, so that a chart has something to show.
const SWELL_TICKS: f64 = 90.0 * TICKS_PER_SECOND;
const SWELL: f64 = 0.4;

/// Sends what the visitors of a small shop do, about `rate` events per second, until a signal
/// comes.
///
/// # Errors
/// [`Error::Demo`] when ingest does not answer at the beginning, or refuses an event. Later on what
/// got no answer is sent again until it gets one.
pub async fn demo(ingest: &str, aggregator: &str, keys: &Keys, rate: u32) -> Result<()> {
    let mut signals = Signals::new()?;
    console::say(
        "demo",
        &format!(
            "sends about {rate} events/s of made-up visitors of a shop to {ingest}, until Ctrl-C; \
             watch them at {aggregator}/"
        ),
    );
    let mut sender = Sender::new(ingest, keys)?;
    let ended = tokio::select! {
        ended = visit(&mut sender, rate) => ended,
        () = signals.any() => Ok(()),
    };
    console::say(
        "demo",
        &format!("stopped; {} events accepted", sender.accepted),
    );
    ended
}

async fn visit(sender: &mut Sender, rate: u32) -> Result<()> {
    let mut shop = Shop::new(StdRng::from_rng(&mut rand::rng()));
    let mut ticks = tokio::time::interval(TICK);
    // After a pause it goes on as before: nobody waits for the events of that time.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut pace = Pace::new(rate);
    loop {
        ticks.tick().await;
        let events: Vec<Value> = (0..pace.due()).map(|_| shop.event()).collect();
        if !events.is_empty() {
            sender.send(&events).await?;
        }
        if pace.ticks.is_multiple_of(REPORT_TICKS) {
            console::say("demo", &format!("{} events accepted", sender.accepted));
        }
    }
}

/// How many events each tick brings.
#[derive(Debug)]
struct Pace {
    rate: u32,
    ticks: u64,
    /// What whole events left over of the ticks before.
    rest: f64,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            ticks: 0,
            rest: 0.0,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small and positive"
    )]
    fn due(&mut self) -> u32 {
        let phase = self.ticks as f64 / SWELL_TICKS * std::f64::consts::TAU;
        self.ticks += 1;
        self.rest += f64::from(self.rate) / TICKS_PER_SECOND * (1.0 + SWELL * phase.sin());
        let due = self.rest.floor();
        self.rest -= due;
        due as u32
    }
}

#[derive(Debug)]
struct Sender {
    client: Client,
    url: String,
    accepted: usize,
    is_away: bool,
}

impl Sender {
    fn new(ingest: &str, keys: &Keys) -> Result<Self> {
        Ok(Self {
            client: http::client_with(keys.write.as_deref())?,
            url: format!("{ingest}/events?ids=none"),
            accepted: 0,
            is_away: false,
        })
    }

    /// Sends events until they are accepted: with their `eventId` a repetition is harmless.
    async fn send(&mut self, events: &[Value]) -> Result<()> {
        loop {
            let sending = self.client.post(&self.url).timeout(REQUEST_TIMEOUT);
            let reason = match sending.json(events).send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    self.accepted += events.len();
                    self.back();
                    return Ok(());
                }
                Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    format!("ingest answered {}", answer.status())
                }
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    return Err(Error::Demo(format!("ingest answered {status}: {text}")));
                }
                Err(error) if self.accepted == 0 => {
                    let reason = chain(&error);
                    return Err(Error::Demo(format!("{reason}: is make run up?")));
                }
                Err(error) => chain(&error),
            };
            self.away(&reason);
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    fn away(&mut self, reason: &str) {
        if !self.is_away {
            console::say("demo", &format!("{reason}; trying again every second"));
        }
        self.is_away = true;
    }

    fn back(&mut self) {
        if self.is_away {
            console::say("demo", "accepted again");
        }
        self.is_away = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swell_brings_the_rate_on_average_and_never_much_more() {
        let mut pace = Pace::new(20);
        let counts: Vec<u32> = (0..360).map(|_| pace.due()).collect();
        let sum: u32 = counts.iter().sum();
        assert!((1_799..=1_801).contains(&sum), "{sum}");
        assert!(
            counts.iter().all(|count| (3..=7).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn less_than_an_event_per_tick_adds_up() {
        let mut pace = Pace::new(1);
        let sum: u32 = (0..360).map(|_| pace.due()).sum();
        assert!((89..=91).contains(&sum), "{sum}");
    }
}
