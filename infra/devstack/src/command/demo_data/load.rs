use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};

use super::source::{self, Request};
use crate::error::chain;
use crate::{Error, Result, console};

const REQUESTS_IN_FLIGHT: usize = 4;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// With the longest wait, ten minutes: a person has given up by then.
const ATTEMPTS_MAX: u32 = 60;
const WAIT_DEFAULT: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(10);
const PROGRESS_EVENTS: u64 = 100_000;

/// What all requests came to.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) events: u64,
    pub(super) accepted: u64,
    pub(super) rejected: usize,
    pub(super) first_rejection: Option<String>,
}

/// The part of ingest's answer that matters here.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    #[serde(default)]
    #[serde(rename = "rejectedCount")]
    rejected_count: usize,
    rejected: Vec<serde_json::Value>,
}

/// Sends the whole file, a few requests at a time.
pub(super) async fn send(client: &Client, ingest: &str, archive: PathBuf) -> Result<Sent> {
    let (request_tx, mut request_rx) = mpsc::channel(REQUESTS_IN_FLIGHT);
    let reading = task::spawn_blocking(move || {
        source::requests(&archive, |request| {
            request_tx.blocking_send(request).is_ok()
        })
    });
    let url = format!("{ingest}/events?ids=none");
    let mut sent = Sent::default();
    let mut in_flight = JoinSet::new();
    while let Some(request) = request_rx.recv().await {
        if in_flight.len() == REQUESTS_IN_FLIGHT {
            sent.add(in_flight.join_next().await)?;
        }
        in_flight.spawn(send_one(client.clone(), url.clone(), request));
    }
    while !in_flight.is_empty() {
        sent.add(in_flight.join_next().await)?;
    }
    reading
        .await
        .map_err(|error| Error::DemoData(error.to_string()))??;
    Ok(sent)
}

type Ended = std::result::Result<Result<(u64, Answer)>, task::JoinError>;

impl Sent {
    fn add(&mut self, ended: Option<Ended>) -> Result<()> {
        let Some(ended) = ended else { return Ok(()) };
        let (events, answer) = ended.map_err(|error| Error::DemoData(error.to_string()))??;
        let before = self.events;
        self.events += events;
        self.accepted += answer.accepted;
        self.rejected += answer.rejected_count;
        if self.first_rejection.is_none() {
            self.first_rejection = answer.rejected.first().map(ToString::to_string);
        }
        if before / PROGRESS_EVENTS < self.events / PROGRESS_EVENTS {
            console::say("demo-data", &format!("{} events sent", self.events));
        }
        Ok(())
    }
}

/// Sends one request until it is answered for good. A repetition is harmless, as each event has
/// its own `eventId`.
async fn send_one(client: Client, url: String, request: Request) -> Result<(u64, Answer)> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS_MAX {
        let wait = match attempt(&client, &url, &request).await {
            Attempt::Answered(answer) => return Ok((request.events, answer)),
            Attempt::Refused(reason) => return Err(Error::DemoData(reason)),
            Attempt::Later { wait, reason } => {
                last = reason;
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
    Err(Error::DemoData(format!(
        "given up after {ATTEMPTS_MAX} attempts: {last}"
    )))
}

#[derive(Debug)]
enum Attempt {
    Answered(Answer),
    Refused(String),
    Later { wait: Duration, reason: String },
}

async fn attempt(client: &Client, url: &str, request: &Request) -> Attempt {
    let sending = client
        .post(url)
        .header(CONTENT_TYPE, "application/x-ndjson")
        .header(CONTENT_ENCODING, "gzip")
        .timeout(REQUEST_TIMEOUT)
        .body(request.body.clone());
    let later = |error: reqwest::Error| Attempt::Later {
        wait: WAIT_DEFAULT,
        reason: chain(&error),
    };
    let response = match sending.send().await {
        Ok(response) => response,
        Err(error) => return later(error),
    };
    let (status, wait) = (response.status(), wait_of(response.headers()));
    let text = match response.text().await {
        Ok(text) => text,
        Err(error) => return later(error),
    };
    match status {
        StatusCode::ACCEPTED => match serde_json::from_str(&text) {
            Ok(answer) => Attempt::Answered(answer),
            Err(error) => Attempt::Refused(format!("ingest answered {text}: {error}")),
        },
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Attempt::Later {
            wait,
            reason: format!("{status}: {text}"),
        },
        _ => Attempt::Refused(format!("ingest answered {status}: {text}")),
    }
}

/// The wait that `Retry-After` asks for, in seconds, within reason.
fn wait_of(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    seconds
        .map_or(WAIT_DEFAULT, Duration::from_secs)
        .clamp(WAIT_DEFAULT, WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one request after the other, each on a connection of its own.
    async fn answer(listener: &TcpListener, answers: &[(&str, &str)]) -> usize {
        for (number, (status, body)) in answers.iter().enumerate() {
            let Ok((mut stream, _)) = listener.accept().await else {
                return number;
            };
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\nbody") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
            }
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nretry-after: 0\r\nconnection: close\r\n");
            let answer = format!("{head}content-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        answers.len()
    }

    async fn send_to(answers: &[(&str, &str)]) -> (Result<(u64, Answer)>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let request = Request {
            events: 3,
            body: "body".into(),
        };
        let sending = send_one(crate::http::client().unwrap(), url, request);
        tokio::join!(sending, answer(&listener, answers))
    }

    #[tokio::test]
    async fn a_refused_request_is_sent_again_until_it_is_accepted() {
        let accepted = r#"{"accepted":3,"duplicates":0,"rejectedCount":0,"rejected":[]}"#;
        let refused = ("503 Service Unavailable", "{}");
        let (sent, requests) = send_to(&[refused, refused, ("202 Accepted", accepted)]).await;
        let (events, answer) = sent.unwrap();
        assert_eq!((events, answer.accepted, requests), (3, 3, 3));
    }

    #[tokio::test]
    async fn a_request_that_is_wrong_is_not_repeated() {
        let (sent, requests) = send_to(&[("413 Content Too Large", "too much")]).await;
        let error = sent.unwrap_err().to_string();
        assert!(
            error.contains("413") && error.contains("too much"),
            "{error}"
        );
        assert_eq!(requests, 1);
    }

    #[test]
    fn the_wait_is_what_the_server_asks_for_within_reason() {
        for (retry_after, wait) in [
            (None, WAIT_DEFAULT),
            (Some("0"), WAIT_DEFAULT),
            (Some("3"), Duration::from_secs(3)),
            (Some("3600"), WAIT_MAX),
            (Some("Wed, 21 Oct 2026 07:28:00 GMT"), WAIT_DEFAULT),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = retry_after {
                headers.insert(RETRY_AFTER, text.parse().unwrap());
            }
            assert_eq!(wait_of(&headers), wait, "{retry_after:?}");
        }
    }
}
