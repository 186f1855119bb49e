//! `/admin/dead-letters`.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evp_shared::dead_letters::{Filter, LetterId};
use evp_shared::event::kind::check_event_type;
use evp_shared::http::body::{self, BodyError, BodyLimits};
use evp_shared::outcome::{DeadReason, RejectReason};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::letters::{Done, LetterHead, LetterWhole, Operation};
use crate::auth::Operator;
use crate::error::QueryError;
use crate::params::{BadParameter, Params};
use crate::routes::json;
use crate::schema::problem::{Problem, Reading, WithBody};
use crate::state::App;
use crate::time::{INSTANT_HINT, parse_instant};

const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 200;

/// Letters one request may name.
const IDS_MAX: usize = 1_000;

/// Room for as many ids, and slow clients.
const BODY: BodyLimits = BodyLimits {
    wire_bytes: 256 * 1024,
    idle: Duration::from_secs(10),
    total: Duration::from_secs(30),
};

const LIST_PARAMETERS: &[&str] = &["reason", "type", "from", "to", "limit", "cursor"];

/// The answer of `GET /admin/dead-letters`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LettersAnswer {
    items: Vec<LetterHead>,
    next_cursor: Option<String>,
}

/// The body of a replay or a purge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OperationBody {
    /// Which ones: at most 1,000 ids, as lists give them.
    ids: Option<Vec<String>>,
    /// Or all that match; `{}` is all there are.
    filter: Option<FilterBody>,
    /// Only say how many it would be; `true` unless it is `false`.
    dry_run: Option<bool>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterBody {
    reason: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    from: Option<Instant>,
    to: Option<Instant>,
}

/// A time, as text or as Unix seconds or ms.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "send RFC 3339 such as 2026-01-31T08:00:00Z, or seconds or ms since 1970"
)]
pub(crate) enum Instant {
    Number(u64),
    Text(String),
}

/// List dead letters
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/admin/dead-letters",
    tag = "admin",
    operation_id = "listDeadLetters",
    params(
        ("reason" = Option<String>, Query, description = "`undecodable`, `refused_by_store` or `id_collision`"),
        ("type" = Option<String>, Query, description = "One event type"),
        ("from" = Option<String>, Query, description = "Kept since: RFC 3339, seconds or ms since 1970, or `-15m`"),
        ("to" = Option<String>, Query, description = "Kept before"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = LettersAnswer), Reading)
)]
pub(crate) async fn list(
    State(app): State<App>,
    _: Operator,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, LIST_PARAMETERS)?;
    let text = |name| params.single(name);
    let filter = filter(
        app.clock.now_ms(),
        (text("reason")?, text("type")?),
        (text("from")?, text("to")?),
    )?;
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let after = match text("cursor")? {
        None => None,
        Some(cursor) => Some(decode(cursor).ok_or(QueryError::Cursor)?),
    };
    let (items, next) = app.admin.letters(&filter, after.as_ref(), limit).await?;
    json(&LettersAnswer {
        items,
        next_cursor: next.as_ref().map(encode),
    })
}

/// A dead letter with what was kept
#[utoipa::path(
    get,
    path = "/admin/dead-letters/{id}",
    tag = "admin",
    operation_id = "deadLetter",
    params(("id" = String, Path, description = "As lists give it")),
    responses(
        (status = 200, description = "The dead letter", body = LetterWhole),
        (status = 404, description = "There is none of this id", body = Problem,
         content_type = "application/problem+json"),
        Reading,
    )
)]
pub(crate) async fn one(
    State(app): State<App>,
    _: Operator,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    let id: LetterId = id.ok_or(QueryError::DeadLetterNotFound)?;
    json(&app.admin.letter(id).await?)
}

/// Put dead letters onto the stream again
///
/// Nothing is changed unless `dryRun` is `false`.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/replay",
    tag = "admin",
    operation_id = "replayDeadLetters",
    request_body = OperationBody,
    responses((status = 200, description = "What was done, or would be", body = Done), WithBody)
)]
pub(crate) async fn replay(
    State(app): State<App>,
    operator: Operator,
    request: Request,
) -> Result<Response, QueryError> {
    operate(Operation::Replay, &app, operator, request).await
}

/// Delete dead letters for good
///
/// Nothing is changed unless `dryRun` is `false`.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/purge",
    tag = "admin",
    operation_id = "purgeDeadLetters",
    request_body = OperationBody,
    responses((status = 200, description = "What was done, or would be", body = Done), WithBody)
)]
pub(crate) async fn purge(
    State(app): State<App>,
    operator: Operator,
    request: Request,
) -> Result<Response, QueryError> {
    operate(Operation::Purge, &app, operator, request).await
}

async fn operate(
    operation: Operation,
    app: &App,
    _: Operator,
    request: Request,
) -> Result<Response, QueryError> {
    Params::parse(request.uri(), &[])?;
    let (head, body) = request.into_parts();
    let asked = read_body(&head.headers, body).await?;
    let dry_run = asked.dry_run.unwrap_or(true);
    let filter = asked.filter(app.clock.now_ms())?;
    json(&app.admin.operate(operation, filter, dry_run).await?)
}

/// Reads JSON, and only what says that it is: a form of another page's cannot say so.
async fn read_body(headers: &HeaderMap, body: Body) -> Result<OperationBody, QueryError> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(fault(
            RejectReason::UnsupportedContentType,
            "send application/json",
        ));
    }
    let bytes = body::read(body, &BODY).await.map_err(|error| match error {
        BodyError::TooLarge { .. } => fault(
            RejectReason::BodyTooLarge,
            format!("send at most {} bytes", BODY.wire_bytes),
        ),
        BodyError::Stalled { .. } | BodyError::Deadline { .. } => {
            fault(RejectReason::BodyTimeout, "send the body without pauses")
        }
        BodyError::Aborted(_) => fault(RejectReason::TruncatedBody, "send the whole body"),
    })?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<OperationBody, QueryError> {
    let malformed =
        |error: serde_json::Error| fault(RejectReason::MalformedJson, error.to_string());
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let asked = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            BadParameter::invalid(&path, error.to_string()).into()
        } else {
            malformed(error)
        }
    })?;
    json.end().map_err(malformed)?;
    Ok(asked)
}

fn fault(reason: RejectReason, fault: impl Into<std::borrow::Cow<'static, str>>) -> QueryError {
    QueryError::Body {
        reason,
        fault: fault.into(),
    }
}

impl OperationBody {
    fn filter(self, now_ms: u64) -> Result<Filter, BadParameter> {
        match (self.ids, self.filter) {
            (Some(ids), None) => by_ids(&ids),
            (None, Some(asked)) => {
                let text = |instant: Option<Instant>| match instant {
                    None => None,
                    Some(Instant::Number(number)) => Some(number.to_string()),
                    Some(Instant::Text(text)) => Some(text),
                };
                let (from, to) = (text(asked.from), text(asked.to));
                filter(
                    now_ms,
                    (asked.reason.as_deref(), asked.event_type.as_deref()),
                    (from.as_deref(), to.as_deref()),
                )
                .map_err(|bad| BadParameter {
                    name: format!("filter.{}", bad.name),
                    ..bad
                })
            }
            _ => Err(BadParameter::invalid("ids", "send either ids or filter")),
        }
    }
}

/// An empty list means none, where an empty filter means all.
fn by_ids(ids: &[String]) -> Result<Filter, BadParameter> {
    if !(1..=IDS_MAX).contains(&ids.len()) {
        let fault = format!("send from 1 to {IDS_MAX}");
        return Err(BadParameter::invalid("ids", fault));
    }
    let parse = |id: &String| {
        let fault = || BadParameter::invalid("ids", "send ids as the list gives them");
        id.parse().map_err(|_| fault())
    };
    Ok(Filter {
        ids: ids.iter().map(parse).collect::<Result<_, _>>()?,
        ..Filter::default()
    })
}

fn filter(
    now_ms: u64,
    (reason, event_type): (Option<&str>, Option<&str>),
    (from, to): (Option<&str>, Option<&str>),
) -> Result<Filter, BadParameter> {
    let instant = |name, text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        let ms = parse_instant(text, now_ms).and_then(|ms| u64::try_from(ms).ok());
        ms.map(Some)
            .ok_or_else(|| BadParameter::invalid(name, INSTANT_HINT))
    };
    if let Some(event_type) = event_type {
        check_event_type(event_type)
            .map_err(|rejection| BadParameter::invalid("type", rejection.message))?;
    }
    Ok(Filter {
        reason: reason.map(parse_reason).transpose()?,
        event_type: event_type.map(str::to_owned),
        from_ms: instant("from", from)?,
        to_ms: instant("to", to)?,
        ..Filter::default()
    })
}

fn parse_reason(text: &str) -> Result<DeadReason, BadParameter> {
    let mut all = DeadReason::ALL.into_iter();
    all.find(|reason| reason.as_str() == text).ok_or_else(|| {
        let names = DeadReason::ALL.map(DeadReason::as_str);
        BadParameter::invalid("reason", format!("send one of {}", names.join(", ")))
    })
}

fn encode((at_ms, id): &(u64, LetterId)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{at_ms} {id}"))
}

fn decode(cursor: &str) -> Option<(u64, LetterId)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (at_ms, id) = text.split_once(' ')?;
    Some((at_ms.parse().ok()?, id.parse().ok()?))
}

#[cfg(test)]
mod tests;
