//! What one client wants of the feed, and how much of it. Pure.

use std::time::{Duration, Instant};

use evp_shared::frame::Header;
use evp_shared::http::problem::Problem;

use super::item::Row;
use crate::auth::Tenant;
use crate::params::Params;

/// Events per second a client may ask for, and gets unless it asks for less.
pub const RATE_MAX: u32 = 1_000;

/// Types one client may name.
const TYPES_MAX: usize = 50;

/// Longest absence whose events a resuming client is sent beyond its rate: longer than the kept
/// window.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// What one client wants to see.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose events.
    pub tenant: Tenant,
    types: Vec<String>,
    /// Of which user.
    pub user: Option<String>,
    /// Events with a lower hash are seen; no hash is as high as the highest number.
    sample: u64,
    share: f64,
    rate: f64,
}

impl Wanted {
    /// Reads `type`, `userId`, `sample` and `rate`.
    ///
    /// # Errors
    /// The first parameter with a value it does not take.
    pub fn parse(tenant: Tenant, params: &Params) -> Result<Self, Problem> {
        let hint = "send a number above 0, at most 1, such as 0.1";
        let share = params.parsed("sample", hint, share)?.unwrap_or(1.0);
        let rate = params.number("rate", RATE_MAX.into(), RATE_MAX.into())?;
        Ok(Self {
            tenant,
            types: params.types("type", None, TYPES_MAX)?,
            user: params.id("userId")?,
            sample: share_of(u64::MAX, share),
            share,
            rate: u32::try_from(rate).unwrap_or(RATE_MAX).into(),
        })
    }

    /// Whether events of the row `kind` of a header are wanted.
    fn wants_kind(&self, header: &Header, kind: usize) -> bool {
        header.counts.get(kind).is_some_and(|row| {
            let is_of_type = |wanted: &String| **wanted == *row.event_type;
            *row.tenant == *self.tenant.as_str()
                && (self.types.is_empty() || self.types.iter().any(is_of_type))
        })
    }

    /// Events of a frame that may be wanted, as far as its header tells.
    pub fn count_in(&self, header: &Header) -> u64 {
        let kinds = header.counts.iter().enumerate();
        let wanted = kinds.filter(|(kind, _)| self.wants_kind(header, *kind));
        wanted.map(|(_, row)| u64::from(row.count)).sum()
    }

    /// Of `count` events the share that is sampled.
    pub fn sampled(&self, count: u64) -> u64 {
        share_of(count, self.share)
    }

    /// Whether an event is wanted; `user` is the digest of [`Self::user`].
    pub fn wants(&self, header: &Header, row: &Row, user: Option<u64>) -> bool {
        self.wants_kind(header, row.kind)
            && user.is_none_or(|user| user == row.user)
            && row.sample < self.sample
    }

    /// An allowance of its rate, from `now` on.
    pub fn allowance(&self, now: Instant) -> Allowance {
        Allowance {
            rate: self.rate,
            tokens: self.rate,
            at: now,
        }
    }
}

fn share(text: &str) -> Option<f64> {
    let share: f64 = text.parse().ok()?;
    (share > 0.0 && share <= 1.0).then_some(share)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of all hashes, or of a frame's events, rounded"
)]
fn share_of(count: u64, share: f64) -> u64 {
    (count as f64 * share).round() as u64
}

/// How many events a client may still be sent: a second's worth at once, more as time goes by.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Allowance {
    /// Adds what the client would have been sent while it was away.
    pub fn grant_absence(&mut self, absence: Duration) {
        self.tokens += self.rate * absence.min(ABSENCE_MAX).as_secs_f64();
    }

    /// Adds what came due by `now`. A stock beyond a second's worth, of an absence, does not grow.
    pub fn refill(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = self.tokens.max((self.tokens + due).min(self.rate));
        self.at = now;
    }

    /// Whether nothing may be sent.
    pub fn is_used_up(&self) -> bool {
        self.tokens < 1.0
    }

    /// Takes one event's worth, if there is one.
    pub fn take(&mut self) -> bool {
        if self.is_used_up() {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::clock::Clock;

    use super::*;

    const KNOWN: &[&str] = &["type", "userId", "sample", "rate"];

    fn parse(query: &str) -> Result<Wanted, Problem> {
        let uri = format!("/stream?{query}").parse().unwrap();
        Wanted::parse(Tenant::named("default"), &Params::parse(&uri, KNOWN)?)
    }

    #[test]
    fn each_wrong_value_is_named() {
        let table = [
            ("sample=0", "sample"),
            ("sample=1.1", "sample"),
            ("sample=NaN", "sample"),
            ("rate=0", "rate"),
            ("rate=1001", "rate"),
            ("type=%24", "type"),
            ("userId=", "userId"),
        ];
        for (query, name) in table {
            assert_eq!(
                parse(query).unwrap_err().member("parameter"),
                name,
                "{query}"
            );
        }
        assert!(parse("type=a,b&userId=u&sample=0.5&rate=10").is_ok());
    }

    #[test]
    fn a_rate_is_kept_over_time_and_an_absence_made_up_for() {
        let clock = Clock::manual(0);
        let mut allowance = parse("rate=10").unwrap().allowance(clock.now());
        let taken = |allowance: &mut Allowance| (0..1_000).filter(|_| allowance.take()).count();
        assert_eq!(taken(&mut allowance), 10);
        clock.advance(Duration::from_millis(500));
        allowance.refill(clock.now());
        assert_eq!(taken(&mut allowance), 5);
        clock.advance(Duration::from_secs(60));
        allowance.refill(clock.now());
        assert_eq!(taken(&mut allowance), 10);
        allowance.grant_absence(Duration::from_secs(3));
        allowance.refill(clock.now());
        assert_eq!(taken(&mut allowance), 30);
        allowance.grant_absence(Duration::from_secs(3_600));
        assert_eq!(taken(&mut allowance), 600);
    }
}
