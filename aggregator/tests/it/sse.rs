//! A client of the live stream, and what it is sent.

use std::collections::VecDeque;

use evp_shared::clock::Clock;
use evp_shared::frame::{Frame, ProducerId};
use evp_shared::stream::{EntryId, FollowLimits, Life};
use evp_shared::testing::PATIENCE;
use evp_shared::testing::events::{TestEvent, frame_of};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::service::TestAggregator;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A client that reads what it is sent.
pub(crate) struct SseClient {
    response: Response,
    text: String,
    told: VecDeque<Told>,
    is_greeted: bool,
    /// The id a browser would come back with.
    pub(crate) last_id: Option<String>,
}

impl SseClient {
    pub(crate) async fn open(service: &TestAggregator, query: &str, last_id: Option<&str>) -> Self {
        let mut request = service.request(Method::GET, &format!("/stream{query}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        Self {
            last_id: last_id.map(str::to_owned),
            ..Self::send(request).await
        }
    }

    /// Opens the stream that `request` asks for.
    pub(crate) async fn send(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let mut client = Self {
            response,
            text: String::new(),
            told: VecDeque::new(),
            is_greeted: false,
            last_id: None,
        };
        // From here on nothing that is appended is missed.
        client.more().await;
        assert!(client.is_greeted);
        client
    }

    /// Reads on; `false` at the end.
    pub(crate) async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
        let Ok(Some(chunk)) = read.unwrap() else {
            return false;
        };
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            self.is_greeted |= block.starts_with("retry: 2000");
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
            };
            if let Some(data) = field("data: ") {
                let id = field("id: ");
                if id.is_some() {
                    self.last_id.clone_from(&id);
                }
                self.told.push_back(Told {
                    name: field("event: ").unwrap(),
                    id,
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
            self.text = rest.to_owned();
        }
        true
    }

    /// The next thing it is told that is no metrics; and what a browser would then come back with.
    pub(crate) async fn next(&mut self) -> Told {
        loop {
            while let Some(told) = self.told.pop_front() {
                if told.name != "metrics" {
                    return told;
                }
            }
            assert!(self.more().await, "the stream is over");
        }
    }

    /// The ids of the next `count` events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let told = self.next().await;
            assert_eq!(told.name, "event", "{told:?}");
            ids.push(told.data["eventId"].as_str().unwrap().to_owned());
        }
        ids
    }

    /// The next metrics.
    pub(crate) async fn metrics(&mut self) -> Told {
        loop {
            let at = self.told.iter().position(|told| told.name == "metrics");
            if let Some(told) = at.and_then(|at| self.told.remove(at)) {
                return told;
            }
            assert!(self.more().await, "the stream is over");
        }
    }

    /// The ids of the events that it was sent and did not look at yet.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told).into_iter();
        let events = told.filter(|told| told.name == "event");
        events
            .map(|told| told.data["eventId"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Goes away after its next event, the way a network does.
    pub(crate) async fn cut_after_one(mut self) -> (String, String) {
        let told = self.next().await;
        let id = told.id.unwrap();
        (told.data["eventId"].as_str().unwrap().to_owned(), id)
    }
}

impl TestAggregator {
    /// Appends a frame, as ingest does.
    pub(crate) async fn append(
        &self,
        partition: u16,
        number: u32,
        events: &[TestEvent],
    ) -> EntryId {
        let now_ms = Clock::system().now_ms();
        let frame = frame_of(ProducerId::new(partition, 9), number, now_ms, events);
        self.append_frame(partition, &frame).await
    }

    /// Appends a frame, perhaps once more: as ingest does when it had no answer.
    pub(crate) async fn append_frame(&self, partition: u16, frame: &Frame) -> EntryId {
        let stream = self.redis.stream(2);
        let hello = stream.hello(partition, Life::UNKNOWN, None).await.unwrap();
        stream
            .append(partition, hello.life, std::slice::from_ref(frame))
            .await
            .unwrap();
        let none = FollowLimits {
            entries: 0,
            bytes: 0,
        };
        stream
            .follow(partition, std::ops::Bound::Unbounded, none)
            .await
            .unwrap()
            .last
    }

    /// Greets both partitions, as the first service to come does.
    pub(crate) async fn greeted(self) -> Self {
        for partition in 0..2 {
            let stream = self.redis.stream(2);
            stream.hello(partition, Life::UNKNOWN, None).await.unwrap();
        }
        self
    }
}

/// `count` events of one type, called `prefix` and a number.
pub(crate) fn events(prefix: &str, count: usize) -> Vec<TestEvent> {
    let event = |n| TestEvent::new(format!("{prefix}{n}"), "click");
    (0..count).map(event).collect()
}

/// Their ids.
pub(crate) fn ids(events: &[TestEvent]) -> Vec<String> {
    events.iter().map(|event| event.event_id.clone()).collect()
}
