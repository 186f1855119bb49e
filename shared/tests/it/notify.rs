//! What systemd hears of a service, through a socket in its place.

use std::future::pending;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use evp_shared::config::{ProcessConfig, Source};
use evp_shared::service::{self, Launch, Left, RunFailure, Service, ServiceConfig};
use tempfile::TempDir;

/// Set for a process of this test binary that is to be the service.
const AS_SERVICE: &str = "EVP_TEST_AS_SERVICE";
/// A file: once it is there, the loop of the service hangs.
const HANGS: &str = "EVP_TEST_HANGS";
const WATCHDOG: Duration = Duration::from_millis(300);
/// Longer than a busy machine keeps a loop that works from beating.
const LOOP_AGE: Duration = Duration::from_secs(5);
const SOCKET: &str = "notify";
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Config(ProcessConfig);

impl ServiceConfig for Config {
    fn read(source: &mut Source) -> Self {
        Self(ProcessConfig::read(source, "127.0.0.1:0"))
    }

    fn process(&self) -> &ProcessConfig {
        &self.0
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot run")]
struct Never;

impl RunFailure for Never {
    fn is_for_operator(&self) -> bool {
        false
    }
}

/// A loop that beats until it is told to hang, in a service that stops when it is told.
async fn run(_: Config, service: Service<Config>) -> Result<Left, Never> {
    let beat = service.health.loop_beat("loop", LOOP_AGE);
    let order = PathBuf::from(std::env::var_os(HANGS).unwrap_or_default());
    let beats = async {
        while !order.exists() {
            beat.beat();
            tokio::time::sleep(WATCHDOG / 30).await;
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = beats => {},
        () = service.shutdown.triggered() => {},
    }
    Ok(Left::NOTHING)
}

/// Does nothing by itself; started by the test below, it is the service.
#[test]
fn as_a_service() {
    if std::env::var_os(AS_SERVICE).is_none() {
        return;
    }
    let launch = Launch {
        name: "evp-test",
        config_file: None,
        check_config: false,
    };
    assert_eq!(service::main(&launch, run), ExitCode::SUCCESS);
}

struct Manager {
    socket: UnixDatagram,
    child: Child,
    folder: TempDir,
}

impl Manager {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET);
        let socket = UnixDatagram::bind(&path).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "notify::as_a_service"])
            .env(AS_SERVICE, "1")
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .env("EVP__AUTH__MODE", "open")
            .env(HANGS, folder.path().join("hangs"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            socket,
            child,
            folder,
        }
    }

    /// Is gone until the service has noticed it, and then there again.
    fn restart(&mut self) {
        let path = self.folder.path().join(SOCKET);
        std::fs::remove_file(&path).unwrap();
        let log = BufReader::new(self.child.stdout.take().unwrap());
        let noticed = |line: &str| line.contains("the service manager cannot be told");
        assert!(log.lines().any(|line| noticed(&line.unwrap())));
        self.socket = UnixDatagram::bind(&path).unwrap();
    }

    /// The next message, if one comes in this time.
    fn heard(&self, within: Duration) -> Option<String> {
        let mut bytes = [0; 1024];
        self.socket.set_read_timeout(Some(within)).unwrap();
        match self.socket.recv(&mut bytes) {
            Ok(read) => Some(String::from_utf8_lossy(&bytes[..read]).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// All messages up to the one that has this line.
    fn until(&self, line: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let message = self
                .heard(PATIENCE)
                .unwrap_or_else(|| panic!("no {line} after {heard:?}"));
            let is_last = message.lines().any(|each| each == line);
            heard.push(message);
            if is_last {
                return heard;
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_watchdog_hears_of_a_service_until_a_loop_hangs() {
    let mut manager = Manager::start();
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
    std::fs::write(manager.folder.path().join("hangs"), "").unwrap();
    manager.until("STATUS=not ready: loop");
    // It looks three times as often.
    assert_eq!(manager.heard(2 * WATCHDOG), None);

    let pid = manager.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    manager.until("STOPPING=1");
    assert!(manager.child.wait().unwrap().success());
}

#[test]
fn a_manager_that_was_away_is_told_all_of_it_again() {
    let mut manager = Manager::start();
    manager.until("READY=1");
    manager.restart();
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
}
