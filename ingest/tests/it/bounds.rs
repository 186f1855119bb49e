//! What requests may hold together: the memory of those that wait, are slow, or were answered.

use std::io::Write as _;
use std::time::Duration;

use evp_devstack::free_port;
use evp_shared::testing::{PATIENCE, TestRedis, wait_for};
use flate2::{Compression, GzBuilder};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{TestIngest, answer_of, own_redis};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn an_answer_lists_some_rejections_and_counts_all() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    let bad = format!(r#"{{"{}":1}}"#, r"\u0001".repeat(64));
    let answer = ingest
        .request("")
        .body(vec![bad.as_str(); 7_000].join("\n"));
    let answer = answer.send().await.unwrap();
    assert!(answer.content_length().unwrap() < 100 * 1024, "{answer:?}");
    let (status, body) = answer_of(answer).await;
    assert_eq!((status, &body["rejectedCount"]), (400, &json!(7_000)));
    assert_eq!(body["rejected"].as_array().unwrap().len(), 100);

    let body = format!("{}\n{{\"type\":\"a\"}}", vec!["7"; 150].join("\n"));
    let (status, body) = ingest.post(body).await;
    assert_eq!((status, &body["rejectedCount"]), (202, &json!(150)));
    assert_eq!(body["rejected"].as_array().unwrap().len(), 100);
    assert_eq!(body["ids"].as_array().unwrap().len(), 151);
    ingest.stop().await;
}

/// A request whose body lacks its last byte, on a connection of its own.
async fn unfinished(ingest: &TestIngest, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(&ingest.address).await.unwrap();
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        bytes + 1
    );
    let head = ingest.keyed(&head);
    // One that is refused may be closed while it sends.
    drop(
        stream
            .write_all(&[head.into_bytes(), vec![b' '; bytes]].concat())
            .await,
    );
    stream
}

/// The status of the answer to an unfinished request, once it comes; `None` where the connection
/// ends without one.
async fn status(mut stream: TcpStream) -> Option<String> {
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.ok()?;
    String::from_utf8_lossy(&start)
        .split(' ')
        .nth(1)
        .map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_stand_still_leave_room_for_others() {
    let redis = TestRedis::new().await;
    // Nothing else ends the slow ones.
    let toml = "[ingest.body]\nidle = \"5m\"\ntotal = \"10m\"";
    let ingest = TestIngest::ready(&redis, toml).await;
    let bytes = 39 * MIB / 10;
    let slow = join_all((0..16).map(|_| unfinished(&ingest, bytes))).await;
    // Half of what may be in flight is full with eight of them; from a quarter on, those that
    // stand still have to go: four are below it.
    let mut slow: FuturesUnordered<_> = slow.into_iter().map(status).collect();
    let ended = timeout(PATIENCE, slow.by_ref().take(12).collect::<Vec<_>>());
    let ended = ended.await.expect("all but four end");
    let of_status = |wanted| {
        let ended = ended.iter().flatten();
        ended.filter(|status| *status == wanted).count()
    };
    assert!(of_status("408") >= 3, "seven at least came in: {ended:?}");
    let large = format!("{}{{\"type\":\"a\"}}", " ".repeat(bytes));
    wait_for("four large requests at once are taken", || async {
        // One may be slow itself, or Redis; one that is refused may lose its connection.
        let posts = (0..4).map(|_| ingest.request("").body(large.clone()).send());
        let answers = join_all(posts).await;
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 202))
    })
    .await;
    ingest.order_shutdown();
}

/// An ingest of its own process, so that its memory can be told.
struct Process {
    child: Child,
    public: u16,
    admin: u16,
}

impl Process {
    async fn ready(redis: &TestRedis) -> Self {
        let (public, admin) = (free_port().unwrap(), free_port().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_evp-ingest"))
            .env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}"))
            .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
            .env("EVP__AUTH__MODE", "open")
            .env("EVP__REDIS__URL", redis.url())
            .env("EVP__REDIS__KEY_PREFIX", redis.keys().prefix())
            .env("EVP__INGEST__APPEND__DEADLINE", "60s")
            // A test that is slow itself ends no body.
            .env("EVP__INGEST__BODY__IDLE", "5m")
            .env("EVP__INGEST__BODY__TOTAL", "10m")
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let process = Self {
            child,
            public,
            admin,
        };
        process.until_ready().await;
        process
    }

    async fn until_ready(&self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin);
        wait_for("ready", || async {
            let answer = reqwest::get(&url).await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.public))
            .await
            .unwrap()
    }

    async fn send(&self, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        let head = format!(
            "POST /events HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    async fn metric(&self, name: &str) -> usize {
        let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", self.admin)).await;
        let metrics = metrics.unwrap().text().await.unwrap();
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    fn memory(&self, which: &str) -> usize {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(which))
            .unwrap();
        line.trim()
            .trim_end_matches(" kB")
            .parse::<usize>()
            .unwrap()
            * 1024
    }
}

#[tokio::test]
async fn a_compressed_body_is_let_go_once_it_is_decoded() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = Process::ready(&redis).await;
    // Much that inflates to nothing, and one event.
    let comment = GzBuilder::new().comment(vec![b'x'; 60_000]);
    let empty = comment
        .write(Vec::new(), Compression::fast())
        .finish()
        .unwrap();
    let mut event = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    event.write_all(br#"{"type":"a"}"#).unwrap();
    let body = [
        empty.repeat(4 * MIB / empty.len() - 1),
        event.finish().unwrap(),
    ]
    .concat();

    let before = ingest.resident_bytes();
    server.pause();
    let mut waiting = Vec::new();
    while waiting.len() < 40 {
        let client = ingest.send("content-encoding: gzip\r\n", &body).await;
        let is_answered = || async {
            let mut first = [0];
            let peeked = tokio::time::timeout(Duration::ZERO, client.peek(&mut first));
            peeked.await.is_ok()
        };
        wait_for("it is decoded, or refused", || async {
            let requests = ingest.metric("evp_ingest_in_flight_requests").await;
            let bytes = ingest.metric("evp_ingest_body_bytes_total").await;
            is_answered().await || (requests > waiting.len() && bytes > waiting.len() * body.len())
        })
        .await;
        // After some seconds Redis counts as gone.
        if is_answered().await {
            break;
        }
        waiting.push(client);
    }
    let held = ingest.resident_bytes().saturating_sub(before);
    let sent = waiting.len() * body.len();
    assert!(sent > 20 * MIB, "{} MiB", sent / MIB);
    assert!(
        held < sent / 2 + 8 * MIB,
        "{} of {} MiB",
        held / MIB,
        sent / MIB
    );
}

#[tokio::test]
async fn what_a_body_announces_costs_nothing_until_it_comes() {
    let redis = TestRedis::new().await;
    let ingest = Process::ready(&redis).await;
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        4 * MIB
    );
    let start = [head.into_bytes(), vec![b' '; 96 * 1024]].concat();
    let before = ingest.resident_bytes();
    let mut unfinished = Vec::new();
    while unfinished.len() < 128 {
        let mut client = ingest.connect().await;
        client.write_all(&start).await.unwrap();
        unfinished.push(client);
    }
    let in_flight = async || ingest.metric("evp_ingest_in_flight_requests").await;
    wait_for("all have begun", async || in_flight().await == 128).await;
    drop(unfinished);
    wait_for("all are read to their end", async || in_flight().await == 0).await;
    // With huge pages each byte of 2 MiB that nobody has touched would be there.
    let held = ingest.memory("VmHWM:").saturating_sub(before);
    assert!(held < 64 * MIB, "{} MiB for 12 MiB", held / MIB);
}

#[tokio::test]
async fn a_connection_keeps_nothing_of_its_largest_answer() {
    let redis = TestRedis::new().await;
    let ingest = Process::ready(&redis).await;
    // A duplicate costs no storage, and is listed with its id.
    let body = vec![r#"{"type":"a","eventId":"x"}"#; 10_000].join("\n");
    let mut idle = Vec::new();
    let mut before = 0;
    while idle.len() < 121 {
        let mut client = ingest.send("", body.as_bytes()).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0);
        }
        // The Redis that tests share may stand still for seconds, where the disk is busy.
        if answer.starts_with(b"HTTP/1.1 503") {
            ingest.until_ready().await;
            continue;
        }
        assert!(answer.len() > 390_000);
        if idle.is_empty() {
            before = ingest.resident_bytes();
        }
        idle.push(client);
    }
    // What the others were answered is 45 MiB.
    let held = ingest.resident_bytes().saturating_sub(before);
    assert!(held < 20 * MIB, "{} MiB", held / MIB);
}
