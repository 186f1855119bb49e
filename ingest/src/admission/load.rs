//! The load as its owners report it, and as admission reads it.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
use std::time::Duration;

use evp_shared::access::share::{EvenShare, Share};
use evp_shared::stream::StorageSaid;

use super::{LoadSnapshot, RedisState, ShedReason, retry_after};

/// The part of the bytes in flight that bodies which are not complete may hold: the other half is
/// for what only they become.
const ARRIVING_SHARE: usize = 2;
/// From this part on those that stand still have to go soon, so that others can come.
const CROWDED_SHARE: usize = 4;

/// When to come back, to another instance.
const ELSEWHERE_AFTER: Duration = Duration::from_secs(1);

/// The load as its owners report it; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load(Arc<Gauges>);

#[derive(Debug, Default)]
struct Gauges {
    is_draining: AtomicBool,
    redis: AtomicU8,
    in_flight_bytes: AtomicUsize,
    /// Those of them that belong to bodies which are not complete.
    arriving_bytes: AtomicUsize,
    backlog_events: AtomicI64,
    backlog_bytes: AtomicI64,
    drained_per_s: AtomicU64,
    memory_permille: AtomicU32,
    /// When the oldest waiting request came, in ms of the reporter's clock; 0 is none.
    oldest_ms: AtomicU64,
    is_storage_full: AtomicBool,
    /// The highest floor of storage that was heard of; 0 is none.
    floor_ms: AtomicU64,
    /// See [`EvenShare`].
    sending_tenants: AtomicU64,
    even_events: AtomicU64,
}

impl Load {
    pub(crate) fn snapshot(&self, now_ms: u64) -> LoadSnapshot {
        let gauges = &self.0;
        let oldest_ms = match gauges.oldest_ms.load(Relaxed) {
            0 => now_ms,
            oldest_ms => oldest_ms,
        };
        LoadSnapshot {
            is_draining: gauges.is_draining.load(Relaxed),
            redis: self.redis(),
            in_flight_bytes: gauges.in_flight_bytes.load(Relaxed),
            backlog_events: unsigned(gauges.backlog_events.load(Relaxed)),
            backlog_bytes: unsigned(gauges.backlog_bytes.load(Relaxed)),
            memory_permille: gauges.memory_permille.load(Relaxed),
            append_wait: Duration::from_millis(now_ms.saturating_sub(oldest_ms)),
            is_storage_full: gauges.is_storage_full.load(Relaxed),
        }
    }

    pub(crate) fn retry_after(&self) -> Duration {
        let backlog = unsigned(self.0.backlog_events.load(Relaxed));
        retry_after(backlog, self.0.drained_per_s.load(Relaxed), rand::random())
    }

    /// As [`retry_after`](Self::retry_after), for a request refused for `reason`: another instance
    /// does not have the load of one that is stopping, and a disk is as full as it is whatever the
    /// backlog.
    pub(crate) fn retry_after_shed(&self, reason: ShedReason) -> Duration {
        match reason {
            ShedReason::Draining => ELSEWHERE_AFTER,
            ShedReason::StorageFull => retry_after(1, 0, rand::random()),
            ShedReason::RedisUnavailable
            | ShedReason::RedisMemory
            | ShedReason::InFlightBytes
            | ShedReason::Backlog
            | ShedReason::AppendWait
            | ShedReason::QueueFull => self.retry_after(),
        }
    }

    /// What is one tenant's part of the load when all that send have the same, as of a moment ago.
    pub(crate) fn even_share(&self) -> EvenShare {
        EvenShare {
            tenants: self.0.sending_tenants.load(Relaxed),
            events: self.0.even_events.load(Relaxed),
        }
    }

    pub(crate) fn set_even_share(&self, even: EvenShare) {
        self.0.sending_tenants.store(even.tenants, Relaxed);
        self.0.even_events.store(even.events, Relaxed);
    }

    /// From here on every request is refused. Not for an orderly stop, which answers all that
    /// come: for one that cannot append any more, because a part of it failed.
    pub(crate) fn set_draining(&self) {
        self.0.is_draining.store(true, Relaxed);
    }

    pub(crate) fn redis(&self) -> RedisState {
        let stored = self.0.redis.load(Acquire);
        let mut others = [RedisState::Ready, RedisState::Full].into_iter();
        let found = others.find(|state| *state as u8 == stored);
        found.unwrap_or(RedisState::Unavailable)
    }

    /// Who then finds it ready also finds the floor that was noted before.
    pub(crate) fn set_redis(&self, state: RedisState) {
        self.0.redis.store(state as u8, Release);
    }

    /// Notes what is said of storage. The floor never falls: a Redis that was restored from an old
    /// copy, or has forgotten all, has a lower one or none, and what lay below may be gone already.
    pub(crate) fn set_storage(&self, said: StorageSaid) {
        let floor_ms = said.floor_ms.unwrap_or(0);
        self.0.floor_ms.fetch_max(floor_ms, Relaxed);
        self.0.is_storage_full.store(said.is_full, Relaxed);
    }

    /// Ids below it are taken no more.
    pub(crate) fn floor_ms(&self) -> Option<u64> {
        Some(self.0.floor_ms.load(Relaxed)).filter(|floor_ms| *floor_ms > 0)
    }

    pub(crate) fn set_backlog(&self, events: i64, bytes: i64) {
        self.0.backlog_events.store(events, Relaxed);
        self.0.backlog_bytes.store(bytes, Relaxed);
    }

    pub(crate) fn set_drained_per_s(&self, events: u64) {
        self.0.drained_per_s.store(events, Relaxed);
    }

    pub(crate) fn set_memory_permille(&self, permille: u32) {
        self.0.memory_permille.store(permille, Relaxed);
    }

    pub(crate) fn set_oldest_ms(&self, oldest_ms: Option<u64>) {
        self.0.oldest_ms.store(oldest_ms.unwrap_or(0), Relaxed);
    }

    /// Starts counting the bytes of one request.
    pub(crate) fn reserve(&self) -> Reservation {
        self.reserve_of(None)
    }

    /// As [`reserve`](Self::reserve), of the tenant whose `share` it is.
    pub(crate) fn reserve_of(&self, share: Option<Arc<Share>>) -> Reservation {
        Reservation {
            load: self.clone(),
            share,
            bytes: 0,
            arriving: 0,
        }
    }

    /// Whether bodies that are not complete hold so much that slow ones are in the way.
    pub(crate) fn is_crowded(&self, limit: usize) -> bool {
        self.0.arriving_bytes.load(Relaxed) > limit / CROWDED_SHARE
    }
}

/// The counters may be read between two of Redis' writes, and then differ by a little.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The bytes one request holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    load: Load,
    share: Option<Arc<Share>>,
    bytes: usize,
    arriving: usize,
}

impl Reservation {
    /// Holds `bytes` more, unless all requests together would then hold more than `limit`.
    pub(crate) fn grow(&mut self, bytes: usize, limit: usize) -> Result<(), ShedReason> {
        let before = self.hold(bytes);
        if before.saturating_add(bytes) > limit {
            Err(ShedReason::InFlightBytes)
        } else {
            Ok(())
        }
    }

    /// As [`grow`](Self::grow), for a part of a body that has more to come.
    pub(crate) fn arrive(&mut self, bytes: usize, limit: usize) -> Result<(), ShedReason> {
        self.arriving += bytes;
        let before = self.load.0.arriving_bytes.fetch_add(bytes, Relaxed);
        self.grow(bytes, limit)?;
        if before.saturating_add(bytes) > limit / ARRIVING_SHARE {
            return Err(ShedReason::InFlightBytes);
        }
        Ok(())
    }

    /// Notes that the body is complete, or given up.
    pub(crate) fn arrived(&mut self) {
        if self.arriving > 0 {
            let gauge = &self.load.0.arriving_bytes;
            gauge.fetch_sub(std::mem::take(&mut self.arriving), Relaxed);
        }
    }

    /// Holds exactly `bytes` from here on, whatever the limit: they are in memory already.
    pub(crate) fn set(&mut self, bytes: usize) {
        let before = self.bytes;
        self.hold(bytes);
        self.let_go(before);
    }

    /// Holds `bytes` more; how much all held before.
    fn hold(&mut self, bytes: usize) -> usize {
        if let Some(share) = &self.share {
            share.hold(bytes);
        }
        self.bytes += bytes;
        self.load.0.in_flight_bytes.fetch_add(bytes, Relaxed)
    }

    fn let_go(&mut self, bytes: usize) {
        if let Some(share) = &self.share {
            share.let_go(bytes);
        }
        self.bytes -= bytes;
        self.load.0.in_flight_bytes.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.arrived();
        self.let_go(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stops_sends_clients_elsewhere_at_once() {
        let load = Load::default();
        load.set_backlog(1_000_000, 0);
        let wait = load.retry_after_shed(ShedReason::Draining);
        assert_eq!(wait, Duration::from_secs(1));
        assert!(load.retry_after_shed(ShedReason::Backlog) >= Duration::from_secs(60));
    }

    #[test]
    fn a_full_disk_is_not_asked_after_every_second() {
        let wait = Load::default().retry_after_shed(ShedReason::StorageFull);
        assert!(wait >= Duration::from_secs(60), "{wait:?}");
    }

    #[test]
    fn a_floor_never_falls() {
        let load = Load::default();
        assert_eq!(load.floor_ms(), None);
        for (said, expected) in [(Some(5), 5), (Some(9), 9), (Some(5), 9), (None, 9)] {
            load.set_storage(StorageSaid {
                floor_ms: said,
                is_full: said.is_none(),
            });
            assert_eq!(load.floor_ms(), Some(expected), "{said:?}");
            assert_eq!(load.snapshot(0).is_storage_full, said.is_none());
        }
    }

    #[test]
    fn reservations_are_given_back() {
        let load = Load::default();
        let mut first = load.reserve();
        assert_eq!(first.grow(60, 100), Ok(()));
        let mut second = load.reserve();
        assert_eq!(second.grow(60, 100), Err(ShedReason::InFlightBytes));
        drop(second);
        assert_eq!(load.snapshot(0).in_flight_bytes, 60);
        first.set(10);
        assert_eq!(load.snapshot(0).in_flight_bytes, 10);
        drop(first);
        assert_eq!(load.snapshot(0).in_flight_bytes, 0);
    }

    #[test]
    fn what_a_tenant_holds_is_its_share() {
        let (load, share) = (Load::default(), Arc::new(Share::default()));
        let mut own = load.reserve_of(Some(Arc::clone(&share)));
        let mut other = load.reserve();
        assert_eq!(own.arrive(30, 100), Ok(()));
        assert_eq!(other.grow(50, 100), Ok(()));
        assert_eq!(own.grow(30, 100), Err(ShedReason::InFlightBytes));
        assert_eq!(share.in_flight_bytes(), 60);
        own.set(10);
        assert_eq!(share.in_flight_bytes(), 10);
        drop(own);
        assert_eq!(share.in_flight_bytes(), 0);
        assert_eq!(load.snapshot(0).in_flight_bytes, 50);
    }

    #[test]
    fn bodies_that_are_not_complete_hold_half_at_most() {
        let load = Load::default();
        let (mut slow, mut next) = (load.reserve(), load.reserve());
        assert_eq!(slow.arrive(25, 100), Ok(()));
        assert!(!load.is_crowded(100));
        assert_eq!(slow.arrive(25, 100), Ok(()));
        assert!(load.is_crowded(100));
        assert_eq!(next.arrive(1, 100), Err(ShedReason::InFlightBytes));
        assert_eq!(next.grow(49, 100), Ok(()), "a complete one has the rest");
        slow.arrived();
        assert_eq!(load.snapshot(0).in_flight_bytes, 100);
        drop((slow, next));
        assert!(!load.is_crowded(0));
        assert_eq!(load.snapshot(0).in_flight_bytes, 0);
    }
}
