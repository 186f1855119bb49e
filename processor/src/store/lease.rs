//! Working under the lease of all that changes spans ([`evp_shared::store::lease`]).

use std::pin::pin;
use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use evp_shared::store::lease;
use mongodb::Database;
use mongodb::error::Error as MongoError;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// How long the lease of one who died lasts.
const TIME: Duration = Duration::from_secs(30);

/// Between two renewals: one may fail.
const RENEW_EVERY: Duration = Duration::from_secs(8);

/// How long the answer to one is waited for.
const RENEW_PATIENCE: Duration = Duration::from_secs(5);

/// How long the work of another one is waited for: longer than one who died has it, which is 150 s
/// for a processor that was keeping house (two and a half of its rounds).
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two attempts to take it.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why there is no lease to work under.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another one works under it.
    #[error("the spans are being worked on by {holder}: run this again when that is done")]
    Taken {
        /// Who.
        holder: String,
    },
    /// It could not be renewed, and another one may work under it.
    #[error("the lease on the spans was lost: run this again")]
    Lost,
    /// MongoDB.
    #[error("mongodb failed")]
    Mongo(#[from] MongoError),
}

/// Does `work` while nobody else seals, drops, mends or erases; `what` is what others are told.
///
/// Waits for one who is at it, a little longer than one who died has the lease.
///
/// # Errors
/// [`LeaseError`]: `work` was not begun, or was dropped midway.
///
/// # Cancel safety
/// Dropped, the lease ends by itself.
pub async fn under<T>(
    database: &Database,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T, LeaseError> {
    let clock = Clock::system();
    let holder = format!("{what} {:08x}", rand::random::<u32>());
    let mut until = take(database, &holder, &clock).await?;
    let mut work = pin!(work);
    let done = loop {
        if let Ok(done) = timeout(RENEW_EVERY, &mut work).await {
            break Ok(done);
        }
        let asked = clock.now();
        let renewed = timeout(RENEW_PATIENCE, lease::take(database, &holder, TIME)).await;
        match renewed {
            Ok(Ok(has_it)) if has_it == holder => until = asked + TIME,
            Ok(Ok(_)) => break Err(LeaseError::Lost),
            Ok(Err(_)) | Err(_) if clock.now() < until => {}
            Ok(Err(_)) | Err(_) => break Err(LeaseError::Lost),
        }
    };
    // Whoever comes next waits for its end otherwise.
    if let Err(error) = lease::release(database, &holder).await {
        warn!(%error, "the lease ends by itself");
    }
    done
}

/// Takes the lease, and says until when at least it is there.
async fn take(database: &Database, holder: &str, clock: &Clock) -> Result<Instant, LeaseError> {
    let begun = clock.now();
    loop {
        let asked = clock.now();
        let has_it = lease::take(database, holder, TIME).await?;
        if has_it == holder {
            return Ok(asked + TIME);
        }
        if asked - begun > PATIENCE {
            return Err(LeaseError::Taken { holder: has_it });
        }
        sleep(LOOK_EVERY).await;
    }
}
