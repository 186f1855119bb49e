//! Hot path: whether the time in an event's id is one that is taken. Pure.
//!
//! Forbidden here: allocation, also for a rejected event.

use evp_shared::event::Event;
use evp_shared::event::id::{CanonicalId, embedded_ms};
use evp_shared::event::reject::Rejection;
use evp_shared::event::timestamp::AHEAD_MAX_MS;
use evp_shared::outcome::RejectReason;

use super::decoded::DecodeContext;

/// Checks that `id`, that of `event`, names no span of the future, which would be files for
/// nothing, and none that has ended.
pub(super) fn check(
    ctx: &DecodeContext<'_>,
    id: &CanonicalId,
    event: &Event<'_>,
) -> Result<(), Rejection> {
    let Some(time_ms) = ctx.identity.time_ms(id) else {
        return ctx.floor_ms.map_or(Ok(()), |_| Err(undated(event)));
    };
    // A timestamp that lies so far ahead was refused when it was read.
    if time_ms > ctx.now_ms.saturating_add(AHEAD_MAX_MS) {
        let code = RejectReason::InvalidEventId;
        return Err(Rejection::field(code, "eventId", code.message()));
    }
    match ctx.floor_ms {
        Some(floor_ms) if time_ms < floor_ms => Err(too_old(event)),
        Some(_) | None => Ok(()),
    }
}

fn too_old(event: &Event<'_>) -> Rejection {
    let code = RejectReason::TooOld;
    // The time of an id that is made here is this clock's, which then is wrong by much.
    let Some(event_id) = event.event_id else {
        return code.into();
    };
    let field = match embedded_ms(event_id) {
        Some(_) => "eventId",
        None => "timestamp",
    };
    Rejection::field(code, field, code.message())
}

fn undated(event: &Event<'_>) -> Rejection {
    let code = RejectReason::Undated;
    if event.timestamp_ms.is_none() {
        return Rejection::field(code, "timestamp", code.message());
    }
    let message = "send a UUIDv7: with dedupe.identity = \"id\" a timestamp dates no id";
    Rejection::field(code, "eventId", message)
}

#[cfg(test)]
mod tests;
