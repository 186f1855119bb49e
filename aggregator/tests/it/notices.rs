//! What people are told by itself.

use std::sync::Arc;
use std::time::Duration;

use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::clock::Clock;
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::{ConfigInterface as _, HashesInterface as _};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::service::{OPEN, TestAggregator, prepared};
use crate::sign_in::smtp::SmtpServer;

/// More than it takes until a notice is told.
const LONG: Duration = Duration::from_secs(61);

/// Takes what is posted, and keeps it.
struct Receiver {
    posted: Arc<Mutex<Vec<Value>>>,
    url: String,
    _running: JoinSet<()>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        let mut running = JoinSet::new();
        running.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                let text = String::from_utf8(request).unwrap();
                let (_, body) = text.split_once("\r\n\r\n").unwrap();
                kept.lock().push(serde_json::from_str(body).unwrap());
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
            }
        });
        Self {
            posted,
            url,
            _running: running,
        }
    }

    /// Source and state of each.
    fn told(&self) -> Vec<(String, String)> {
        let posted = self.posted.lock();
        let text = |notice: &Value, name: &str| notice[name].as_str().unwrap().to_owned();
        let told = posted.iter();
        told.map(|one| (text(one, "source"), text(one, "state")))
            .collect()
    }

    async fn tells(&self, expected: &[(&str, &str)]) {
        wait_for("the notices", || async {
            self.told().len() >= expected.len()
        })
        .await;
        let told = self.told();
        let told: Vec<_> = told.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(told, expected);
    }

    fn config(&self) -> String {
        let url = &self.url;
        format!("{OPEN}[notices]\nwebhook_url = {url:?}\nwebhook_format = \"json\"\n")
    }
}

/// A Redis whose memory limit the test may set.
struct Memory {
    server: RedisServer,
    control: TestRedis,
}

impl Memory {
    async fn start() -> Self {
        let server = RedisServer::start(RedisOptions::default()).await.unwrap();
        let control = TestRedis::at(server.url()).await;
        Self { server, control }
    }

    async fn limit(&self, bytes: u64) {
        let set = self.control.client().config_set("maxmemory", bytes);
        let _: () = set.await.unwrap();
    }

    /// Leaves it next to nothing: what its clients take comes and goes.
    async fn shorten(&self) {
        let memory = evp_shared::redis::Memory::ask(self.control.client()).await;
        self.limit(memory.unwrap().used).await;
    }

    /// Waits until who tells has looked twice: once at least since this was asked.
    async fn looked(&self, keys: &evp_shared::keys::Keys) {
        let until = || async {
            let until: Option<String> = self
                .control
                .client()
                .hget(keys.notices(), "until")
                .await
                .unwrap();
            until
        };
        for _ in 0..2 {
            let before = until().await;
            wait_for("a look", || async { until().await != before }).await;
        }
    }
}

#[tokio::test]
async fn a_notice_is_told_once_on_every_channel_and_once_when_it_is_over() {
    let (memory, receiver, mail) = (
        Memory::start().await,
        Receiver::start().await,
        SmtpServer::start().await,
    );
    let clock = Clock::manual(1_900_000_000_000);
    let config = format!(
        "{}mail_to = \"a@h.example, b@h.example\"\n[mail]\nsmtp_url = {:?}\nfrom = \"evp@h.example\"",
        receiver.config(),
        mail.url()
    );
    let redis = TestRedis::at(memory.server.url()).await;
    let service = TestAggregator::start_at(redis, prepared().await, &config, &clock).await;
    let keys = service.redis.keys().clone();
    memory.looked(&keys).await;
    memory.shorten().await;
    memory.looked(&keys).await;
    assert_eq!(receiver.told(), []);
    clock.advance(LONG);
    receiver.tells(&[("redis_memory", "begun")]).await;
    clock.advance(LONG);
    memory.looked(&keys).await;
    memory.limit(0).await;
    let all = [("redis_memory", "begun"), ("redis_memory", "over")];
    receiver.tells(&all).await;
    wait_for("the mails", || async { mail.mails().len() >= 2 }).await;
    let mails = mail.mails();
    assert_eq!(mails.len(), 2);
    for (mail, posted) in mails.iter().zip(receiver.posted.lock().iter()) {
        let text = posted["text"].as_str().unwrap();
        let unfolded = mail.text.replace("\r\n ", " ");
        assert!(
            unfolded.contains(&format!("Subject: {text}\r\n")),
            "{mail:?}"
        );
        assert!(mail.text.contains("docs/runbooks, EvpRedisMemory"));
        assert_eq!(mail.to.len(), 2, "{mail:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn whoever_a_changed_configuration_names_is_told_from_then_on() {
    let memory = Memory::start().await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(1_900_000_000_000);
    let redis = TestRedis::at(memory.server.url()).await;
    let service = TestAggregator::start_at(redis, prepared().await, OPEN, &clock).await;
    let keys = service.redis.keys().clone();
    // It runs.
    memory.looked(&keys).await;
    service.reload(&first.config());
    memory.shorten().await;
    memory.looked(&keys).await;
    clock.advance(LONG);
    first.tells(&[("redis_memory", "begun")]).await;
    service.reload(&second.config());
    clock.advance(LONG);
    memory.looked(&keys).await;
    memory.limit(0).await;
    second.tells(&[("redis_memory", "over")]).await;
    assert_eq!(first.told().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn of_two_aggregators_one_tells_and_the_other_goes_on_from_there() {
    let (memory, receiver) = (Memory::start().await, Receiver::start().await);
    let clock = Clock::manual(1_900_000_000_000);
    let config = receiver.config();
    // The keys end with the second one.
    let redis = TestRedis::at(memory.server.url()).await;
    let keys = redis.keys().clone();
    let prefix = [("EVP__REDIS__KEY_PREFIX", keys.prefix())];
    let others = (TestRedis::at(memory.server.url()).await, prepared().await);
    let first = TestAggregator::begin(others, &config, &prefix, &clock).await;
    memory.looked(&keys).await;
    let second = TestAggregator::start_at(redis, prepared().await, &config, &clock).await;
    let second = second.ready().await;
    memory.shorten().await;
    memory.looked(&keys).await;
    clock.advance(LONG);
    let all = [("redis_memory", "begun"), ("redis_memory", "over")];
    receiver.tells(&all[..1]).await;
    first.stop().await;
    clock.advance(LONG);
    // Whose lease ends.
    memory.looked(&keys).await;
    receiver.tells(&all[..1]).await;
    memory.limit(0).await;
    receiver.tells(&all).await;
    second.stop().await;
}
