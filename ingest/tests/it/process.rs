//! The binary: exit codes and messages.

use std::process::{Output, Stdio};
use std::time::Duration;

use evp_devstack::{RedisOptions, RedisServer, free_port};
use evp_shared::access::record::TenantState;
use evp_shared::testing::tls::Authority;
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::KeysInterface as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{answer_of, code, list, own_redis};
use crate::told::Told;

const POST: &str = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n{\"type\":\"a\"}";
const LIVE: &str = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
const DAYS_LEFT: &str = "evp_tls_certificate_days_left";

const IN_FLIGHT: &str = "evp_ingest_in_flight_requests";
const CONNECTIONS: &str = r#"evp_http_open_connections{listener="public"}"#;
/// For an answer that is there at once.
const PATIENCE: Duration = Duration::from_secs(30);
const ACCEPTED: &str = r#"evp_ingest_events_total{outcome="accepted"}"#;

/// Room for clients below the limit of open files of [`limited`]; the rest ingest keeps.
const LIMIT: usize = 600;
const ROOM: usize = 300;

fn ingest() -> Command {
    on_free_ports(Command::new(env!("CARGO_BIN_EXE_evp-ingest")))
}

/// An ingest under a limit of open files: `-S` is the soft one alone, empty is the hard one too.
fn limited(which: &str) -> Command {
    let binary = env!("CARGO_BIN_EXE_evp-ingest");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {which} -n {LIMIT} && exec {binary}")]);
    on_free_ports(shell)
}

fn on_free_ports(mut command: Command) -> Command {
    command
        .env("EVP__SERVER__LISTEN", "127.0.0.1:0")
        .env("EVP__ADMIN__LISTEN", "127.0.0.1:0")
        .env("EVP__AUTH__MODE", "open")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What the process said, to the log and to whoever started it.
fn message(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// An ingest that runs, with its ports.
struct Running {
    child: Child,
    public: u16,
    admin: u16,
}

impl Running {
    fn start(redis: &TestRedis) -> Self {
        Self::start_as(ingest(), redis)
    }

    fn start_as(command: Command, redis: &TestRedis) -> Self {
        Self::start_at("127.0.0.1", command, redis)
    }

    fn start_at(host: &str, mut command: Command, redis: &TestRedis) -> Self {
        let (public, admin) = (free_port().unwrap(), free_port().unwrap());
        command
            .env("EVP__SERVER__LISTEN", format!("{host}:{public}"))
            .env("EVP__ADMIN__LISTEN", format!("{host}:{admin}"))
            .env("EVP__REDIS__URL", redis.url())
            .env("EVP__REDIS__KEY_PREFIX", redis.keys().prefix());
        let child = command.spawn().unwrap();
        Self {
            child,
            public,
            admin,
        }
    }

    fn events(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.public)
    }

    /// Sends a request over a connection of its own; gives that, and the status.
    async fn client(&self) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.public))
            .await
            .unwrap();
        let status = ask(&mut stream, LIVE).await;
        (stream, status)
    }

    /// Posts an event over a connection of its own, with TLS; the answer, and whose certificate was
    /// shown.
    async fn over_tls(&self, authority: &Authority, request: &str) -> Option<(String, Vec<u8>)> {
        let stream = TcpStream::connect(("127.0.0.1", self.public)).await.ok()?;
        let mut stream = authority.connect(stream, &["http/1.1"]).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
        Some((String::from_utf8_lossy(&answer[..read]).into_owned(), shown))
    }

    async fn terminate(&self) {
        let pid = self.child.id().expect("running").to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(status.unwrap().success());
    }

    /// What a metric stands at; 0 while there is none.
    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.admin("/metrics").await;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Waits until a metric stands at `value`.
    async fn reaches(&self, name: &str, value: f64) {
        let is_reached = || async { (self.metric(name).await - value).abs() < 0.5 };
        wait_for(name, is_reached).await;
    }

    async fn admin(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let answer = reqwest::get(url).await.unwrap();
        answer.text().await.unwrap()
    }

    /// Waits until an event is taken.
    async fn takes_events(&self) {
        let http = reqwest::Client::new();
        wait_for("taken", || async {
            let request = http.post(self.events()).body(r#"{"type":"a"}"#);
            request
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 202)
        })
        .await;
    }
}

/// The status of the answer to a request.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer);
    let read = timeout(PATIENCE, read).await.expect("an answer").unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    let status = answer.split_whitespace().nth(1);
    status.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn all_faults_of_the_configuration_are_told_at_once() {
    let mut command = ingest();
    command
        .env("EVP__INGEST__BODY__BYTES", "4")
        .env("EVP__INGEST__FRAME__CODEK", "lz4");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    let message = message(&output);
    assert!(message.contains("ingest.body.bytes"), "{message}");
    assert!(
        message.contains("did you mean ingest.frame.codec?"),
        "{message}"
    );
}

#[tokio::test]
async fn a_healthcheck_says_whether_the_service_beside_it_is_ready() {
    let redis = TestRedis::new().await;
    let running = Running::start(&redis);
    let asked = async || {
        let mut command = ingest();
        let listen = format!("0.0.0.0:{}", running.admin);
        command
            .arg("healthcheck")
            // As in a container; who reaches it there has to show more.
            .env("EVP__AUTH__MODE", "keys")
            .env("EVP__ADMIN__TOKEN", "0123456789abcdef")
            .env("EVP__ADMIN__LISTEN", listen);
        command.output().await.unwrap()
    };
    wait_for("it is ready", async || asked().await.status.success()).await;
    running.terminate().await;
    wait_for("it is gone", async || {
        asked().await.status.code() == Some(1)
    })
    .await;
}

#[tokio::test]
async fn the_version_names_the_commit_it_was_built_from() {
    let output = ingest().arg("--version").output().await.unwrap();
    let expected = format!("({})", evp_shared::version::COMMIT);
    assert!(message(&output).contains(&expected), "{output:?}");
}

#[tokio::test]
async fn taken_ports_are_told_with_their_keys() {
    let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [public, admin] = taken.each_ref().map(|held| held.local_addr().unwrap());
    let mut command = ingest();
    command
        .env("EVP__SERVER__LISTEN", public.to_string())
        .env("EVP__ADMIN__LISTEN", admin.to_string());
    let output = command.output().await.unwrap();
    let message = message(&output);
    assert_eq!(output.status.code(), Some(64), "{message}");
    for (key, address) in [("server.listen", public), ("admin.listen", admin)] {
        assert!(
            message.contains(&format!("{key} is {address}")),
            "{message}"
        );
    }
}

#[tokio::test]
async fn clients_beyond_the_file_descriptors_are_told_and_nothing_else_is_short() {
    let (mut server, redis) = own_redis("64mb").await;
    let ingest = Running::start_as(limited(""), &redis);
    ingest.takes_events().await;
    ingest.reaches(CONNECTIONS, 0.0).await;
    let mut clients = Vec::new();
    for number in 0..LIMIT {
        let (stream, status) = ingest.client().await;
        if number < ROOM {
            assert_eq!(status, "200", "client {number}");
            clients.push(stream);
        } else {
            assert_eq!(status, "503", "client {number}");
        }
    }
    // Each of these needs a descriptor: the way back to Redis, and to the admin port.
    server.kill().await;
    server.restart().await.unwrap();
    drop(clients.pop());
    ingest.takes_events().await;
    assert!(ingest.metric(CONNECTIONS).await > 0.5);
    ingest.terminate().await;
    let log = message(&ingest.child.wait_with_output().await.unwrap());
    assert!(log.contains("raise the hard limit of open files"), "{log}");
}

#[tokio::test]
async fn a_soft_limit_of_open_files_is_raised() {
    let redis = TestRedis::new().await;
    let ingest = Running::start_as(limited("-S"), &redis);
    ingest.takes_events().await;
    let mut clients = Vec::new();
    for number in 0..LIMIT {
        let (stream, status) = ingest.client().await;
        assert_eq!(status, "200", "client {number}");
        clients.push(stream);
    }
}

#[tokio::test]
async fn a_redis_that_promises_less_ends_it_with_64_and_the_fix() {
    let options = RedisOptions {
        appendfsync: "everysec",
        ..RedisOptions::default()
    };
    let server = RedisServer::start(options).await.expect("a redis-server");
    let redis = TestRedis::at(server.url()).await;
    let output = Running::start(&redis)
        .child
        .wait_with_output()
        .await
        .unwrap();
    let message = message(&output);
    assert_eq!(output.status.code(), Some(64), "{message}");
    assert!(
        message.contains("CONFIG SET appendfsync always"),
        "{message}"
    );
}

#[tokio::test]
async fn events_of_a_client_that_left_are_counted() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = Running::start(&redis);
    ingest.takes_events().await;
    let before = ingest.metric(ACCEPTED).await;
    assert!(before > 0.5, "{before}");
    server.pause();
    let post = reqwest::Client::new().post(ingest.events()).body(list(7));
    let mut client = JoinSet::new();
    client.spawn(post.send());
    ingest.reaches(IN_FLIGHT, 1.0).await;
    client.shutdown().await;
    server.resume();
    ingest.reaches(ACCEPTED, before + 7.0).await;
}

#[tokio::test]
async fn canaries_that_are_not_sent_are_told_of_once_until_they_are() {
    let (mut server, redis) = own_redis("64mb").await;
    let mut command = ingest();
    command.env("EVP__CANARY__INTERVAL", "1s");
    let mut ingest = Running::start_as(command, &redis);
    ingest.takes_events().await;
    server.kill().await;
    let log = ingest.child.stdout.take().unwrap();
    let mut log = BufReader::new(log).lines();
    let mut until = async |text: &str| {
        let mut lines = Vec::new();
        loop {
            let line = timeout(PATIENCE, log.next_line()).await.expect(text);
            lines.push(line.unwrap().expect(text));
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
        }
    };
    until("canaries are not sent").await;
    server.restart().await.unwrap();
    let lines = until("canaries are sent again").await;
    assert!(
        !lines.iter().any(|line| line.contains("are not sent")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn with_tls_a_renewed_certificate_is_shown_and_no_request_fails() {
    let (redis, authority) = (TestRedis::new().await, Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let files = authority.issue(30).write(folder.path()).unwrap();
    let mut command = ingest();
    command
        .env("EVP__SERVER__TLS__CERT_FILE", &files.cert)
        .env("EVP__SERVER__TLS__KEY_FILE", &files.key);
    let ingest = Running::start_as(command, &redis);
    let takes = || async {
        let answer = ingest.over_tls(&authority, POST).await;
        answer.is_some_and(|(answer, _)| answer.starts_with("HTTP/1.1 202 "))
    };
    wait_for("taken", takes).await;
    ingest.reaches(DAYS_LEFT, 30.0).await;
    // What does not wait for Redis, which may be slow itself.
    let ask = async || {
        let answer = ingest.over_tls(&authority, LIVE).await;
        let (answer, shown) = answer.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        shown
    };
    let first = ask().await;
    authority.issue(60).write(folder.path()).unwrap();
    wait_for("another certificate", async || ask().await != first).await;
    ingest.reaches(DAYS_LEFT, 60.0).await;
    wait_for("taken", takes).await;
}

/// On the binary: how long ago it learned who may come in is a gauge of the process.
#[tokio::test]
async fn a_revoked_key_is_refused_and_stays_so_when_redis_forgets() {
    const AGE: &str = "evp_ingest_access_age_seconds";
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let keys = [told.key("a", |_| ()), told.key("a", |_| ())];
    told.say(&redis).await;
    let mut command = ingest();
    command.env("EVP__AUTH__MODE", "keys");
    let ingest = Running::start_as(command, &redis);
    let http = reqwest::Client::new();
    let code_of = async |key: &str| {
        let request = http.post(ingest.events()).bearer_auth(key);
        let answer = request.body(r#"{"type":"a"}"#).send().await.ok()?;
        let (status, body) = answer_of(answer).await;
        Some((status, code(&body).to_owned()))
    };
    let is_taken = async |key: &str| code_of(key).await.is_some_and(|answer| answer.0 == 202);
    let is_refused = async || {
        code_of(&keys[0])
            .await
            .is_some_and(|answer| answer.1 == "key_revoked")
    };
    wait_for("it is taken", async || is_taken(&keys[0]).await).await;
    told.records.keys[0].revoked_ms = Some(2);
    told.say(&redis).await;
    wait_for("it is refused", is_refused).await;

    // An old version, then none: each look leaves what was learned as old as it is.
    told.records.keys[0].revoked_ms = None;
    told.version = 0;
    told.say(&redis).await;
    let is_older = async |than: f64| ingest.metric(AGE).await > than;
    wait_for("it has been looked at", async || is_older(1.0).await).await;
    assert!(is_refused().await);
    let _: u64 = redis.client().del(redis.keys().access()).await.unwrap();
    let age = ingest.metric(AGE).await;
    wait_for("it has been looked at", async || is_older(age + 1.0).await).await;
    assert!(is_refused().await);
    wait_for("the other is taken", async || is_taken(&keys[1]).await).await;
}

#[tokio::test]
async fn a_bad_certificate_ends_it_with_64_and_the_fix() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(1).write(folder.path()).unwrap();
    std::fs::write(&files.key, authority.issue(1).key).unwrap();
    let mut command = ingest();
    command
        .env("EVP__SERVER__TLS__CERT_FILE", &files.cert)
        .env("EVP__SERVER__TLS__KEY_FILE", &files.key)
        .env("EVP__INGEST__BODY__BYTES", "4");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    let message = message(&output);
    for told in [
        "server.tls.key_file names the key of another",
        "ingest.body.bytes",
    ] {
        assert!(message.contains(told), "{message}");
    }
}

#[tokio::test]
async fn what_others_can_reach_is_refused_with_the_fix() {
    let wide = ("EVP__SERVER__LISTEN", "0.0.0.0:0");
    let admin = ("EVP__ADMIN__LISTEN", "0.0.0.0:0");
    let table = [
        ("open", wide, "set auth.mode = \"keys\""),
        (
            "keys",
            wide,
            "set server.tls.cert_file and server.tls.key_file",
        ),
        ("open", admin, "set auth.mode = \"keys\""),
        ("keys", admin, "set admin.token"),
    ];
    for (mode, (name, address), fix) in table {
        let mut command = ingest();
        command.env("EVP__AUTH__MODE", mode).env(name, address);
        let output = command.output().await.unwrap();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(64), "{message}");
        assert!(message.contains(fix), "{mode} {name}: {message}");
    }
}

#[tokio::test]
async fn others_are_served_with_keys_tls_and_a_token() {
    let (redis, authority) = (TestRedis::new().await, Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let files = authority.issue(1).write(folder.path()).unwrap();
    let mut command = ingest();
    command
        .env("EVP__AUTH__MODE", "keys")
        .env("EVP__ADMIN__TOKEN", "0123456789abcdef")
        .env("EVP__SERVER__TLS__CERT_FILE", &files.cert)
        .env("EVP__SERVER__TLS__KEY_FILE", &files.key);
    let ingest = Running::start_at("0.0.0.0", command, &redis);
    let live = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let is_served = || async {
        let answer = ingest.over_tls(&authority, live).await;
        answer.is_some_and(|(answer, _)| {
            answer.starts_with("HTTP/1.1 200 ") && answer.contains("strict-transport-security: ")
        })
    };
    wait_for("served", is_served).await;
    let (answer, _) = ingest.over_tls(&authority, POST).await.unwrap();
    assert!(!answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let metrics = ingest.admin("/metrics").await;
    assert!(metrics.contains("admin_token"), "{metrics}");
}

#[tokio::test]
async fn sigterm_drains_and_exits_with_0() {
    let redis = TestRedis::new().await;
    let ingest = Running::start(&redis);
    ingest.takes_events().await;
    ingest.terminate().await;
    let output = ingest.child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", message(&output));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once_with_1() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = Running::start(&redis);
    ingest.takes_events().await;
    // A request that has no answer keeps the drain from ending.
    server.pause();
    let http = reqwest::Client::new();
    let post = http.post(ingest.events()).body(r#"{"type":"a"}"#).send();
    let end = async {
        ingest.reaches(IN_FLIGHT, 1.0).await;
        ingest.terminate().await;
        wait_for("draining", || async {
            ingest.admin("/readyz").await.contains("draining")
        })
        .await;
        ingest.terminate().await;
    };
    let (answer, ()) = tokio::join!(post, end);
    assert!(answer.is_err(), "the process was gone before the answer");
    let output = ingest.child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", message(&output));
}
