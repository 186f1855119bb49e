//! Keeps this instance in touch with Redis: greets what is away or idle, renews producers, and
//! reports the load that admission decides by.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use evp_shared::health::{Beat, Condition, Health};
use evp_shared::redis::{Memory, connected};
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::Totals;
use evp_shared::telemetry::as_f64;
use tokio::time::timeout;

use crate::admission::{RedisState, overload};
use crate::append::appender::Appender;
use crate::append::greeting::{Fault, Target};
use crate::append::partition::Partition;
use crate::error::RunError;
use crate::http::context::InForce;

/// Pause between rounds: of probes while Redis is away, and of looks at the load. What comes between two looks is taken
/// whatever the backlog.
const ROUND_EVERY: Duration = Duration::from_millis(200);
/// An idle partition is greeted this often: its life stays known, and its absence is noticed.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// A busy one is greeted this often: what it promises and what is said of storage are looked at
/// again, and its producer's registration, which holds 48 hours, is renewed.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// Longest one question to Redis may take here.
const QUESTION_MAX: Duration = Duration::from_secs(5);
/// Longest time without a round: the time all questions of a round may take.
const BEAT_MAX: Duration = Duration::from_secs(60);
/// Below this share of its limit, in thousandths, a Redis that was full takes appends again.
const FULL_UNTIL_PERMILLE: u32 = 980;

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    appender: Arc<Appender>,
    in_force: Arc<ArcSwap<InForce>>,
    condition: Condition,
    overload: Condition,
    is_overloaded: bool,
    beat: Beat,
    drained: Drained,
    /// What was last known of each partition.
    totals: Vec<Totals>,
    has_greeted: bool,
    /// What was last said to be wrong; told once, not at every look.
    told: Option<String>,
}

impl Keeper {
    pub(crate) fn new(
        appender: Arc<Appender>,
        in_force: Arc<ArcSwap<InForce>>,
        health: &Health,
    ) -> Self {
        Self {
            totals: vec![Totals::default(); appender.partitions.len()],
            appender,
            in_force,
            condition: health.condition("redis"),
            overload: health.condition("load"),
            is_overloaded: false,
            beat: health.loop_beat("keeper", BEAT_MAX),
            drained: Drained::default(),
            has_greeted: false,
            told: None,
        }
    }

    /// Works until the shutdown, which ends it also in the middle of a question, but not before
    /// what Redis has forgotten is appended again: nobody else holds it.
    ///
    /// # Errors
    /// [`RunError::WeakRedis`] or [`RunError::OtherIdentity`] when the first Redis that answers
    /// promises less than configured, or holds frames of another identity: that is a mistake in
    /// the set-up, not an outage.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), RunError> {
        let appender = Arc::clone(&self.appender);
        let over = async {
            shutdown.triggered().await;
            while appender.partitions.iter().any(Partition::owes_replay) {
                tokio::time::sleep(ROUND_EVERY).await;
            }
        };
        tokio::select! {
            ended = self.rounds() => ended.map(|never| match never {}),
            () = over => Ok(()),
        }
    }

    async fn rounds(&mut self) -> Result<Infallible, RunError> {
        // Or the first round would warn of a Redis that is only being connected to.
        drop(connected(self.appender.target.stream.client(), QUESTION_MAX).await);
        loop {
            self.greet_where_due().await?;
            self.poll().await;
            self.report_overload();
            self.beat.beat();
            tokio::time::sleep(ROUND_EVERY).await;
        }
    }

    async fn greet_where_due(&mut self) -> Result<(), RunError> {
        let appender = Arc::clone(&self.appender);
        for partition in &appender.partitions {
            partition.let_go();
            if !partition.wants_hello(IDLE_MAX, BUSY_MAX) {
                continue;
            }
            match timeout(QUESTION_MAX, appender.greet(partition)).await {
                Ok(Ok(_)) => self.has_greeted = true,
                Ok(Err(fault)) => match &*fault {
                    Fault::Weak(shortfalls) if !self.has_greeted => {
                        let shortfalls = shortfalls.clone();
                        return Err(RunError::WeakRedis { shortfalls });
                    }
                    &Fault::OtherIdentity { stored } if !self.has_greeted => {
                        let own = appender.target.fingerprint;
                        return Err(RunError::OtherIdentity { stored, own });
                    }
                    error => {
                        tracing::debug!(partition = partition.number, ?error, "no greeting");
                    }
                },
                Err(_) => partition.mark_silent(),
            }
        }
        appender.report();
        self.report_health();
        Ok(())
    }

    fn report_health(&mut self) {
        let partitions = &self.appender.partitions;
        // One good partition is enough to take events.
        let faults: Option<Vec<_>> = partitions.iter().map(Partition::fault).collect();
        let reason = faults.and_then(|faults| Some(faults.first()?.to_string()));
        let is_news = reason != self.told;
        match &reason {
            None => {
                self.condition.ok();
                if is_news {
                    tracing::info!("redis takes events");
                }
            }
            Some(reason) => {
                self.condition.fail(reason.as_str());
                if is_news {
                    tracing::warn!(reason, "redis takes no events");
                }
            }
        }
        self.told = reason;
    }

    fn report_overload(&mut self) {
        let Appender { target, clock, .. } = &*self.appender;
        let load = target.load.snapshot(clock.now_ms());
        let reason = overload(&load, &self.in_force.load().admission, self.is_overloaded);
        // Without Redis nothing is known of the load, so it is what it was.
        if reason.is_some() || load.redis == RedisState::Ready {
            self.is_overloaded = reason.is_some();
        }
        match reason {
            Some(reason) => {
                let reason = reason.as_str();
                self.overload.fail(format!("at its limit: {reason}"));
            }
            None => self.overload.ok(),
        }
    }

    async fn poll(&mut self) {
        let appender = &self.appender;
        let Target {
            stream,
            metrics,
            load,
            ..
        } = &appender.target;
        let mut is_reached = false;
        for (partition, known) in appender.partitions.iter().zip(&mut self.totals) {
            let fault = partition.fault();
            if fault.is_some_and(|fault| !matches!(*fault, Fault::Full)) {
                continue;
            }
            // One that does not answer counts with what was last known of it, and is greeted.
            let asked = timeout(QUESTION_MAX, stream.totals(partition.number));
            match asked.await {
                Ok(Ok(totals)) => {
                    *known = totals;
                    is_reached = true;
                }
                Ok(Err(_)) | Err(_) => partition.doubt(),
            }
        }
        if !is_reached {
            return;
        }
        let mut sum = Totals::default();
        for totals in &self.totals {
            sum.add(totals);
        }
        let (events, now) = (sum.backlog_events(), appender.clock.now());
        load.set_backlog(events, sum.backlog_bytes());
        metrics.backlog_events.set(as_f64(events));
        let per_s = self.drained.per_second(sum.acknowledged_events, now);
        load.set_drained_per_s(per_s);
        if let Ok(Ok(memory)) = timeout(QUESTION_MAX, Memory::ask(stream.client())).await {
            self.report_memory(memory);
        }
    }

    fn report_memory(&self, memory: Memory) {
        let used = u128::from(memory.used) * 1_000;
        let permille = used.checked_div(u128::from(memory.limit)).unwrap_or(0);
        let permille = u32::try_from(permille).unwrap_or(u32::MAX);
        self.appender.target.metrics.memory.set(memory.share());
        self.appender.target.load.set_memory_permille(permille);
        if permille < FULL_UNTIL_PERMILLE {
            let partitions = &self.appender.partitions;
            partitions.iter().for_each(Partition::clear_full);
            self.appender.report();
        }
    }
}

/// How many events the processors commit per second, over about the last ten seconds.
#[derive(Debug, Default)]
struct Drained {
    last: Option<(i64, Instant)>,
    per_second: f64,
}

impl Drained {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate: rounded, and never negative"
    )]
    fn per_second(&mut self, acknowledged: i64, now: Instant) -> u64 {
        /// Time constant of the mean: what is ten seconds old counts a seventh.
        const MEMORY_S: f64 = 5.0;
        if let Some((before, then)) = self.last {
            let seconds = now.saturating_duration_since(then).as_secs_f64().max(0.001);
            let rate = (acknowledged - before).max(0) as f64 / seconds;
            self.per_second += (seconds / MEMORY_S).min(1.0) * (rate - self.per_second);
        }
        self.last = Some((acknowledged, now));
        self.per_second.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::clock::Clock;
    use evp_shared::config::{Durability, RedisConfig};
    use evp_shared::frame::Codec;
    use evp_shared::keys::Keys;
    use evp_shared::redis::connect;
    use evp_shared::stream::Stream;

    use super::*;
    use crate::admission::{AdmissionLimits, Load};
    use crate::append::frames::HeldLimits;
    use crate::http::cors::Cors;
    use crate::metrics::Metrics;

    /// A keeper of one partition, of a Redis that is not there.
    fn keeper(appender: &Arc<Appender>) -> Keeper {
        let admission = AdmissionLimits {
            in_flight_bytes: 1,
            backlog_events: 1,
            backlog_bytes: 1,
            memory_permille: 1,
            append_wait: Duration::from_secs(1),
        };
        let health = Health::new(Clock::system());
        let in_force = ArcSwap::from_pointee(InForce {
            admission,
            cors: Cors::new(&[]),
        });
        Keeper::new(Arc::clone(appender), Arc::new(in_force), &health)
    }

    fn appender() -> Arc<Appender> {
        let how = RedisConfig::at("redis://127.0.0.1:1", QUESTION_MAX);
        let target = Target {
            stream: Stream::new(connect(&how).unwrap(), &Keys::new("t"), 1),
            codec: Codec::None,
            fingerprint: 1,
            durability: Durability::Everysec,
            held: HeldLimits {
                age: Duration::from_secs(5),
                bytes: 1_000,
            },
            metrics: Arc::new(Metrics::resolve()),
            load: Load::default(),
        };
        Arc::new(Appender::new(target, Clock::system()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_is_heard_in_the_middle_of_a_question() {
        let (appender, shutdown) = (appender(), Shutdown::new());
        let keeper = keeper(&appender);
        let _unanswered = appender.partitions[0].stall().await;
        shutdown.trigger();
        let ordered = tokio::time::Instant::now();
        keeper.run(shutdown).await.unwrap();
        assert_eq!(ordered.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_a_replay_that_is_due() {
        let (appender, shutdown) = (appender(), Shutdown::new());
        let keeper = keeper(&appender);
        let partition = &appender.partitions[0];
        partition.hold_what_redis_forgot();
        let unanswered = partition.stall().await;
        shutdown.trigger();
        let mut run = Box::pin(keeper.run(shutdown));
        let early = timeout(Duration::from_secs(20), run.as_mut()).await;
        assert!(early.is_err(), "{early:?}");
        partition.end_replay();
        drop(unanswered);
        run.await.unwrap();
    }

    #[test]
    fn the_drain_rate_follows_what_is_acknowledged() {
        let clock = Clock::manual(0);
        let mut drained = Drained::default();
        assert_eq!(
            drained.per_second(1_000_000, clock.now()),
            0,
            "one reading has no slope"
        );
        let mut acknowledged = 1_000_000;
        let mut rate = 0;
        for (rounds, apart_ms, events) in [(40, 1_000, 500), (300, 200, 200)] {
            for _ in 0..rounds {
                clock.advance(Duration::from_millis(apart_ms));
                acknowledged += events;
                rate = drained.per_second(acknowledged, clock.now());
            }
            assert_eq!(rate, events.unsigned_abs() * 1_000 / apart_ms);
        }
        // A Redis that forgot its totals drains nothing, rather than backwards.
        clock.advance(Duration::from_millis(200));
        assert_eq!(drained.per_second(0, clock.now()), 960);
        clock.advance(Duration::from_secs(10));
        assert_eq!(drained.per_second(5_000, clock.now()), 500);
    }
}
