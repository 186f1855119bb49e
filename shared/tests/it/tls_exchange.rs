//! A certificate that is renewed while it is shown.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::http::server::{Exchange, Listener};
use evp_shared::shutdown::Shutdown;
use evp_shared::tasks::TaskSet;
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::tls::Authority;
use evp_shared::testing::wait_for;
use evp_shared::tls::{Tls, TlsFiles};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http_server::{GET, GRACE, limits, read_until, start_as};

const OFTEN: Duration = Duration::from_millis(5);

/// Shakes hands and asks; whose certificate was shown.
async fn shown(address: SocketAddr, authority: &Authority) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = authority.connect(stream, &["http/1.1"]).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stream, "/ 0").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn metric(telemetry: &Telemetry, name: &str) -> f64 {
    let text = telemetry.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Waits until the files were looked at and found to be bad.
async fn refused(telemetry: &Telemetry) {
    let count = || metric(telemetry, "evp_tls_certificates_refused_total ");
    let before = count();
    wait_for("refused", || async { count() > before + 1.0 }).await;
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let telemetry = Telemetry::install().unwrap();
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(30).write(folder.path()).unwrap();
    let (server, shutdown, mut tasks) = exchanging(&files).await;
    let (address, authority) = (server.address, Arc::new(authority));
    let left = || metric(&telemetry, "evp_tls_certificate_days_left ");
    wait_for("days", || async { (29.9..30.1).contains(&left()) }).await;
    let first = shown(address, &authority).await;

    // A connection that was opened before, and clients that come all the time.
    let stream = TcpStream::connect(address).await.unwrap();
    let mut old = authority.connect(stream, &["http/1.1"]).await.unwrap();
    let clients = Arc::new(Clients::default());
    let asking = Arc::clone(&clients);
    tasks.spawn("clients", asking.ask(address, Arc::clone(&authority)));

    let renewed = authority.issue(60);
    renewed.write(folder.path()).unwrap();
    let is_another = || async { shown(address, &authority).await != first };
    wait_for("another certificate", is_another).await;
    wait_for("days", || async { (59.9..60.1).contains(&left()) }).await;
    let second = shown(address, &authority).await;
    old.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut old, "/ 0").await;

    let stranger = authority.issue(90);
    for (name, text) in [
        ("key.pem", stranger.key.as_str()),
        (
            "cert.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        ("cert.pem", ""),
        (
            "key.pem",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ),
    ] {
        write(folder.path(), name, text);
        refused(&telemetry).await;
        assert_eq!(shown(address, &authority).await, second, "{name}: {text}");
        renewed.write(folder.path()).unwrap();
    }
    // One that has ended, as of an old copy.
    authority.issue(0).write(folder.path()).unwrap();
    refused(&telemetry).await;
    // Between its two files it may have been refused for that.
    refused(&telemetry).await;
    assert_eq!(shown(address, &authority).await, second);
    std::fs::remove_file(&files.cert).unwrap();
    refused(&telemetry).await;
    assert_eq!(shown(address, &authority).await, second);
    stranger.write(folder.path()).unwrap();
    let is_third = || async { shown(address, &authority).await != second };
    wait_for("a third certificate", is_third).await;

    clients.is_over.store(true, Ordering::SeqCst);
    shutdown.trigger();
    tasks.join().await.unwrap();
    assert!(clients.asked.load(Ordering::SeqCst) > 1);
    assert_eq!(server.stop().await, 0);
}

/// Clients that come one after the other, each with a handshake of its own.
#[derive(Default)]
struct Clients {
    asked: AtomicU64,
    is_over: AtomicBool,
}

impl Clients {
    async fn ask(self: Arc<Self>, to: SocketAddr, trusted: Arc<Authority>) -> io::Result<()> {
        while !self.is_over.load(Ordering::SeqCst) {
            shown(to, &trusted).await;
            self.asked.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn exchanging(files: &TlsFiles) -> (crate::http_server::Server, Shutdown, TaskSet) {
    let pair = files.load().unwrap();
    let tls = Tls::new(&pair);
    let exchange = Exchange::new(files.clone(), pair, tls.clone(), Clock::system()).every(OFTEN);
    let (shutdown, mut tasks) = (Shutdown::new(), TaskSet::new());
    tasks.spawn("certificate", exchange.run(shutdown.clone()));
    let server = start_as(limits(), GRACE, |tcp| Listener::from(tcp).with_tls(tls)).await;
    (server, shutdown, tasks)
}

#[test]
fn a_bad_pair_says_what_is_wrong_and_nothing_of_the_key() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (good, other) = (authority.issue(1), authority.issue(1));
    let files = good.write(folder.path()).unwrap();
    files.load().unwrap();
    let middle = |text: &str| text.lines().nth(1).unwrap().to_owned();
    let secret = middle(&good.key);
    let no_end: String = good.key.lines().take(2).collect::<Vec<_>>().join("\n");
    let table = [
        ("cert.pem", "", "without a certificate"),
        ("cert.pem", good.key.as_str(), "without a certificate"),
        (
            "cert.pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "damaged",
        ),
        (
            "key.pem",
            good.cert.as_str(),
            "without a usable private key",
        ),
        ("key.pem", no_end.as_str(), "without a usable private key"),
        ("key.pem", other.key.as_str(), "another certificate"),
    ];
    for (name, text, said) in table {
        good.write(folder.path()).unwrap();
        write(folder.path(), name, text);
        let error = files.load().unwrap_err();
        let key = format!("server.tls.{}_file", name.trim_end_matches(".pem"));
        assert_eq!(error.key(), key, "{text}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error} {error:?}").contains(&secret), "{error}");
    }
    std::fs::remove_file(&files.key).unwrap();
    let error = files.load().unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
