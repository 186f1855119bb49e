use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::readiness::await_ready;
use crate::{Output, Result, ScratchDir, Service, ServiceSpec, find, port};

/// Loading a large append-only file takes about a second per 500 MB.
const READY_WITHIN: Duration = Duration::from_secs(60);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Another process may take a free port between finding and binding it.
const PORT_ATTEMPTS: usize = 5;

/// How to run a `redis-server`.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Port on 127.0.0.1; `None` takes a free one.
    pub port: Option<u16>,
    /// Data directory, created if missing; `None` uses a temporary one, removed on drop.
    pub dir: Option<PathBuf>,
    /// Keep an append-only file.
    pub appendonly: bool,
    /// `always`, `everysec` or `no`: what an answered write survives.
    pub appendfsync: &'static str,
    /// Memory limit, in Redis' notation; writes beyond it are refused (`noeviction`).
    pub maxmemory: String,
    /// More options, as on the command line of `redis-server`; they override the ones above.
    pub extra: Vec<String>,
}

impl Default for RedisOptions {
    /// An answered write is on disk, nothing is evicted, 1 GiB.
    fn default() -> Self {
        Self {
            port: None,
            dir: None,
            appendonly: true,
            appendfsync: "always",
            maxmemory: "1gb".to_owned(),
            extra: Vec::new(),
        }
    }
}

impl RedisOptions {
    /// Describes the process; the log is `redis.log` in `dir`.
    pub(crate) fn spec(&self, binary: &Path, port: u16, dir: &Path) -> ServiceSpec {
        let appendonly = if self.appendonly { "yes" } else { "no" };
        let port = port.to_string();
        let data = dir.display().to_string();
        ServiceSpec::new("redis", binary)
            .options(["--bind", "127.0.0.1", "--port", &port, "--dir", &data])
            .options([
                "--appendonly",
                appendonly,
                "--appendfsync",
                self.appendfsync,
                "--save",
                "",
            ])
            .options([
                "--maxmemory",
                &self.maxmemory,
                "--maxmemory-policy",
                "noeviction",
            ])
            // Both as in infra/redis/redis.conf, for the same reasons.
            .options(["--rdbcompression", "no"])
            .options(["--auto-aof-rewrite-min-size", "512mb"])
            .options(["--daemonize", "no"])
            .options(self.extra.iter().cloned())
            .output(Output::File(dir.join("redis.log")))
    }
}

/// A running `redis-server`; killed when dropped, and when we end in any way.
#[derive(Debug)]
pub struct RedisServer {
    service: Service,
    port: u16,
    dir: PathBuf,
    _scratch: Option<ScratchDir>,
}

impl RedisServer {
    /// Finds `redis-server`, starts it and waits until it answers PING.
    ///
    /// # Errors
    /// Those of [`find::redis_server`]; [`PortTaken`]; [`Exited`] and [`NotReady`] with the last
    /// lines of its log.
    ///
    /// [`PortTaken`]: crate::Error::PortTaken
    /// [`Exited`]: crate::Error::Exited
    /// [`NotReady`]: crate::Error::NotReady
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let binary = find::redis_server().await?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&binary, &options).await {
                Err(error)
                    if error.is_port_race()
                        && options.port.is_none()
                        && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn start_once(binary: &Path, options: &RedisOptions) -> Result<Self> {
        let port = port::choose("redis", options.port)?;
        let (dir, scratch) = ScratchDir::or_given(options.dir.as_deref())?;
        let service = Service::start(options.spec(binary, port, &dir))?;
        let mut server = Self {
            service,
            port,
            dir,
            _scratch: scratch,
        };
        server.await_ready().await?;
        Ok(server)
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id; `None` when it is known to have ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.service.pid()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) {
        self.service.kill().await;
    }

    /// Starts it again on the same port and directory, killing it first if it runs.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.service.restart().await?;
        self.await_ready().await
    }

    /// Whether it has ended by itself, or does within seconds.
    pub async fn has_ended(&mut self) -> bool {
        let ended = tokio::time::timeout(STOP_GRACE, self.service.wait());
        ended.await.is_ok()
    }

    /// Stops it where it is (SIGSTOP): connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.service.pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.service.resume();
    }

    /// Ends it in an orderly way (SIGTERM).
    pub async fn stop(&mut self) {
        self.service.term(STOP_GRACE).await;
    }

    async fn await_ready(&mut self) -> Result<()> {
        let port = self.port;
        await_ready(&mut self.service, READY_WITHIN, async || {
            answers_ping(port).await
        })
        .await
    }
}

/// Tells whether a Redis answers PING there; one that is still loading does not yet. One that asks
/// who we are does.
pub(crate) async fn answers_ping(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(PROBE_TIMEOUT, ask).await;
    matches!(answer, Ok(Ok(answer)) if [*b"+PONG\r\n", *b"-NOAUTH"].contains(&answer))
}
