//! Hot path: whether the time in an event's id is one that is taken. Pure.
//!
//! Forbidden here: allocation, also for a rejected event.

use evp_shared::event::id::CanonicalId;
use evp_shared::event::reject::Rejection;
use evp_shared::event::timestamp::AHEAD_MAX_MS;
use evp_shared::outcome::RejectReason;

use super::decoded::DecodeContext;

/// Checks that `id` names no span of the future: spans are made for what may come, and are files.
pub(super) fn check(ctx: &DecodeContext<'_>, id: &CanonicalId) -> Result<(), Rejection> {
    let Some(time_ms) = ctx.identity.time_ms(id) else {
        return Ok(());
    };
    // A timestamp that lies so far ahead was refused when it was read.
    if time_ms > ctx.now_ms.saturating_add(AHEAD_MAX_MS) {
        let code = RejectReason::InvalidEventId;
        return Err(Rejection::field(code, "eventId", code.message()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
