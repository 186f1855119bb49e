//! Hot path: from a request to its answer.
//!
//! Forbidden here: logs, locks across an await, anything per event.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use evp_shared::http::admin;
use evp_shared::http::body::{self, BodyError};
use evp_shared::http::server::RequestBody;
use evp_shared::outcome::RejectReason;
use http::{Method, Request, StatusCode};
use tokio::sync::oneshot;

use crate::admission::{self, Reservation, ShedReason};
use crate::append::submission::{Submission, Waiter};
use crate::decode::{BodyProblem, DecodeContext, DecodedRequest, Decoder, decompress};
use crate::http::context::Context;
use crate::http::head::{Head, HeadFault};
use crate::http::metered::{MeteredBody, OverBudget};
use crate::http::response::{self, Answer};
use crate::metrics::Route;
use crate::outcome::AppendOutcome;

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
        (
            Route::Other,
            response::problem(RejectReason::NotFound).into_response(),
        )
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
    let origin = app.cors.allows(request.headers());
    let method = request.method();
    let mut answer = if method == Method::POST {
        match post(app, request).await {
            Ok(answer) => answer,
            Err(refusal) => refuse(app, &refusal),
        }
    } else if method == Method::OPTIONS {
        app.cors
            .preflight(response::empty(StatusCode::NO_CONTENT), origin.is_some())
    } else {
        response::method_not_allowed("POST, OPTIONS")
    };
    app.cors.mark(answer.headers_mut(), origin);
    answer
}

/// Why a request is refused as a whole.
#[derive(Debug)]
enum Refusal {
    Shed(ShedReason),
    Reason(RejectReason),
    Head(HeadFault),
    /// A body larger than this many bytes.
    TooLarge(usize),
    Body(BodyProblem),
}

impl From<ShedReason> for Refusal {
    fn from(reason: ShedReason) -> Self {
        Self::Shed(reason)
    }
}

impl From<RejectReason> for Refusal {
    fn from(reason: RejectReason) -> Self {
        Self::Reason(reason)
    }
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Self {
        Self::Head(fault)
    }
}

impl From<BodyProblem> for Refusal {
    fn from(problem: BodyProblem) -> Self {
        Self::Body(problem)
    }
}

fn refuse(app: &Context, refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Shed(reason) => {
            app.metrics.shed[*reason as usize].increment(1);
            let code = match reason {
                ShedReason::Draining => RejectReason::ShuttingDown,
                ShedReason::RedisUnavailable | ShedReason::RedisMemory => RejectReason::NotAccepted,
                ShedReason::InFlightBytes
                | ShedReason::Backlog
                | ShedReason::AppendWait
                | ShedReason::QueueFull => RejectReason::Overloaded,
            };
            response::not_accepted(code, app.load.retry_after_shed(*reason))
        }
        Refusal::Reason(reason) => response::problem(*reason).into_response(),
        Refusal::Head(fault) => response::head_problem(fault.reason, fault.parameter.as_deref()),
        Refusal::TooLarge(limit) => response::problem(RejectReason::BodyTooLarge)
            .detail(format!("a body may have {limit} bytes"))
            .into_response(),
        Refusal::Body(problem) => response::body_problem(problem),
    }
}

async fn post(app: &Context, request: Request<RequestBody>) -> Result<Answer, Refusal> {
    app.cors.check(request.headers())?;
    let now_ms = app.clock.now_ms();
    admission::decide(&app.load.snapshot(now_ms), &app.limits)?;
    let (parts, body) = request.into_parts();
    let head = Head::parse(&parts)?;
    let mut reserved = app.load.reserve();
    let wire = read_body(app, body, &mut reserved).await?;
    app.metrics.body_bytes.increment(wire.len() as u64);
    let plain = match head.encoding {
        None => wire,
        Some(encoding) => {
            let plain = decompress::inflate(&wire, encoding, app.body_limits.decoded_bytes_max)?;
            reserved.grow(plain.len(), app.limits.in_flight_bytes)?;
            drop(wire);
            Bytes::from(plain)
        }
    };
    let ctx = DecodeContext {
        tenant: &app.tenant,
        now_ms: app.clock.now_ms(),
        identity: &app.identity,
        limits: app.body_limits,
        rules: app.rules,
        idempotency_key: head.idempotency_key,
    };
    let mut request =
        DECODER.with_borrow_mut(|decoder| decoder.decode(&plain, head.format, &ctx))?;
    drop(plain);
    for event in &request.rejected {
        app.metrics.rejected(event.rejection.code);
    }
    request.keep_rejected(response::REJECTED_MAX);
    if request.batch.events.is_empty() {
        return Ok(response::held(response::all_rejected(&request), reserved));
    }
    reserved.set(request.held_bytes());
    append(app, Arc::new(request), reserved, head.ids).await
}

async fn read_body(
    app: &Context,
    body: RequestBody,
    reserved: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let limit = app.limits.in_flight_bytes;
    let metered = MeteredBody::new(body, reserved, limit);
    let read = body::read(metered, &app.wire, || app.load.is_crowded(limit)).await;
    reserved.arrived();
    read.map_err(|error| match error {
        BodyError::TooLarge { limit } => Refusal::TooLarge(limit),
        BodyError::Stalled { .. } | BodyError::Deadline { .. } => RejectReason::BodyTimeout.into(),
        BodyError::Aborted(source) if source.is::<OverBudget>() => ShedReason::InFlightBytes.into(),
        BodyError::Aborted(_) => RejectReason::TruncatedBody.into(),
    })
}

/// Hands the events on and waits for what becomes of them.
async fn append(
    app: &Context,
    request: Arc<DecodedRequest>,
    reserved: Reservation,
    ids: response::Ids,
) -> Result<Answer, Refusal> {
    let (answer, outcome) = oneshot::channel();
    let events = request.batch.events.len();
    let waiter = Waiter {
        answer,
        reserved,
        events,
        metrics: Arc::clone(&app.metrics),
    };
    let submission = Submission {
        tenant: Arc::clone(&app.tenant),
        request: Arc::clone(&request),
        waiter,
    };
    app.submissions
        .try_send(submission)
        .map_err(|_| ShedReason::QueueFull)?;
    let (outcome, reserved) = outcome.await.unwrap_or_else(|_| {
        // An append that ended without a word is a bug, and may have worked.
        let outcome = AppendOutcome::NotConfirmed;
        app.metrics.ended(outcome, events);
        (outcome, app.load.reserve())
    });
    let answer = match outcome {
        AppendOutcome::Appended => response::accepted(&request, ids, app.durability.clone()),
        AppendOutcome::NotAccepted => {
            response::not_accepted(RejectReason::NotAccepted, app.load.retry_after())
        }
        AppendOutcome::NotConfirmed => response::not_confirmed(&request, app.load.retry_after()),
    };
    Ok(response::held(answer, reserved))
}
