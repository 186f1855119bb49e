//! `/admin/dead-letters`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evp_shared::audit::Actor;
use evp_shared::choice::Choice as _;
use evp_shared::dead_letters::{Filter, LetterId, Operation};
use evp_shared::event::kind::check_event_type;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::{DeadReason, RejectReason};
use http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::letters::{Done, LetterHead, LetterWhole};
use crate::auth::{Asker, Manager};
use crate::error::{QueryError, bad_cursor, bad_parameter};
use crate::params::Params;
use crate::routes::body::{Asked, object_or_null};
use crate::routes::{json, named};
use crate::schema::problem::{ProblemSchema, Reading, WithBody};
use crate::state::App;
use crate::time::{INSTANT_HINT, parse_instant};

const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 200;

/// Letters one request may name.
const IDS_MAX: usize = 1_000;

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
    #[serde(default, deserialize_with = "object_or_null")]
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
    manager: Manager,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, LIST_PARAMETERS)?;
    let text = |name| Ok::<_, Problem>(params.single(name)?.map(str::to_owned));
    let written = (params.single("from")?, params.single("to")?);
    let asked = FilterBody {
        reason: text("reason")?,
        event_type: text("type")?,
        from: text("from")?.map(Instant::Text),
        to: text("to")?.map(Instant::Text),
    };
    let filter = Filter {
        tenant: manager.tenant(),
        ..asked.read("", app.clock.now_ms())?
    };
    let limit = params.number("limit", LIMIT_DEFAULT, LIMIT_MAX)?;
    let (filter, after) = match params.single("cursor")? {
        None => (filter, None),
        Some(cursor) => {
            let (filter, after) = go_on(filter, written, cursor).ok_or_else(bad_cursor)?;
            (filter, Some(after))
        }
    };
    let _connection = app.connection(manager.part()).await?;
    let (items, next) = app.admin.letters(&filter, after.as_ref(), limit).await?;
    json(&LettersAnswer {
        items,
        next_cursor: next.map(|next| encode(&filter, &next)),
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
        (status = 404, description = "There is none of this id", body = ProblemSchema,
         content_type = "application/problem+json"),
        Reading,
    )
)]
pub(crate) async fn one(
    State(app): State<App>,
    manager: Manager,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let id: LetterId = named(id, RejectReason::DeadLetterNotFound)?;
    let _connection = app.connection(manager.part()).await?;
    json(&app.admin.letter(id, manager.tenant()).await?)
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
    manager: Manager,
    Asker(actor): Asker,
    Asked(asked): Asked<OperationBody>,
) -> Result<Response, QueryError> {
    operate(app.admin.replay(), &app, (manager, actor), asked).await
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
    manager: Manager,
    Asker(actor): Asker,
    Asked(asked): Asked<OperationBody>,
) -> Result<Response, QueryError> {
    operate(Operation::Purge, &app, (manager, actor), asked).await
}

async fn operate(
    operation: Operation,
    app: &App,
    (manager, actor): (Manager, Actor),
    asked: OperationBody,
) -> Result<Response, QueryError> {
    let _connection = app.connection(manager.part()).await?;
    let dry_run = asked.dry_run.unwrap_or(true);
    let filter = Filter {
        tenant: manager.tenant(),
        ..asked.filter(app.clock.now_ms())?
    };
    let operated = app.admin.operate(operation, filter, actor, dry_run);
    json(&operated.await?)
}

impl OperationBody {
    fn filter(self, now_ms: u64) -> Result<Filter, Problem> {
        match (self.ids, self.filter) {
            (Some(ids), None) => by_ids(&ids),
            (None, Some(asked)) => asked.read("filter.", now_ms),
            _ => Err(bad_parameter("ids", "send either ids or filter")),
        }
    }
}

/// An empty list means none, where an empty filter means all.
fn by_ids(ids: &[String]) -> Result<Filter, Problem> {
    if !(1..=IDS_MAX).contains(&ids.len()) {
        return Err(bad_parameter("ids", format!("send from 1 to {IDS_MAX}")));
    }
    let parse = |id: &String| {
        let bad = |_| bad_parameter("ids", "send ids as the list gives them");
        id.parse().map_err(bad)
    };
    Ok(Filter {
        ids: ids.iter().map(parse).collect::<Result<_, _>>()?,
        ..Filter::default()
    })
}

impl FilterBody {
    /// Reads the fields; `inside` comes before their names where one is to blame.
    fn read(self, inside: &str, now_ms: u64) -> Result<Filter, Problem> {
        let bad = |name: &str, detail: &str| bad_parameter(&format!("{inside}{name}"), detail);
        let instant = |name, instant: Option<Instant>| {
            let text = match instant {
                None => return Ok(None),
                Some(Instant::Number(number)) => number.to_string(),
                Some(Instant::Text(text)) => text,
            };
            let ms = parse_instant(&text, now_ms).and_then(|ms| u64::try_from(ms).ok());
            ms.map(Some).ok_or_else(|| bad(name, INSTANT_HINT))
        };
        if let Some(event_type) = &self.event_type {
            check_event_type(event_type).map_err(|rejection| bad("type", &rejection.message))?;
        }
        let reason = self.reason.map(|text| {
            let names = || DeadReason::ALL.map(DeadReason::as_str).join(", ");
            let known = DeadReason::named(&text);
            known.ok_or_else(|| bad("reason", &format!("send one of {}", names())))
        });
        Ok(Filter {
            reason: reason.transpose()?,
            from_ms: instant("from", self.from)?,
            to_ms: instant("to", self.to)?,
            event_type: self.event_type,
            ..Filter::default()
        })
    }
}

type Place = (u64, LetterId);

/// Where a list goes on, and the window of its first page: a relative one would move.
fn encode(filter: &Filter, (at_ms, id): &Place) -> String {
    let id = id.to_string();
    // Numbers and texts always serialise.
    let cursor = serde_json::to_vec(&(at_ms, filter.from_ms, filter.to_ms, id)).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(cursor)
}

/// The list of `cursor`; `None` when it is of another window than what was `written`.
fn go_on(
    filter: Filter,
    written: (Option<&str>, Option<&str>),
    cursor: &str,
) -> Option<(Filter, Place)> {
    let cursor = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (at_ms, from_ms, to_ms, id): (u64, Option<u64>, Option<u64>, String) =
        serde_json::from_slice(&cursor).ok()?;
    let holds = |written: Option<&str>, now: Option<u64>, first: Option<u64>| match written {
        Some(text) if text.starts_with('-') => first.is_some(),
        _ => now == first,
    };
    let is_same =
        holds(written.0, filter.from_ms, from_ms) && holds(written.1, filter.to_ms, to_ms);
    let filter = Filter {
        from_ms,
        to_ms,
        ..filter
    };
    is_same.then_some((filter, (at_ms, id.parse().ok()?)))
}

#[cfg(test)]
mod tests;
