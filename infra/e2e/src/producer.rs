use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use evp_shared::access::token::Token;
use rand::RngExt as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Events, Journal, System};

/// Above ingest's own deadline for an append, so that the answer is ingest's.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Clients come back sooner than `Retry-After` asks, which makes more trouble, not less.
const RETRY_PAUSE_MS: RangeInclusive<u64> = 20..=120;
/// How long one request is repeated before the scenario has failed.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What clients send.
#[derive(Debug, Clone)]
pub struct Load {
    /// Distinct events.
    pub events: u32,
    /// Clients that send at once.
    pub clients: usize,
    /// Events of a request.
    pub batch: RangeInclusive<u32>,
}

/// Clients that send events until each is acknowledged, and keep a journal of it.
#[derive(Debug, Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    load: Load,
}

#[derive(Debug)]
struct Shared {
    events: Events,
    targets: Vec<String>,
    http: Client,
    next: AtomicU32,
    journal: Mutex<Journal>,
    acknowledged: watch::Sender<u64>,
    allowed: watch::Sender<u64>,
}

/// How far a [`Producer`] is, and how far it may go.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    acknowledged: watch::Receiver<u64>,
    events: u64,
    slack: u64,
}

/// What became of one request.
#[derive(Debug)]
pub enum Attempt {
    /// `202`.
    Accepted {
        /// Events stored in Redis.
        accepted: u64,
        /// Events that were in the request twice.
        duplicates: u64,
        /// One canonical id for each input event, null where it was rejected.
        ids: Vec<Option<Uuid>>,
    },
    /// `503` or `429`, a problem that says so in a code.
    Later {
        /// The stable code.
        code: String,
        /// `Retry-After`, seconds.
        retry_after: Option<u64>,
    },
    /// No answer.
    Lost(reqwest::Error),
    /// Anything else.
    Refused(StatusCode, String),
}

#[derive(Deserialize)]
struct Answer {
    accepted: u64,
    duplicates: u64,
    #[serde(default)]
    ids: Vec<Option<Uuid>>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    retryable: bool,
}

/// A client for services on this machine: a proxy set in the environment cannot reach them.
///
/// # Errors
/// The client cannot be made.
pub fn client() -> Result<Client> {
    Ok(builder().build()?)
}

/// The same, which shows `key` with every request.
///
/// # Errors
/// As for [`client`].
pub fn client_with(key: &Token) -> Result<Client> {
    let shown = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, shown)]);
    Ok(builder().default_headers(headers).build()?)
}

fn builder() -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
}

/// One POST of events.
#[derive(Debug)]
pub struct Post(RequestBuilder);

impl Post {
    /// A request to the ingest at `url`.
    #[must_use]
    pub fn json(http: &Client, url: &str, body: impl Into<reqwest::Body>) -> Self {
        Self::new(http, url, "application/json", body)
    }

    /// A request with a content type of its own.
    #[must_use]
    pub fn new(http: &Client, url: &str, kind: &str, body: impl Into<reqwest::Body>) -> Self {
        let request = http
            .post(format!("{url}/events"))
            .header(CONTENT_TYPE, kind);
        Self(request.timeout(REQUEST_TIMEOUT).body(body))
    }

    /// Says how the body is compressed.
    #[must_use]
    pub fn encoded(self, encoding: &str) -> Self {
        Self(self.0.header("content-encoding", encoding))
    }

    /// Sends these events once and notes that they were acknowledged.
    ///
    /// # Errors
    /// They were not.
    pub async fn acknowledged(self, journal: &mut Journal, numbers: Range<u32>) -> Result<()> {
        journal.sending(numbers.clone());
        match self.send().await? {
            Attempt::Accepted { ids, .. } => {
                let ids: Option<Vec<Uuid>> = ids.into_iter().collect();
                journal.acknowledged(numbers, &ids.context("an id is null")?)
            }
            other => bail!("{numbers:?} not acknowledged: {other:?}"),
        }
    }

    /// Sends it once.
    ///
    /// # Errors
    /// The answer is not in the form of the contract.
    pub async fn send(self) -> Result<Attempt> {
        let response = match self.0.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Lost(error)),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Ok(Attempt::Lost(error)),
        };
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match status {
            StatusCode::ACCEPTED => {
                let answer: Answer = serde_json::from_str(&text).context(text)?;
                Ok(Attempt::Accepted {
                    accepted: answer.accepted,
                    duplicates: answer.duplicates,
                    ids: answer.ids,
                })
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                ensure!(
                    header(CONTENT_TYPE.as_str()) == Some("application/problem+json"),
                    "{status} is no problem: {headers:?}"
                );
                let problem: Problem = serde_json::from_str(&text).context(text)?;
                ensure!(
                    problem.retryable,
                    "{status} may be tried again, and says it may not"
                );
                Ok(Attempt::Later {
                    code: problem.code,
                    retry_after: header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()),
                })
            }
            _ => Ok(Attempt::Refused(status, text)),
        }
    }
}

impl Producer {
    /// Clients of `system`'s ingests.
    #[must_use]
    pub fn new(system: &System, load: Load) -> Self {
        let shared = Shared {
            events: system.events.clone(),
            targets: system.ingest_urls(),
            http: system.http.clone(),
            next: AtomicU32::new(0),
            journal: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            allowed: watch::Sender::new(u64::MAX),
        };
        Self {
            shared: Arc::new(shared),
            load,
        }
    }

    /// Holds the clients back until the run's `faults` are made: they send as far as
    /// [`Progress::reached`] was asked for, and the rest after [`Progress::release`].
    #[must_use]
    pub fn held(&self, faults: u64) -> Progress {
        self.shared.allowed.send_replace(0);
        let events = u64::from(self.load.events);
        Progress {
            shared: self.shared.clone(),
            acknowledged: self.shared.acknowledged.subscribe(),
            events,
            // A fault asks for it two or three times, and must leave something for those after it.
            slack: (events / 20).min(events / faults.max(1) / 5),
        }
    }

    /// What the clients know.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.shared.journal().clone()
    }

    /// Sends everything, each request again with the same ids until it is acknowledged.
    ///
    /// # Errors
    /// A request was refused for good, was not acknowledged in two minutes, or was answered out
    /// of form.
    pub async fn run(&self) -> Result<()> {
        let mut clients = JoinSet::new();
        for client in 0..self.load.clients {
            clients.spawn(self.clone().client(client));
        }
        while let Some(ended) = clients.join_next().await {
            ended.context("a client panicked")??;
        }
        Ok(())
    }

    async fn client(self, index: usize) -> Result<()> {
        let shared = &*self.shared;
        let mut allowed = shared.allowed.subscribe();
        let mut target = index;
        loop {
            let size = rand::rng().random_range(self.load.batch.clone());
            let start = shared.next.fetch_add(size, Ordering::Relaxed);
            let end = start.saturating_add(size).min(self.load.events);
            if start >= end {
                return Ok(());
            }
            allowed
                .wait_for(|allowed| *allowed >= u64::from(start))
                .await?;
            shared
                .send_until_acknowledged(start..end, &mut target)
                .await?;
        }
    }
}

impl Shared {
    async fn send_until_acknowledged(&self, numbers: Range<u32>, target: &mut usize) -> Result<()> {
        let body = self.events.array(numbers.clone());
        let mut last = String::new();
        let sending = async {
            loop {
                let url = &self.targets[*target % self.targets.len()];
                self.journal().sending(numbers.clone());
                let attempt = Post::json(&self.http, url, body.clone()).send().await?;
                match attempt {
                    Attempt::Accepted {
                        accepted,
                        duplicates,
                        ids,
                    } => {
                        ensure!(
                            accepted == numbers.len() as u64 && duplicates == 0,
                            "{accepted} accepted and {duplicates} duplicates of {numbers:?}"
                        );
                        let ids: Option<Vec<Uuid>> = ids.into_iter().collect();
                        return self.acknowledge(numbers.clone(), &ids.context("an id is null")?);
                    }
                    Attempt::Later { code, .. } => last = code,
                    Attempt::Lost(error) => last = format!("{error:?}"),
                    Attempt::Refused(status, text) => bail!("{numbers:?}: {status} {text}"),
                }
                // The next one may be up.
                *target += 1;
                let pause = rand::rng().random_range(RETRY_PAUSE_MS);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        };
        match tokio::time::timeout(GIVE_UP, sending).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{numbers:?} not acknowledged within {GIVE_UP:?}: {last}"),
        }
    }

    fn acknowledge(&self, numbers: Range<u32>, ids: &[Uuid]) -> Result<()> {
        let count = numbers.len() as u64;
        self.journal().acknowledged(numbers, ids)?;
        self.acknowledged.send_modify(|sum| *sum += count);
        Ok(())
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Waits until `events` are acknowledged, and lets the clients go on a little further while
    /// a fault is made, but no more: a run must not be over before its faults are.
    ///
    /// # Errors
    /// They were not acknowledged in time, or are more than the clients send.
    pub async fn reached(&mut self, events: u64) -> Result<()> {
        self.allow(events + self.slack);
        let reaching = self.acknowledged.wait_for(|sum| *sum >= events);
        let reached = tokio::time::timeout(GIVE_UP, reaching).await;
        reached.with_context(|| format!("{events} events were never acknowledged"))??;
        Ok(())
    }

    /// Lets the clients go on a little, from where they are.
    pub fn keep_going(&self) {
        self.allow(self.acknowledged() + self.slack);
    }

    /// Lets each client send one request more, from where they are.
    pub fn step(&self) {
        self.allow(self.acknowledged() + 1);
    }

    /// Waits until `more` events are acknowledged from here on, or all there are.
    ///
    /// # Errors
    /// As for [`Self::reached`].
    pub async fn goes_on(&mut self, more: u64) -> Result<()> {
        let events = self.acknowledged() + more;
        self.reached(events.min(self.events)).await
    }

    /// Lets the clients send everything.
    pub fn release(&self) {
        self.allow(u64::MAX);
    }

    /// Events acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Never takes back what was allowed before.
    fn allow(&self, events: u64) {
        self.shared
            .allowed
            .send_modify(|allowed| *allowed = events.max(*allowed));
    }
}
