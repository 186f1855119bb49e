//! A TCP proxy between a service and a server: late, silent, cut, or without the one answer that
//! matters.
//!
//! Nothing of it knows a protocol: what a request is recognised by is a [`Marker`].

mod marker;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::PATIENCE;
pub use marker::Marker;

const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks on their way in one direction; as a slow network does, it holds the sender back.
const CHUNKS: usize = 256;
/// A connection that lost an answer is cut when nothing more has come for this long: answers to
/// earlier requests come first, and the one that matters must have been given too.
const QUIET: Duration = Duration::from_millis(100);

/// What becomes of bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// Connections are taken and kept, and nothing goes through.
    Stalled,
    /// Connections are reset when they are made.
    Refused,
}

/// How late bytes are, in each direction: at least `least`, and up to `jitter` more.
#[derive(Debug, Clone, Copy, Default)]
struct Delay {
    least: Duration,
    jitter: Duration,
}

/// The answer to lose.
#[derive(Debug)]
struct Trap {
    marker: Marker,
    requests_left: u64,
}

#[derive(Debug)]
struct Wire {
    flow: watch::Sender<Flow>,
    cuts: watch::Sender<u64>,
    losses: watch::Sender<u64>,
    target: Mutex<SocketAddr>,
    delay: Mutex<Delay>,
    trap: Mutex<Option<Trap>>,
}

/// A running proxy; its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `target`.
    ///
    /// # Errors
    /// No port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            flow: watch::Sender::new(Flow::Open),
            cuts: watch::Sender::new(0),
            losses: watch::Sender::new(0),
            target: Mutex::new(target),
            delay: Mutex::default(),
            trap: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, wire.clone()));
        Ok(Self {
            address,
            wire,
            _accepting: accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes every byte late, in each direction: by `least`, and by up to `jitter` more.
    pub fn delay(&self, least: Duration, jitter: Duration) {
        *lock(&self.wire.delay) = Delay { least, jitter };
    }

    /// Lets connections stand and nothing through, until [`Self::flow`].
    pub fn stall(&self) {
        self.wire.flow.send_replace(Flow::Stalled);
    }

    /// Resets all connections, and new ones, until [`Self::flow`].
    pub fn refuse(&self) {
        self.wire.flow.send_replace(Flow::Refused);
        self.cut();
    }

    /// Lets everything through again.
    pub fn flow(&self) {
        self.wire.flow.send_replace(Flow::Open);
    }

    /// Leads to another server from now on, as an address that is moved after a fail-over.
    pub fn lead_to(&self, target: SocketAddr) {
        *lock(&self.wire.target) = target;
        self.cut();
    }

    /// Resets all connections once.
    pub fn cut(&self) {
        self.wire.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Loses the answer to the `nth` request from now on that `marker` recognises: the request
    /// goes through, its answer does not, and the connection is reset.
    pub fn lose_answer(&self, marker: Marker, nth: u64) {
        let requests_left = nth.max(1);
        *lock(&self.wire.trap) = Some(Trap {
            marker,
            requests_left,
        });
    }

    /// Answers lost so far.
    #[must_use]
    pub fn losses(&self) -> u64 {
        *self.wire.losses.borrow()
    }

    /// Waits until more than `before` answers are lost; the requests are done by then.
    ///
    /// # Errors
    /// None was, in time.
    pub async fn lost_more_than(&self, before: u64) -> Result<()> {
        let mut losses = self.wire.losses.subscribe();
        let lost = losses.wait_for(|losses| *losses > before);
        let lost = tokio::time::timeout(PATIENCE, lost).await;
        lost.context("no request met the marker")??;
        Ok(())
    }
}

async fn accept(listener: TcpListener, wire: Arc<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((client, _)) if *wire.flow.borrow() == Flow::Refused => reset(&client),
            Ok((client, _)) => {
                connections.spawn(carry(client, wire.clone()));
            }
            Err(_) => return,
        }
    }
}

/// Passes on one connection until either side ends it or it is cut.
async fn carry(mut client: TcpStream, wire: Arc<Wire>) {
    let mut cuts = wire.cuts.subscribe();
    let target = *lock(&wire.target);
    let Ok(mut server) = TcpStream::connect(target).await else {
        return reset(&client);
    };
    // Without it the proxy itself would be late.
    for stream in [&client, &server] {
        drop(stream.set_nodelay(true));
    }
    let is_caught = AtomicBool::new(false);
    let is_cut = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let requests = Pump {
            wire: &wire,
            catches: Some(&is_caught),
            loses: None,
        };
        let answers = Pump {
            wire: &wire,
            catches: None,
            loses: Some(&is_caught),
        };
        tokio::select! {
            () = requests.run(client_reads, server_writes) => false,
            () = answers.run(server_reads, client_writes) => is_caught.load(Ordering::SeqCst),
            _ = cuts.changed() => true,
        }
    };
    if is_cut {
        reset(&client);
        reset(&server);
    }
}

/// One direction of a connection.
struct Pump<'a> {
    wire: &'a Wire,
    /// Set when a request is seen whose answer is to be lost.
    catches: Option<&'a AtomicBool>,
    /// While set, what comes is lost.
    loses: Option<&'a AtomicBool>,
}

impl Pump<'_> {
    async fn run(&self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let reading = async {
            self.read(from, sender).await;
            // What has been read is still to be written.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = reading => {}
            () = self.write(chunks, to) => {}
        }
    }

    async fn read(
        &self,
        mut from: impl AsyncRead + Unpin,
        chunks: mpsc::Sender<(Instant, Vec<u8>)>,
    ) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let chunk = buffer.get(..read).unwrap_or_default();
            // One that has lost an answer, and is about to be reset, loses no other.
            if let Some(caught) = self.catches
                && !caught.load(Ordering::SeqCst)
                && self.wire.springs(chunk)
            {
                caught.store(true, Ordering::SeqCst);
            }
            let due = Instant::now() + self.wire.lateness();
            if chunks.send((due, chunk.to_vec())).await.is_err() {
                return;
            }
        }
    }

    async fn write(
        &self,
        mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut to: impl AsyncWrite + Unpin,
    ) {
        let mut flow = self.wire.flow.subscribe();
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            if flow.wait_for(|flow| *flow != Flow::Stalled).await.is_err() {
                return;
            }
            if self
                .loses
                .is_some_and(|caught| caught.load(Ordering::SeqCst))
            {
                self.wire.losses.send_modify(|losses| *losses += 1);
                while let Ok(Some(_)) = tokio::time::timeout(QUIET, chunks.recv()).await {}
                return;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    }
}

impl Wire {
    /// Whether this is the request whose answer is to be lost.
    fn springs(&self, chunk: &[u8]) -> bool {
        let mut slot = lock(&self.trap);
        let Some(trap) = slot.as_mut().filter(|trap| trap.marker.is_in(chunk)) else {
            return false;
        };
        trap.requests_left -= 1;
        let springs = trap.requests_left == 0;
        if springs {
            *slot = None;
        }
        springs
    }

    fn lateness(&self) -> Duration {
        let Delay { least, jitter } = *lock(&self.delay);
        least + jitter.mul_f64(rand::rng().random_range(0.0..=1.0))
    }
}

/// The other side sees its connection reset, not ended, when this one is dropped.
fn reset(stream: &TcpStream) {
    // A connection that is gone already needs none.
    drop(stream.set_zero_linger());
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
