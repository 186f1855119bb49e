//! Whether to take a request, decided before its body is read: refusing early is cheap, and
//! nothing queues without a bound.

mod load;

use std::time::Duration;

pub(crate) use self::load::{Load, Reservation};

/// What Redis is good for at this moment, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum RedisState {
    /// It is away, not greeted yet, or promises less than configured: what a new `Load` says.
    Unavailable = 0,
    /// It is at maxmemory, and refuses appends.
    Full = 1,
    /// Appends go through.
    Ready = 2,
}

/// Part of a limit by which the load must fall below it before readiness is back.
const EASED_BY: u32 = 20;

/// From where on requests are refused.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Bytes of bodies and documents that are not yet appended.
    pub in_flight_bytes: usize,
    /// Events appended and not yet committed, over all partitions.
    pub backlog_events: u64,
    /// Their bytes, uncompressed.
    pub backlog_bytes: u64,
    /// Used share of Redis' memory limit, in thousandths.
    pub memory_permille: u32,
    /// Age of the oldest request that still waits for its append.
    pub append_wait: Duration,
}

impl AdmissionLimits {
    /// Three quarters of each.
    fn soft(self) -> Self {
        let part = |limit: u64| limit - limit / 4;
        Self {
            in_flight_bytes: self.in_flight_bytes - self.in_flight_bytes / 4,
            backlog_events: part(self.backlog_events),
            backlog_bytes: part(self.backlog_bytes),
            memory_permille: self.memory_permille - self.memory_permille / 4,
            append_wait: self.append_wait * 3 / 4,
        }
    }

    /// A part below, where the load is one that lasts.
    fn eased(self) -> Self {
        let eased = |limit: u64| limit - limit / u64::from(EASED_BY);
        Self {
            backlog_events: eased(self.backlog_events),
            backlog_bytes: eased(self.backlog_bytes),
            memory_permille: self.memory_permille - self.memory_permille / EASED_BY,
            ..self
        }
    }
}

/// The load at one moment.
#[derive(Clone, Copy, Debug)]
pub struct LoadSnapshot {
    /// The service is stopping because a part of it failed.
    pub is_draining: bool,
    /// What Redis is good for.
    pub redis: RedisState,
    /// See [`AdmissionLimits::in_flight_bytes`].
    pub in_flight_bytes: usize,
    /// See [`AdmissionLimits::backlog_events`].
    pub backlog_events: u64,
    /// See [`AdmissionLimits::backlog_bytes`].
    pub backlog_bytes: u64,
    /// See [`AdmissionLimits::memory_permille`].
    pub memory_permille: u32,
    /// See [`AdmissionLimits::append_wait`].
    pub append_wait: Duration,
    /// The disk of the event store is almost full, as the processors say.
    pub is_storage_full: bool,
}

evp_shared::choices! {
    /// Why a request is refused for load; a label of metrics.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ShedReason {
        /// The service is stopping because a part of it failed. An orderly stop refuses nothing.
        Draining = "draining",
        /// Redis is away.
        RedisUnavailable = "redis_unavailable",
        /// Redis is at, or close to, its memory limit.
        RedisMemory = "redis_memory",
        /// The disk of the event store is almost full.
        StorageFull = "storage_full",
        /// Too many bytes wait to be appended.
        InFlightBytes = "in_flight_bytes",
        /// The processors are too far behind.
        Backlog = "backlog",
        /// Appends take too long.
        AppendWait = "append_wait",
        /// The queue of the batcher is full.
        QueueFull = "queue_full",
    }
}

impl std::error::Error for ShedReason {}

/// Decides over one request; `Err` is the reason to refuse it.
///
/// # Errors
/// The first bound that is exceeded, the ones a client can do least about first.
pub fn decide(load: &LoadSnapshot, limits: &AdmissionLimits) -> Result<(), ShedReason> {
    use ShedReason as S;
    let is_full = load.redis == RedisState::Full || load.memory_permille >= limits.memory_permille;
    let is_behind =
        load.backlog_events >= limits.backlog_events || load.backlog_bytes >= limits.backlog_bytes;
    let exceeded = [
        (load.is_draining, S::Draining),
        (load.redis == RedisState::Unavailable, S::RedisUnavailable),
        (load.is_storage_full, S::StorageFull),
        (is_full, S::RedisMemory),
        (is_behind, S::Backlog),
        (load.append_wait >= limits.append_wait, S::AppendWait),
        (
            load.in_flight_bytes >= limits.in_flight_bytes,
            S::InFlightBytes,
        ),
    ];
    let first = exceeded.into_iter().find(|(is_exceeded, _)| *is_exceeded);
    first.map_or(Ok(()), |(_, reason)| Err(reason))
}

/// Decides over one request of a tenant that has more than its even share of the load: it is refused
/// from three quarters of a bound on, so that the rest is left to the others.
///
/// # Errors
/// As for [`decide`].
pub fn decide_over_share(load: &LoadSnapshot, limits: &AdmissionLimits) -> Result<(), ShedReason> {
    decide(load, &limits.soft())
}

/// Whether the load is a reason not to be ready, and which: what refuses every request for longer
/// than a moment. The processors are behind or the disk is full, for other instances too.
///
/// One that `is_overloaded` stays so until the load is a twentieth below the limit, so that a load
/// that stands at it does not turn readiness on and off at every look.
#[must_use]
pub fn overload(
    load: &LoadSnapshot,
    limits: &AdmissionLimits,
    is_overloaded: bool,
) -> Option<ShedReason> {
    let limits = if is_overloaded {
        limits.eased()
    } else {
        *limits
    };
    match decide(load, &limits) {
        Err(reason @ (ShedReason::RedisMemory | ShedReason::StorageFull | ShedReason::Backlog)) => {
            Some(reason)
        }
        Ok(()) | Err(_) => None,
    }
}

/// When to come back: the time the backlog takes to drain, 1 s to 60 s, and up to a quarter more,
/// so that those refused together do not come back together.
///
/// `jitter` is a number from 0 to 1.
#[must_use]
pub fn retry_after(backlog_events: u64, drained_per_s: u64, jitter: f64) -> Duration {
    let seconds = match (backlog_events, drained_per_s) {
        (0, _) => 1,
        (_, 0) => 60,
        (backlog, rate) => (backlog / rate).clamp(1, 60),
    };
    Duration::from_secs(seconds).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits {
        in_flight_bytes: 100,
        backlog_events: 1_000,
        backlog_bytes: 10_000,
        memory_permille: 900,
        append_wait: Duration::from_secs(2),
    };

    const CALM: LoadSnapshot = LoadSnapshot {
        is_draining: false,
        redis: RedisState::Ready,
        in_flight_bytes: 99,
        backlog_events: 999,
        backlog_bytes: 9_999,
        memory_permille: 899,
        append_wait: Duration::from_millis(1_999),
        is_storage_full: false,
    };

    const IDLE: LoadSnapshot = LoadSnapshot {
        backlog_events: 0,
        backlog_bytes: 0,
        memory_permille: 0,
        ..CALM
    };

    #[expect(clippy::too_many_lines, reason = "a table: one row per case")]
    #[test]
    fn each_bound_sheds_alone() {
        use ShedReason as S;
        assert_eq!(decide(&CALM, &LIMITS), Ok(()));
        let cases = [
            (
                LoadSnapshot {
                    is_draining: true,
                    ..CALM
                },
                S::Draining,
            ),
            (
                LoadSnapshot {
                    redis: RedisState::Unavailable,
                    ..CALM
                },
                S::RedisUnavailable,
            ),
            (
                LoadSnapshot {
                    is_storage_full: true,
                    ..CALM
                },
                S::StorageFull,
            ),
            (
                LoadSnapshot {
                    redis: RedisState::Full,
                    ..CALM
                },
                S::RedisMemory,
            ),
            (
                LoadSnapshot {
                    memory_permille: 900,
                    ..CALM
                },
                S::RedisMemory,
            ),
            (
                LoadSnapshot {
                    backlog_events: 1_000,
                    ..CALM
                },
                S::Backlog,
            ),
            (
                LoadSnapshot {
                    backlog_bytes: 10_000,
                    ..CALM
                },
                S::Backlog,
            ),
            (
                LoadSnapshot {
                    append_wait: Duration::from_secs(2),
                    ..CALM
                },
                S::AppendWait,
            ),
            (
                LoadSnapshot {
                    in_flight_bytes: 100,
                    ..CALM
                },
                S::InFlightBytes,
            ),
        ];
        for (load, reason) in cases {
            assert_eq!(decide(&load, &LIMITS), Err(reason), "{load:?}");
        }
    }

    #[test]
    fn an_overload_is_over_when_the_load_is_well_below_its_limit() {
        use ShedReason as S;
        let backlog = |backlog_events| LoadSnapshot {
            backlog_events,
            ..IDLE
        };
        let bytes = |backlog_bytes| LoadSnapshot {
            backlog_bytes,
            ..IDLE
        };
        let memory = |memory_permille| LoadSnapshot {
            memory_permille,
            ..IDLE
        };
        let cases = [
            (backlog(1_000), Some(S::Backlog)),
            (bytes(10_000), Some(S::Backlog)),
            (memory(900), Some(S::RedisMemory)),
        ];
        let full = LoadSnapshot {
            is_storage_full: true,
            ..IDLE
        };
        for (load, reason) in cases.into_iter().chain([(full, Some(S::StorageFull))]) {
            assert_eq!(overload(&load, &LIMITS, false), reason, "{load:?}");
            assert_eq!(overload(&load, &LIMITS, true), reason, "{load:?}");
        }
        let at_the_limit = [
            (backlog(999), S::Backlog),
            (backlog(950), S::Backlog),
            (bytes(9_999), S::Backlog),
            (bytes(9_500), S::Backlog),
            (memory(899), S::RedisMemory),
            (memory(855), S::RedisMemory),
        ];
        for (load, reason) in at_the_limit {
            assert_eq!(overload(&load, &LIMITS, false), None, "{load:?}");
            assert_eq!(overload(&load, &LIMITS, true), Some(reason), "{load:?}");
        }
        for load in [backlog(949), bytes(9_499), memory(854)] {
            assert_eq!(overload(&load, &LIMITS, true), None, "{load:?}");
        }
    }

    #[test]
    fn what_passes_in_a_moment_is_no_overload() {
        let cases = [
            LoadSnapshot {
                append_wait: Duration::from_secs(2),
                ..IDLE
            },
            LoadSnapshot {
                redis: RedisState::Unavailable,
                ..CALM
            },
        ];
        for load in cases {
            assert!(decide(&load, &LIMITS).is_err(), "{load:?}");
            assert_eq!(overload(&load, &LIMITS, true), None, "{load:?}");
        }
    }

    #[test]
    fn who_has_more_than_its_share_is_refused_from_three_quarters_on() {
        use ShedReason as S;
        assert_eq!(
            decide_over_share(&IDLE, &LIMITS),
            Err(S::AppendWait),
            "of 1.999 s"
        );
        let calm = LoadSnapshot {
            in_flight_bytes: 74,
            append_wait: Duration::from_millis(1_499),
            ..IDLE
        };
        assert_eq!(decide_over_share(&calm, &LIMITS), Ok(()));
        let backlog = LoadSnapshot {
            backlog_events: 750,
            ..calm
        };
        assert_eq!(decide_over_share(&backlog, &LIMITS), Err(S::Backlog));
        let bytes = LoadSnapshot {
            in_flight_bytes: 75,
            ..calm
        };
        assert_eq!(decide_over_share(&bytes, &LIMITS), Err(S::InFlightBytes));
    }

    #[test]
    fn retry_after_is_the_time_to_drain() {
        let cases = [
            (0, 0, 0.0, 1_000),
            (10, 0, 0.0, 60_000),
            (10, 1_000, 0.0, 1_000),
            (20_000, 1_000, 0.0, 20_000),
            (20_000, 1_000, 1.0, 25_000),
            (1_000_000, 10, 0.0, 60_000),
        ];
        for (backlog, rate, jitter, expected_ms) in cases {
            let wait = retry_after(backlog, rate, jitter);
            assert_eq!(
                wait,
                Duration::from_millis(expected_ms),
                "{backlog} {rate} {jitter}"
            );
        }
    }
}
