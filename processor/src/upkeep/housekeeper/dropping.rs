//! Dropping what is gone: the letters first, then the spans, oldest first, each with its row.

use evp_shared::audit::Actor;
use evp_shared::dead_letters::{Below, DeadLetters, Filter, LIMIT_MAX, Operation, Request};
use evp_shared::store::{Marks, Row, lease, spans};
use tracing::{info, warn};

use super::{House, HouseError};

/// Drops what ends at or before the mark, while `house` has the lease.
///
/// # Errors
/// [`HouseError`]; repeating is harmless, and what a dead one left is dropped by the next.
pub async fn drop_gone(house: &House, rows: &[Row], marks: Marks) -> Result<(), HouseError> {
    if marks.gone_ms == 0 {
        return Ok(());
    }
    purge_letters(house, marks.gone_ms).await?;
    // By time, oldest first, as rows are read.
    for row in rows.iter().filter(|row| marks.is_gone(&row.span)) {
        let holder = lease::take(&house.database, &house.holder, house.waits.lease()).await?;
        if holder != house.holder {
            warn!(holder, "another one has the lease");
            return Ok(());
        }
        spans::drop_span(&house.database, &row.span).await?;
        house.metrics.spans_dropped.increment(1);
        info!(span = %row.span, "span dropped");
    }
    Ok(())
}

/// A letter of an event that is gone could be replayed for ever and never be stored.
async fn purge_letters(house: &House, gone_ms: u64) -> Result<(), HouseError> {
    let letters = DeadLetters::new(house.database.clone(), std::time::Duration::ZERO);
    let filter = Filter {
        below: Some(Below {
            identity: house.identity,
            ms: gone_ms,
        }),
        ..Filter::default()
    };
    let matched = letters.count(&filter).await?;
    if matched == 0 {
        return Ok(());
    }
    let request = Request {
        actor: Actor::here(format!("housekeeper of {}", house.holder)),
        operation: Operation::Expire,
        filter,
        limit: LIMIT_MAX,
        matched,
    };
    let handled = letters.operate(&request).await?;
    house.metrics.letters_expired.increment(handled.done);
    info!(
        letters = handled.done,
        "dead letters of events that are gone were purged"
    );
    Ok(())
}
