//! Hot path: which request is due when, and who sends it.
//!
//! An open loop has requests that fall due whether answers come or not. Connections that are free
//! take them in order; when none is free they wait, and their latency grows.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Shortest time between two looks at what is due: requests that fall due within it are sent
/// together, and their latency counts from when each was due.
const TICK_MIN: Duration = Duration::from_micros(250);

/// Hands out requests by their number.
#[derive(Debug, Clone)]
pub struct Pacer(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    /// Requests that have fallen due.
    due: u64,
    /// Requests that were handed out.
    taken: u64,
    /// No more fall due.
    is_over: bool,
    idle: VecDeque<Waker>,
}

/// When the requests of an open loop fall due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first one does.
    pub start: Instant,
    /// Between one and the next.
    pub interval: Duration,
    /// How many there are.
    pub requests: u64,
}

impl Schedule {
    /// When request `number` falls due.
    #[must_use]
    pub fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_nanos(self.nanos().saturating_mul(number))
    }

    fn due_by(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.start) else {
            return 0;
        };
        let elapsed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        (elapsed / self.nanos() + 1).min(self.requests)
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(State {
            due: 0,
            taken: 0,
            is_over: false,
            idle: VecDeque::new(),
        })))
    }
}

impl Pacer {
    /// Waits for a request that is due, and takes it; `None` when there are no more.
    pub async fn next(&self) -> Option<u64> {
        std::future::poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if state.taken < state.due {
                state.taken += 1;
                return Poll::Ready(Some(state.taken - 1));
            }
            if state.is_over {
                return Poll::Ready(None);
            }
            state.idle.push_back(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// How many requests fell due and were not taken.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let state = self.0.borrow();
        state.due - state.taken
    }

    /// Lets requests fall due as `schedule` says.
    ///
    /// # Errors
    /// The kernel has no timer.
    pub async fn run(&self, schedule: Schedule, clock: &Clock) -> io::Result<()> {
        let timer = timer(schedule, clock.now())?;
        while self.advance(schedule.due_by(clock.now())) < schedule.requests {
            timer
                .async_io(tokio::io::Interest::READABLE, |timer| {
                    let mut expirations = [0; 8];
                    Ok(rustix::io::read(timer, &mut expirations)?)
                })
                .await?;
        }
        self.finish();
        Ok(())
    }

    /// Ends the load: nothing more is handed out.
    pub fn finish(&self) {
        let mut state = self.0.borrow_mut();
        state.is_over = true;
        state.idle.drain(..).for_each(Waker::wake);
    }

    fn advance(&self, due: u64) -> u64 {
        let mut state = self.0.borrow_mut();
        state.due = due;
        let wanted = usize::try_from(due - state.taken).unwrap_or(usize::MAX);
        let woken = wanted.min(state.idle.len());
        state.idle.drain(..woken).for_each(Waker::wake);
        due
    }
}

/// A timer of the kernel, exact to some ten microseconds; tokio's own is exact to 1 ms.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe to call; an OwnedFd keeps its descriptor open"
)]
fn timer(schedule: Schedule, now: Instant) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let first = schedule.start.saturating_duration_since(now);
    let times = Itimerspec {
        // A value of zero would switch the timer off.
        it_value: timespec(first.max(Duration::from_nanos(1))),
        it_interval: timespec(schedule.interval.max(TICK_MIN)),
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
    AsyncFd::new(timer)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(start: Instant) -> Schedule {
        Schedule {
            start,
            interval: Duration::from_micros(100),
            requests: 50,
        }
    }

    #[test]
    fn requests_fall_due_one_interval_apart_until_there_are_no_more() {
        let clock = Clock::manual(0);
        let start = clock.now() + Duration::from_millis(1);
        let schedule = schedule(start);
        assert_eq!(schedule.due_by(clock.now()), 0);
        assert_eq!(schedule.due_by(start), 1);
        assert_eq!(schedule.due_by(start + Duration::from_micros(250)), 3);
        assert_eq!(schedule.due(2), start + Duration::from_micros(200));
        assert_eq!(schedule.due_by(start + Duration::from_secs(1)), 50);
    }

    #[tokio::test]
    async fn every_request_is_handed_out_once() {
        let clock = Clock::system();
        let pacer = Pacer::default();
        let take = async || {
            let mut taken = Vec::new();
            while let Some(number) = pacer.next().await {
                taken.push(number);
            }
            taken
        };
        let (first, second, paced) =
            tokio::join!(take(), take(), pacer.run(schedule(clock.now()), &clock));
        paced.unwrap();
        let mut all = [first, second].concat();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
