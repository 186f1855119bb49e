//! The load generator: sends events at a constant rate, or as fast as answers come, and measures
//! the answers.
//!
//! It runs as a process of its own, so that its CPU is told apart from that of what it measures.
//! Reading order: [`Load`] (what to send), [`template`] (requests as bytes, made before the first
//! is sent), [`pacer`] (which request is due when), [`client`] (one connection), [`generator`]
//! (all of them), [`LoadReport`] (what came of it).

pub mod client;
pub mod event;
pub mod fill;
pub mod generator;
pub mod ids;
pub mod pacer;
pub mod spread;
pub mod template;
pub mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use self::event::{TYPE_BYTES, USER_BYTES};
use self::spread::Spread;
use self::times::Times;

/// What to send. It travels to the generator's process as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// When the next request is sent.
    pub pace: Pace,
    /// Connections, each with one request under way.
    pub connections: u16,
    /// What an event looks like.
    pub shape: Shape,
    /// Events per request.
    pub request_events: u16,
    /// How they are joined to a body.
    pub format: Format,
    /// How the body is compressed; the bytes are then the same again and again, without a time.
    pub encoding: Encoding,
    /// Who makes the ids, and of which kind.
    pub ids: IdKind,
    /// Share of events that repeat the id of an earlier one; only with ids of the client.
    pub duplicates: f64,
    /// Duplicates are all of a request: one accepted before is sent again.
    #[serde(default)]
    pub retried: bool,
    /// Number of event types.
    pub types: u16,
    /// How often each user and type comes.
    #[serde(default)]
    pub spread: Spread,
    /// Which times events carry.
    #[serde(default)]
    pub times: Times,
    /// Whether answers list the canonical ids, as they do by default.
    pub answers_list_ids: bool,
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// At this many events per second, whether answers come or not. Latency counts from the time
    /// a request was due, so that a stall is seen by all requests that were due during it.
    Open(f64),
    /// One after another on each connection.
    Closed,
}

/// What an event looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// 266 bytes: 6 fields, one of them metadata of 6 keys.
    Default,
    /// 1 KiB: the same, with text in the payload.
    Kib1,
    /// 10 KiB.
    Kib10,
    /// As `make demo-data` sends them: 16 mostly numeric keys of metadata.
    Flights,
}

/// How events are joined to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One object; for requests of one event.
    Object,
    /// A JSON array.
    Array,
    /// One object per line.
    Ndjson,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, level 6.
    Gzip,
    /// zstd, level 3.
    Zstd,
}

/// Who makes the ids of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// The server.
    Server,
    /// The client: `eventId` is a UUIDv7.
    V7,
    /// The client: `eventId` is a UUIDv4, and the event has a timestamp.
    V4,
    /// The client: `eventId` is a UUIDv4, and the event has no timestamp.
    V4Undated,
}

impl Load {
    /// Open loop of default events at `rate`, in arrays of `request_events`.
    #[must_use]
    pub fn open(rate: f64, request_events: u16) -> Self {
        Self {
            pace: Pace::Open(rate),
            connections: 32,
            shape: Shape::Default,
            request_events,
            format: if request_events == 1 {
                Format::Object
            } else {
                Format::Array
            },
            encoding: Encoding::Identity,
            ids: IdKind::Server,
            duplicates: 0.0,
            retried: false,
            types: 10,
            spread: Spread::Even,
            times: Times::Due,
            answers_list_ids: true,
        }
    }

    /// Closed loop of single default events on `connections` connections.
    #[must_use]
    pub fn closed(connections: u16) -> Self {
        Self {
            pace: Pace::Closed,
            connections,
            ..Self::open(0.0, 1)
        }
    }

    /// Events per second that are asked for; `None` in a closed loop.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        match self.pace {
            Pace::Open(rate) => Some(rate),
            Pace::Closed => None,
        }
    }

    /// Whether each body is given times, and ids where the client makes them, before it is sent.
    #[must_use]
    pub fn is_patched(&self) -> bool {
        self.encoding == Encoding::Identity
    }

    /// What makes no sense, if anything.
    ///
    /// # Errors
    /// The sentence that says so.
    pub fn check(&self) -> Result<(), String> {
        let client_ids = self.ids != IdKind::Server;
        let most = |digits: usize| (0..digits).fold(1_u32, |most, _| most * 10);
        let chosen = match self.spread {
            Spread::Even => None,
            Spread::Zipf { users } => Some((users, u32::from(self.types))),
        };
        let fault = if self.request_events == 0 || self.connections == 0 || self.types == 0 {
            "events per request, connections and types are at least 1"
        } else if self.format == Format::Object && self.request_events != 1 {
            "an object holds one event: choose array or ndjson"
        } else if client_ids && !self.is_patched() {
            "compressed bodies are sent again and again: leave the ids to the server"
        } else if chosen.is_some() && (!self.is_patched() || self.shape == Shape::Flights) {
            "users and types are chosen for bodies that are not compressed, and not for flights"
        } else if chosen.is_some_and(|(users, types)| {
            !(1..=most(USER_BYTES)).contains(&users) || types > most(TYPE_BYTES)
        }) {
            "1 to 1,000,000 users and at most 1,000 types can be chosen from"
        } else if self.times != Times::Due && !matches!(self.ids, IdKind::V7 | IdKind::V4) {
            "what is not of now needs dated ids of the client: the server's are of now"
        } else if self.duplicates > 0.0 && !client_ids {
            "duplicates need ids of the client"
        } else if !(0.0..=0.9).contains(&self.duplicates) {
            "the share of duplicates lies between 0 and 0.9"
        } else if self.rate().is_some_and(|rate| !(1.0..=1e8).contains(&rate)) {
            "the rate lies between 1 and 100 million events per second"
        } else {
            return Ok(());
        };
        Err(fault.to_owned())
    }
}

/// One run of the generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorSpec {
    /// What to send.
    pub load: Load,
    /// Port of ingest on 127.0.0.1.
    pub port: u16,
    /// The keys that requests carry, in turn; none in open mode.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The certificate of the authority to trust, as PEM; without it nothing is encrypted.
    #[serde(default)]
    pub authority: Option<String>,
    /// When the first request is due, Unix ms.
    pub start_at_ms: u64,
    /// How long to send before anything is measured.
    pub warmup_ms: u64,
    /// How long to send and measure.
    pub measured_ms: u64,
    /// How long to wait for the last answers.
    pub patience_ms: u64,
}

/// As the numbers of a [`GeneratorSpec`].
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Latencies in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Half are at most this.
    pub p50: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1,000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Quantiles {
    /// Those of a histogram of microseconds.
    #[must_use]
    pub fn of_us(histogram: &Histogram<u64>) -> Self {
        Self::of(histogram, 1_000.0)
    }

    /// Those of a histogram of milliseconds.
    #[must_use]
    pub fn of_ms(histogram: &Histogram<u64>) -> Self {
        Self::of(histogram, 1.0)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a latency has far fewer than 52 bits"
    )]
    fn of(histogram: &Histogram<u64>, units_per_ms: f64) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / units_per_ms;
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / units_per_ms,
        }
    }
}

/// What came of a run of the generator. Counts are of the whole run, latencies and CPU of its
/// measured part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Events in requests that were sent.
    pub sent: u64,
    /// Events acknowledged as accepted.
    pub accepted: u64,
    /// Events acknowledged as duplicates inside their request.
    pub duplicates: u64,
    /// Events rejected as invalid.
    pub rejected: u64,
    /// Events in requests answered as not accepted, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Events of which it is unknown whether they were stored: no answer, or "not confirmed".
    pub unconfirmed: u64,
    /// Events that were due and never sent.
    pub unsent: u64,
    /// Accepted events whose id had not been sent before; `None` with ids of the server.
    pub distinct: Option<u64>,
    /// Events accepted in the measured part, by the time of the answer.
    pub measured_accepted: u64,
    /// From the time a request was due to its whole answer.
    pub answer: Quantiles,
    /// From the time a request was due to the time it was sent.
    pub send_delay: Quantiles,
    /// CPU seconds, user and system.
    pub cpu_s: f64,
    /// Largest resident set, bytes.
    pub rss_bytes: u64,
}

impl LoadReport {
    /// Adds events that were accepted before this run of the generator.
    pub fn add(&mut self, events: u64) {
        self.sent += events;
        self.accepted += events;
        if let Some(distinct) = &mut self.distinct {
            *distinct += events;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_that_cannot_be_reconciled_are_refused() {
        assert_eq!(Load::open(1_000.0, 100).check(), Ok(()));
        assert_eq!(Load::closed(128).check(), Ok(()));
        let base = Load::open(1_000.0, 100);
        let bad = [
            Load {
                duplicates: 0.05,
                ..base.clone()
            },
            Load {
                ids: IdKind::V7,
                encoding: Encoding::Zstd,
                ..base.clone()
            },
            Load {
                format: Format::Object,
                ..base.clone()
            },
            Load {
                times: Times::Days(20),
                ..base.clone()
            },
            Load {
                spread: Spread::Zipf { users: 10 },
                shape: Shape::Flights,
                ..base.clone()
            },
            Load {
                pace: Pace::Open(0.0),
                ..base
            },
        ];
        for load in bad {
            assert!(load.check().is_err(), "{load:?}");
        }
    }
}
