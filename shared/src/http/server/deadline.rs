//! Deadlines of a connection: between its requests, and while its client takes nothing.
//!
//! hyper has one timer for both the idle time and the header, and allocates it anew for every
//! request. Here a request costs two atomic additions, and one timer per connection looks at them
//! a few times per deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::ServerLimits;
use super::addresses::Peer;
use super::unread::{Discards, Unread};

/// Looks per shortest deadline: each is exceeded by at most a quarter of it, the first header's by
/// nothing.
const LOOKS: u32 = 4;

/// What a connection has done, seen from outside of hyper.
#[derive(Debug, Default)]
pub(super) struct Activity {
    started: AtomicU64,
    finished: AtomicU64,
    header_begun: AtomicBool,
    /// Bytes of an answer wait, and the socket takes none.
    is_blocked: AtomicBool,
    /// How often it took some after that.
    unblocked: AtomicU64,
    /// The connection ends with the present answer, and the client may still be sending.
    is_last: AtomicBool,
    /// What the handler of the present request left of its body; HTTP/1 only.
    unread: Mutex<Option<Unread>>,
    /// Since when each answer of HTTP/2 waits for its client to take what it was given.
    owed: Mutex<Vec<Instant>>,
    pub(super) discards: Arc<Discards>,
    pub(super) is_tls: bool,
    pub(super) peer: Peer,
    /// Whether it has shown a valid credential, or is a proxy's, and may be idle for long.
    is_known: AtomicBool,
    /// Of HTTP/2 pings are no headers, and find out who is gone; what is left of a body is reset.
    pub(super) is_http2: bool,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spoken {
    pub(super) is_http2: bool,
    pub(super) is_tls: bool,
}

/// A request under way; it ends when it is dropped, with the last of its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    owed: Option<Instant>,
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wait {
    /// The deadline that it misses else.
    overdue: Overdue,
    /// Which such wait it is: one idle time, or one wait for the client, is not the next.
    number: u64,
    /// The connection has not made a request yet.
    is_first: bool,
    is_known: bool,
}

/// A deadline that was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request came.
    Idle,
    /// A header began and did not end.
    Header,
    /// The client took nothing of its answer.
    Answer,
}

impl Activity {
    pub(super) fn new(discards: &Arc<Discards>, spoken: Spoken, peer: Peer) -> Arc<Self> {
        Arc::new(Self {
            is_known: AtomicBool::new(peer.is_proxy()),
            peer,
            discards: Arc::clone(discards),
            is_http2: spoken.is_http2,
            is_tls: spoken.is_tls,
            ..Self::default()
        })
    }

    /// Notes that it has shown a valid credential.
    pub(super) fn note_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// Notes a request, whose header is therefore complete.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.header_begun.store(false, Ordering::Relaxed);
        InFlight {
            activity: Arc::clone(self),
            owed: None,
        }
    }

    pub(super) fn leave(&self, unread: Unread) {
        *self.unread.lock() = Some(unread);
    }

    pub(super) fn take_unread(&self) -> Option<Unread> {
        self.unread.lock().take()
    }

    /// Notes that the connection ends with the present answer, whatever the client still sends.
    pub(super) fn note_last(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Notes that bytes came: between requests, they begin a header.
    pub(super) fn note_bytes(&self) {
        if !self.is_http2 && self.is_idle() {
            self.header_begun.store(true, Ordering::Relaxed);
        }
    }

    /// Notes whether the socket took bytes of an answer, or is full.
    pub(super) fn note_write(&self, is_taken: bool) {
        if self.is_http2 {
            return;
        }
        if !is_taken {
            self.is_blocked.store(true, Ordering::Relaxed);
        } else if self.is_blocked.load(Ordering::Relaxed) {
            self.is_blocked.store(false, Ordering::Relaxed);
            self.unblocked.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn owes_longer_than(&self, limit: Duration) -> bool {
        let owed = self.owed.lock();
        owed.iter().any(|since| since.elapsed() >= limit)
    }

    fn is_idle(&self) -> bool {
        self.finished() == self.started()
    }

    fn awaited(&self) -> Option<Wait> {
        let requests = self.started();
        let overdue = if self.is_blocked.load(Ordering::Relaxed) {
            return Some(Wait {
                overdue: Overdue::Answer,
                number: self.unblocked.load(Ordering::Relaxed),
                is_first: false,
                is_known: true,
            });
        } else if !self.is_idle() || self.is_last() {
            return None;
        } else if self.header_begun.load(Ordering::Relaxed) {
            Overdue::Header
        } else {
            Overdue::Idle
        };
        Some(Wait {
            overdue,
            number: requests,
            is_first: requests == 0,
            is_known: self.is_known.load(Ordering::Relaxed),
        })
    }
}

impl InFlight {
    /// Notes that hyper has a part of the answer of HTTP/2 that waits for the client.
    pub(super) fn owe(&mut self) {
        if !self.activity.is_http2 {
            return;
        }
        let now = Instant::now();
        self.activity.owed.lock().push(now);
        self.owed = Some(now);
    }

    /// Notes that hyper has none any more.
    pub(super) fn settle(&mut self) {
        if let Some(since) = self.owed.take() {
            let mut owed = self.activity.owed.lock();
            if let Some(at) = owed.iter().position(|one| *one == since) {
                owed.swap_remove(at);
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.settle();
        self.activity.finished.fetch_add(1, Ordering::Relaxed);
    }
}

impl ServerLimits {
    /// Returns when the connection, which was opened at `opened`, has missed a deadline.
    ///
    /// # Cancel safety
    /// Not safe: begun again, the present wait counts from then on.
    pub(super) async fn missed(self, activity: &Activity, opened: Instant) -> Overdue {
        let shortest = self.first().min(self.write_idle).min(self.stranger_idle);
        let look_every = (shortest / LOOKS).max(Duration::from_millis(1));
        let mut seen = activity.awaited();
        let mut lasted = Duration::ZERO;
        loop {
            let mut look = Instant::now() + look_every;
            if seen.is_some_and(|wait| wait.is_first) {
                look = look.min(opened + self.first());
            }
            sleep_until(look).await;
            let awaited = activity.awaited();
            lasted = match awaited {
                Some(wait) if wait.is_first => opened.elapsed(),
                same if same == seen => lasted + look_every,
                _ => Duration::ZERO,
            };
            seen = awaited;
            if activity.owes_longer_than(self.write_idle) {
                return Overdue::Answer;
            }
            if let Some(wait) = awaited.filter(|wait| lasted >= self.longest(*wait)) {
                return wait.overdue;
            }
        }
    }

    /// From the opening of a connection to the end of its first header: whoever connects has
    /// something to say.
    pub(super) fn first(self) -> Duration {
        self.header_timeout.min(self.keep_alive_idle)
    }

    fn longest(self, wait: Wait) -> Duration {
        match wait.overdue {
            _ if wait.is_first => self.first(),
            Overdue::Answer => self.write_idle,
            Overdue::Header => self.header_timeout,
            Overdue::Idle if wait.is_known => self.keep_alive_idle,
            Overdue::Idle => self.stranger_idle.min(self.keep_alive_idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ServerLimits = ServerLimits {
        header_timeout: Duration::from_secs(4),
        keep_alive_idle: Duration::from_secs(20),
        stranger_idle: Duration::from_secs(6),
        write_idle: Duration::from_secs(8),
        ..ServerLimits::named("test")
    };

    /// Seconds until a deadline is missed, with `change` made to the connection after the first.
    async fn missed_after(activity: Arc<Activity>, change: impl FnOnce()) -> (Overdue, u64) {
        let start = Instant::now();
        let mut missed = std::pin::pin!(LIMITS.missed(&activity, start));
        let early = tokio::time::timeout(Duration::from_millis(1_500), missed.as_mut()).await;
        assert!(early.is_err());
        change();
        let overdue = missed.await;
        (overdue, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_deadline() {
        let fresh = Arc::new(Activity::default());
        assert_eq!(
            missed_after(Arc::clone(&fresh), || ()).await,
            (Overdue::Idle, 4)
        );

        let sending = Arc::new(Activity::default());
        sending.note_bytes();
        assert_eq!(
            missed_after(Arc::clone(&sending), || ()).await,
            (Overdue::Header, 4)
        );

        let stranger = Arc::new(Activity::default());
        drop(stranger.begin());
        assert_eq!(
            missed_after(Arc::clone(&stranger), || ()).await,
            (Overdue::Idle, 6)
        );

        let waiting = Arc::new(Activity::default());
        waiting.note_known();
        drop(waiting.begin());
        assert_eq!(
            missed_after(Arc::clone(&waiting), || ()).await,
            (Overdue::Idle, 20)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_header_is_due_from_the_opening_on_however_it_comes() {
        let late = Arc::new(Activity::default());
        let other = Arc::clone(&late);
        let begins = move || other.note_bytes();
        assert_eq!(missed_after(late, begins).await, (Overdue::Header, 4));

        let opened = Instant::now();
        tokio::time::advance(LIMITS.header_timeout / 2).await;
        let overdue = LIMITS.missed(&Activity::default(), opened).await;
        assert_eq!(
            (overdue, opened.elapsed()),
            (Overdue::Idle, LIMITS.header_timeout)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn another_request_starts_the_idle_time_again() {
        let activity = Arc::new(Activity::default());
        activity.note_known();
        drop(activity.begin());
        let other = Arc::clone(&activity);
        let (overdue, seconds) = missed_after(activity, move || drop(other.begin())).await;
        assert_eq!((overdue, seconds), (Overdue::Idle, 22));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_its_answer_is_overdue_and_a_slow_one_is_not() {
        let activity = Arc::new(Activity::default());
        let _in_flight = activity.begin();
        activity.note_write(true);
        activity.note_write(false);
        let slow = async {
            for _ in 0..100 {
                tokio::time::sleep(LIMITS.write_idle / 2).await;
                activity.note_write(true);
                activity.note_write(false);
            }
        };
        let mut missed = std::pin::pin!(LIMITS.missed(&activity, Instant::now()));
        tokio::select! {
            () = slow => {}
            overdue = missed.as_mut() => panic!("{overdue:?}"),
        }
        assert_eq!(missed.await, Overdue::Answer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_has_no_deadline_here() {
        let activity = Arc::new(Activity::default());
        activity.note_bytes();
        let in_flight = activity.begin();
        activity.note_bytes();
        let hour = Duration::from_secs(3_600);
        assert!(
            tokio::time::timeout(hour, LIMITS.missed(&activity, Instant::now()))
                .await
                .is_err()
        );
        drop(in_flight);
        assert_eq!(
            LIMITS.missed(&activity, Instant::now()).await,
            Overdue::Idle
        );
    }
}
