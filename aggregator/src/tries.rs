//! How often a client has tried: what cannot be guessed is not to keep anybody busy either.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use evp_shared::http::client::network;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::{HeaderName, HeaderValue};
use moka::future::Cache;

const WITHIN: Duration = Duration::from_secs(60);
/// Clients that are remembered; beyond them, those who came least are not.
const CLIENTS_MAX: u64 = 10_000;

/// Counts tries by client, and forgets them a minute after the first.
#[derive(Debug)]
pub struct Tries {
    name: &'static str,
    most: u32,
    counts: Cache<IpAddr, Arc<AtomicU32>>,
}

impl Tries {
    /// Of what `name` calls, `most` in a minute.
    pub fn new(name: &'static str, most: u32) -> Self {
        let counts = Cache::builder()
            .max_capacity(CLIENTS_MAX)
            .time_to_live(WITHIN);
        Self {
            name,
            most,
            counts: counts.build(),
        }
    }

    /// Counts a try of `client`, before it is made: of those at the same time none is overlooked.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn take(&self, client: IpAddr) -> Result<Try, Limited> {
        let count = self
            .counts
            .get_with(network(client), async { Arc::default() });
        let count = count.await;
        let next = |tried| (tried < self.most).then_some(tried + 1);
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Ok(Try(count)),
            Err(_) => Err(Limited {
                name: self.name,
                most: self.most,
            }),
        }
    }
}

/// A try that was counted.
#[derive(Debug)]
pub struct Try(Arc<AtomicU32>);

impl Try {
    /// Counts it no more: it was none of those that are bounded.
    pub fn give_back(self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Too many tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client may try {name} {most} times in a minute")]
pub struct Limited {
    name: &'static str,
    most: u32,
}

impl Limited {
    /// As headers of draft-ietf-httpapi-ratelimit-headers-10: what is left, and the policy.
    pub fn headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let Self { name, most } = self;
        let within_s = WITHIN.as_secs();
        let headers = [
            ("ratelimit", format!("\"{name}\";r=0;t={within_s}")),
            (
                "ratelimit-policy",
                format!("\"{name}\";q={most};w={within_s}"),
            ),
        ];
        headers.into_iter().filter_map(|(name, value)| {
            let value = HeaderValue::try_from(value).ok()?;
            Some((HeaderName::from_static(name), value))
        })
    }
}

impl From<Limited> for Problem {
    fn from(_: Limited) -> Self {
        Self::from(RejectReason::RateLimited).retry_after(WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tries_of_a_network_are_counted_together() {
        let tries = Tries::new("t", 2);
        let [one, neighbour, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:1::1"].map(|text| text.parse().unwrap());
        let first = tries.take(one).await.unwrap();
        tries.take(neighbour).await.unwrap();
        // Neither of them has ended.
        assert!(tries.take(one).await.is_err());
        assert!(tries.take(other).await.is_ok());
        first.give_back();
        assert!(tries.take(neighbour).await.is_ok());
        assert!(tries.take(one).await.is_err());
        let [v4, mapped]: [IpAddr; 2] =
            ["192.0.2.1", "::ffff:192.0.2.1"].map(|text| text.parse().unwrap());
        assert_eq!(network(v4), network(mapped));
    }
}
