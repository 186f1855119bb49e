//! Hot path: from a request to its answer.
//!
//! Forbidden here: logs, locks across an await, anything per event.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evp_shared::access::map::{Exceeded, Unit};
use evp_shared::choice::Choice as _;
use evp_shared::http::admin;
use evp_shared::http::body::{self, BodyError};
use evp_shared::http::problem::Problem;
use evp_shared::http::server::RequestBody;
use evp_shared::outcome::RejectReason;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use tokio::sync::oneshot;

use crate::admission::{self, LoadSnapshot, Reservation, ShedReason};
use crate::append::submission::{Sending, Submission, Waiter};
use crate::decode::{DecodeContext, DecodedRequest, Decoder, decompress};
use crate::http::context::Context;
use crate::http::head::Head;
use crate::http::metered::MeteredBody;
use crate::http::response::{self, Answer};
use crate::metrics::Route;
use crate::outcome::AppendOutcome;
use crate::sender::Sender;

/// A wait for a slice of a quota, and not for the next day.
const SLICE_WITHIN: Duration = Duration::from_secs(1);

thread_local! {
    /// One decoder for each worker: decoding does not wait, so nobody else uses it meanwhile.
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::default());
}

/// Answers one request.
pub(crate) async fn handle(app: Arc<Context>, request: Request<RequestBody>) -> Answer {
    let under_way = app.metrics.began(app.clock.now());
    let path = request.uri().path();
    let (route, response) = if path == "/events" {
        (Route::Events, events(&app, request).await)
    } else if path == "/livez" {
        (Route::Other, livez(request.method()))
    } else {
        let problem = Problem::from(RejectReason::NotFound);
        (Route::Other, problem.into_response())
    };
    under_way.ended(route, response.status().as_u16(), app.clock.now());
    response
}

fn livez(method: &Method) -> Answer {
    if method == Method::GET || method == Method::HEAD {
        admin::livez()
    } else {
        response::method_not_allowed("GET, HEAD")
    }
}

async fn events(app: &Context, request: Request<RequestBody>) -> Answer {
    let origin = app
        .door
        .origin(request.headers(), &app.in_force.load().cors);
    let method = request.method();
    let mut answer = if method == Method::POST {
        let answer = post(app, request).await;
        answer.unwrap_or_else(Problem::into_response)
    } else if method == Method::OPTIONS {
        app.in_force
            .load()
            .cors
            .preflight(response::empty(StatusCode::NO_CONTENT), origin.is_some())
    } else {
        response::method_not_allowed("POST, OPTIONS")
    };
    app.in_force.load().cors.mark(answer.headers_mut(), origin);
    answer
}

/// Refuses a request for load.
fn shed(app: &Context, reason: ShedReason) -> Problem {
    app.metrics.shed[reason as usize].increment(1);
    let code = match reason {
        ShedReason::Draining => RejectReason::ShuttingDown,
        ShedReason::RedisUnavailable | ShedReason::RedisMemory => RejectReason::NotAccepted,
        ShedReason::StorageFull => RejectReason::StorageFull,
        ShedReason::InFlightBytes
        | ShedReason::Backlog
        | ShedReason::AppendWait
        | ShedReason::QueueFull => RejectReason::Overloaded,
    };
    Problem::from(code).retry_after(app.load.retry_after_shed(reason))
}

/// Refuses a request of somebody over a rate or a quota.
fn limited(app: &Context, sender: &Sender, over: &Exceeded) -> Answer {
    app.metrics.limited.increment(1);
    sender.refused(over.reason);
    // A slice is on its way, or could be: what is spent is not asked for at once.
    if over.reason == RejectReason::QuotaExceeded && over.wait <= SLICE_WITHIN {
        app.wants_quota.notify_one();
    }
    response::limited(over)
}

async fn post(app: &Context, request: Request<RequestBody>) -> Result<Answer, Problem> {
    let now_ms = app.clock.now_ms();
    let (parts, body) = request.into_parts();
    let sender = app.door.enter(&parts, &app.in_force.load().cors, now_ms)?;
    body.connection().note_credential();
    sender.sends(1, now_ms);
    if let Err(over) = sender.passes((app.now_ns(), now_ms)) {
        return Ok(limited(app, &sender, &over));
    }
    let answered = receive(app, &sender, &parts, body, now_ms).await;
    if let Err(problem) = &answered
        && let Some(reason) = RejectReason::named(problem.code())
    {
        sender.refused(reason);
    }
    answered
}

/// Takes a request of somebody who may send.
async fn receive(
    app: &Context,
    sender: &Sender,
    parts: &Parts,
    body: RequestBody,
    now_ms: u64,
) -> Result<Answer, Problem> {
    let head = Head::parse(parts)?;
    let load = app.load.snapshot(now_ms);
    admission::decide(&load, &app.limits()).map_err(|reason| shed(app, reason))?;
    check_share(app, sender, &load, now_ms)?;
    let mut reserved = app.load.reserve_of(sender.share().cloned());
    let wire = read_body(app, body, &mut reserved).await?;
    app.metrics.body_bytes.increment(wire.len() as u64);
    let plain = match head.encoding {
        None => wire,
        Some(encoding) => {
            let plain = decompress::inflate(&wire, encoding, app.config.body.decoded_bytes_max)?;
            reserved
                .grow(plain.len(), app.limits().in_flight_bytes)
                .map_err(|reason| shed(app, reason))?;
            drop(wire);
            Bytes::from(plain)
        }
    };
    let ctx = DecodeContext {
        tenant: &sender.tenant,
        now_ms: app.clock.now_ms(),
        identity: &app.identity,
        limits: app.config.body,
        rules: app.config.rules,
        idempotency_key: head.idempotency_key,
        floor_ms: app.load.floor_ms(),
        types: sender.types(),
    };
    if let Err(over) = sender.take_rate(Unit::Bytes, plain.len(), app.now_ns()) {
        return Ok(limited(app, sender, &over));
    }
    let mut request =
        DECODER.with_borrow_mut(|decoder| decoder.decode(&plain, head.format, &ctx))?;
    drop(plain);
    let taken_ms = app.clock.now_ms();
    if let Err(over) = take_events(app, sender, &request, taken_ms) {
        return Ok(limited(app, sender, &over));
    }
    for event in &request.rejected {
        app.metrics.rejected(event.rejection.code);
        sender.refused(event.rejection.code);
    }
    request.keep_rejected(response::REJECTED_MAX);
    if request.batch.events.is_empty() {
        return Ok(response::held(response::all_rejected(&request), reserved));
    }
    reserved.set(request.held_bytes());
    let sending = Sending {
        sender: sender.clone(),
        taken_ms,
    };
    append(app, sending, Arc::new(request), reserved, head.ids).await
}

/// Has the events of a request pass, those that were rejected too where what is counted is work.
fn take_events(
    app: &Context,
    sender: &Sender,
    request: &DecodedRequest,
    now_ms: u64,
) -> Result<(), Exceeded> {
    let events = request.batch.events.len();
    sender.take_rate(Unit::Events, events + request.rejected.len(), app.now_ns())?;
    sender.take_quota(events, now_ms)?;
    sender.sends(events, now_ms);
    Ok(())
}

/// Leaves the last quarter of each bound to tenants that have no more than their even share.
fn check_share(
    app: &Context,
    sender: &Sender,
    load: &LoadSnapshot,
    now_ms: u64,
) -> Result<(), Problem> {
    let decided = admission::decide_over_share(load, &app.limits());
    let (Err(reason), Some(share)) = (decided, sender.share()) else {
        return Ok(());
    };
    let even = app.load.even_share();
    if even.is_exceeded(share, load.in_flight_bytes, now_ms / 1_000) {
        return Err(shed(app, reason));
    }
    Ok(())
}

async fn read_body(
    app: &Context,
    body: RequestBody,
    reserved: &mut Reservation,
) -> Result<Bytes, Problem> {
    let limit = app.limits().in_flight_bytes;
    let metered = MeteredBody::new(body, reserved, limit);
    let read = body::read(metered, &app.config.wire, || app.load.is_crowded(limit)).await;
    reserved.arrived();
    read.map_err(|error| match error {
        BodyError::TooLarge { limit } => Problem::from(RejectReason::BodyTooLarge)
            .detail(format!("a body may have {limit} bytes")),
        BodyError::Stalled { .. } | BodyError::Deadline { .. } => RejectReason::BodyTimeout.into(),
        BodyError::Aborted(source) => match source.downcast_ref() {
            Some(reason) => shed(app, *reason),
            None => RejectReason::TruncatedBody.into(),
        },
    })
}

/// Hands the events on, and answers what became of them.
async fn append(
    app: &Context,
    sending: Sending,
    request: Arc<DecodedRequest>,
    reserved: Reservation,
    ids: response::Ids,
) -> Result<Answer, Problem> {
    let handed_on = hand_on(app, sending, Arc::clone(&request), reserved);
    let (outcome, reserved) = handed_on.await?;
    let answer = match outcome {
        AppendOutcome::Appended => response::accepted(&request, ids, app.durability.clone()),
        AppendOutcome::NotAccepted => Problem::from(RejectReason::NotAccepted)
            .retry_after(app.load.retry_after())
            .into_response(),
        AppendOutcome::NotConfirmed => response::not_confirmed(&request, app.load.retry_after()),
    };
    Ok(response::held(answer, reserved))
}

/// Hands events to the batcher and waits for what becomes of them.
///
/// # Errors
/// The batcher has no room.
pub(crate) async fn hand_on(
    app: &Context,
    sending: Sending,
    request: Arc<DecodedRequest>,
    reserved: Reservation,
) -> Result<(AppendOutcome, Reservation), Problem> {
    let (answer, outcome) = oneshot::channel();
    let events = request.batch.events.len();
    let waiter = Waiter {
        answer,
        reserved,
        events,
        metrics: Arc::clone(&app.metrics),
        sending: sending.clone(),
    };
    let submission = Submission {
        tenant: Arc::clone(&sending.sender.tenant),
        request,
        waiter,
    };
    app.submissions.try_send(submission).map_err(|_| {
        sending.give_back(events);
        shed(app, ShedReason::QueueFull)
    })?;
    Ok(outcome.await.unwrap_or_else(|_| {
        // An append that ended without a word is a bug, and may have worked.
        let outcome = AppendOutcome::NotConfirmed;
        app.metrics.count(outcome, events);
        sending.ended(outcome, events);
        (outcome, app.load.reserve())
    }))
}
