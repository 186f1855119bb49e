//! Whether a service should get traffic, and if not, why not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::Clock;

/// What is ready and what is not; clones share one state.
///
/// Ready means: not draining, every condition is good, and every loop has beaten lately. A loop
/// that hangs is thus seen from outside, though the process lives and answers.
#[derive(Debug, Clone)]
pub struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    clock: Clock,
    start: Instant,
    draining: AtomicBool,
    loops: Mutex<Vec<LoopState>>,
    conditions: Mutex<Vec<Arc<ConditionState>>>,
}

#[derive(Debug)]
struct LoopState {
    name: &'static str,
    max_age: Duration,
    /// Whether a loop that does not beat hangs; else what it does merely fails.
    is_life: bool,
    beaten_ms: Arc<AtomicU64>,
}

#[derive(Debug)]
struct ConditionState {
    name: &'static str,
    /// `None` while the condition is good.
    fault: Mutex<Option<String>>,
}

impl LoopState {
    fn fault(&self, now_ms: u64) -> Option<String> {
        let beaten_ms = self.beaten_ms.load(Ordering::Relaxed);
        let (age, longest) = (now_ms.saturating_sub(beaten_ms), self.max_age);
        let age = Duration::from_millis(age);
        (age > longest).then(|| format!("no progress for {age:?}, at most {longest:?} expected"))
    }
}

/// A loop's sign of life.
#[derive(Debug)]
pub struct Beat {
    health: Health,
    beaten_ms: Arc<AtomicU64>,
}

/// Something that must hold for the service to work, such as a connection; clones share it.
#[derive(Debug, Clone)]
pub struct Condition(Arc<ConditionState>);

/// The answer of `/readyz`.
///
/// # Shape
/// `{"ready":false,"reasons":[{"name":"redis","reason":"not connected"}]}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether the service should get traffic.
    pub ready: bool,
    /// Everything that speaks against it; empty when ready.
    pub reasons: Vec<Reason>,
}

/// One thing that keeps a service from being ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The loop or condition, or `shutdown`.
    pub name: &'static str,
    /// What is wrong with it, for the operator.
    pub reason: String,
}

impl Health {
    /// The clock it goes by.
    pub fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// Creates the health of one service: ready once what it needs is registered, and good.
    pub fn new(clock: Clock) -> Self {
        let start = clock.now();
        Self(Arc::new(State {
            clock,
            start,
            draining: AtomicBool::new(false),
            loops: Mutex::default(),
            conditions: Mutex::default(),
        }))
    }

    /// Registers a loop, which from now on must beat at least every `max_age`, whether what it does
    /// succeeds or not: one that does not hangs.
    pub fn loop_beat(&self, name: &'static str, max_age: Duration) -> Beat {
        self.register(name, max_age, true)
    }

    /// Registers a loop whose work must succeed at least every `max_age`: one that does not beat is not
    /// ready, and a restart would not help it.
    pub fn success_beat(&self, name: &'static str, max_age: Duration) -> Beat {
        self.register(name, max_age, false)
    }

    fn register(&self, name: &'static str, max_age: Duration, is_life: bool) -> Beat {
        let beaten_ms = Arc::new(AtomicU64::new(self.elapsed_ms()));
        self.0.loops.lock().push(LoopState {
            name,
            max_age,
            is_life,
            beaten_ms: Arc::clone(&beaten_ms),
        });
        Beat {
            health: self.clone(),
            beaten_ms,
        }
    }

    /// Registers a condition, which does not hold until [`Condition::ok`] says so.
    pub fn condition(&self, name: &'static str) -> Condition {
        let fault = Mutex::new(Some("starting".to_owned()));
        let condition = Arc::new(ConditionState { name, fault });
        self.0.conditions.lock().push(Arc::clone(&condition));
        Condition(condition)
    }

    /// Ends readiness for good; the service finishes what it has.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// Judges the service as of now.
    pub fn readiness(&self) -> Readiness {
        let reason = |(name, fault): (_, Option<String>)| {
            Some(Reason {
                name,
                reason: fault?,
            })
        };
        let reasons: Vec<Reason> = self.judge().into_iter().filter_map(reason).collect();
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }

    /// Shows as metrics what is good and what is not, as of now.
    pub fn show(&self) {
        metrics::describe_gauge!(
            "evp_ready",
            "1 while the condition holds, 0 while it does not."
        );
        for (name, fault) in self.judge() {
            let is_good = u8::from(fault.is_none());
            metrics::gauge!("evp_ready", "condition" => name).set(is_good);
        }
    }

    /// Whether a loop hangs, so that a restart would help. Of a service that drains none does: they end.
    pub fn hangs(&self) -> bool {
        let now_ms = self.elapsed_ms();
        let hangs = |one: &LoopState| one.is_life && one.fault(now_ms).is_some();
        !self.0.draining.load(Ordering::SeqCst) && self.0.loops.lock().iter().any(hangs)
    }

    /// Everything that has to be good, and what is wrong with it.
    fn judge(&self) -> Vec<(&'static str, Option<String>)> {
        let said = |is: bool, fault: &str| is.then(|| fault.to_owned());
        let (conditions, loops) = (self.0.conditions.lock(), self.0.loops.lock());
        let is_draining = self.0.draining.load(Ordering::SeqCst);
        // The admin port answers before the service has said what it depends on.
        let is_starting = conditions.is_empty() && loops.is_empty();
        let mut judged = vec![
            ("shutdown", said(is_draining, "draining")),
            ("service", said(is_starting, "starting")),
        ];
        let now_ms = self.elapsed_ms();
        let of_condition = |one: &Arc<ConditionState>| (one.name, one.fault.lock().clone());
        judged.extend(conditions.iter().map(of_condition));
        judged.extend(loops.iter().map(|one| (one.name, one.fault(now_ms))));
        judged
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = self.0.clock.now().saturating_duration_since(self.0.start);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Beat {
    /// Says that the loop has done useful work, or has seen for sure that there is none.
    pub fn beat(&self) {
        self.beaten_ms
            .store(self.health.elapsed_ms(), Ordering::Relaxed);
    }
}

impl Condition {
    /// Says that the condition holds.
    pub fn ok(&self) {
        *self.0.fault.lock() = None;
    }

    /// Says that it does not, and why: for operators, without secrets.
    pub fn fail(&self, reason: impl Into<String>) {
        *self.0.fault.lock() = Some(reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(health: &Health) -> Vec<(&'static str, String)> {
        health
            .readiness()
            .reasons
            .into_iter()
            .map(|r| (r.name, r.reason))
            .collect()
    }

    #[test]
    fn a_condition_counts_against_readiness_until_it_holds() {
        let health = Health::new(Clock::manual(0));
        assert_eq!(reasons(&health), [("service", "starting".to_owned())]);
        let redis = health.condition("redis");
        assert_eq!(reasons(&health), [("redis", "starting".to_owned())]);
        redis.ok();
        assert!(health.readiness().ready);
        redis.fail("not connected");
        assert_eq!(reasons(&health), [("redis", "not connected".to_owned())]);
    }

    #[test]
    fn a_stale_beat_names_the_loop() {
        let clock = Clock::manual(0);
        let health = Health::new(clock.clone());
        let reader = health.loop_beat("reader", Duration::from_secs(3));
        clock.advance(Duration::from_secs(3));
        assert!(health.readiness().ready);
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            reasons(&health),
            [(
                "reader",
                "no progress for 4s, at most 3s expected".to_owned()
            )]
        );
        reader.beat();
        assert!(health.readiness().ready);
    }

    #[test]
    fn a_loop_that_ended_without_a_word_goes_stale() {
        let clock = Clock::manual(0);
        let health = Health::new(clock.clone());
        drop(health.loop_beat("claimer", Duration::from_secs(1)));
        clock.advance(Duration::from_secs(2));
        assert!(!health.readiness().ready);
    }

    #[test]
    fn a_loop_that_fails_is_not_ready_and_does_not_hang() {
        let clock = Clock::manual(0);
        let health = Health::new(clock.clone());
        let _projector = health.success_beat("projector", Duration::from_secs(1));
        clock.advance(Duration::from_secs(2));
        assert!(!health.readiness().ready && !health.hangs());
        let _reader = health.loop_beat("reader", Duration::from_secs(1));
        clock.advance(Duration::from_secs(2));
        assert!(health.hangs());
        health.set_draining();
        assert!(!health.hangs());
    }

    #[test]
    fn draining_is_a_reason_of_its_own() {
        let health = Health::new(Clock::manual(0));
        health.condition("redis").ok();
        health.set_draining();
        let readiness = serde_json::to_string(&health.readiness()).unwrap();
        assert_eq!(
            readiness,
            r#"{"ready":false,"reasons":[{"name":"shutdown","reason":"draining"}]}"#
        );
    }
}
