//! `/admin/keys`.

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use evp_shared::access::record::{Key, Scope};
use evp_shared::access::store::NewKey;
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::choice::Choice as _;
use evp_shared::outcome::RejectReason;
use http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tenants::{Limits, tenant_id};
use crate::auth::{Asker, Manager};
use crate::error::{QueryError, bad_parameter};
use crate::params::Params;
use crate::routes::body::{Asked, object};
use crate::routes::{json, named};
use crate::schema::problem::{ProblemSchema, Reading, WithBody};
use crate::state::App;
use crate::time::rfc3339;

const OVERLAP_DEFAULT_S: u64 = 24 * 3_600;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/admin/keys", get(keys).post(add_key))
        .route("/admin/keys/{id}/rotate", post(rotate_key))
        .route("/admin/keys/{id}/revoke", post(revoke_key))
}

/// A key, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyItem {
    id: String,
    name: String,
    /// `null` for an operator's.
    tenant: Option<String>,
    scope: &'static str,
    /// `pub`, which may stand in a page, or `sec`.
    kind: &'static str,
    types: Vec<String>,
    origins: Vec<String>,
    limits: Limits,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// Some seconds late; `null` where it never was, or is not told in this answer.
    last_used_at: Option<String>,
}

/// The answer of `GET /admin/keys`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeysAnswer {
    items: Vec<KeyItem>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyMade {
    /// Its text, which is shown this once.
    key: String,
    #[serde(flatten)]
    item: KeyItem,
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    name: String,
    /// `write`, `read`, `admin` or `operator`.
    scope: String,
    /// Whose it is; left out, that of whoever asks.
    tenant: Option<String>,
    /// Whether it may stand in a page.
    #[serde(default)]
    public: bool,
    /// Types of events it may send, at most 100; all where there are none.
    #[serde(default)]
    types: Vec<String>,
    /// Origins whose pages may use it, at most 20.
    #[serde(default)]
    origins: Vec<String>,
    /// What it may send; no limit where nothing is said.
    #[serde(default, deserialize_with = "object")]
    limits: Limits,
    /// It ends after so many seconds.
    expires_in_seconds: Option<u64>,
}

/// How a key is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// How long the old key stays good: 24 hours unless said, 30 days at most.
    overlap_seconds: Option<u64>,
}

/// List keys
///
/// Without their texts, which are kept nowhere. A tenant's admin sees those of the tenant.
#[utoipa::path(
    get,
    path = "/admin/keys",
    tag = "admin",
    operation_id = "listKeys",
    responses((status = 200, description = "Keys", body = KeysAnswer), Reading)
)]
pub(crate) async fn keys(
    State(app): State<App>,
    manager: Manager,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let _connection = app.connection(manager.part()).await?;
    let keys = app.keys.records().await?.keys;
    let used = app.keys.used().await?;
    let own = keys.into_iter().filter(|key| manager.manages(key));
    let items = own.map(|key| {
        let last_used_at = used.get(&key.id).copied().map(rfc3339);
        KeyItem {
            last_used_at,
            ..KeyItem::from(key)
        }
    });
    json(&KeysAnswer {
        items: items.collect(),
    })
}

/// Make a key
///
/// Its text is in the answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/admin/keys",
    tag = "admin",
    operation_id = "addKey",
    request_body = NewKeyBody,
    responses((status = 200, description = "It is in force", body = KeyMade), WithBody)
)]
pub(crate) async fn add_key(
    State(app): State<App>,
    manager: Manager,
    Asker(actor): Asker,
    Asked(asked): Asked<NewKeyBody>,
) -> Result<Response, QueryError> {
    let new = asked.read(&manager, app.clock.now_ms())?;
    let keys = app.keys;
    let work = async move { keys.add_key(actor, new).await };
    made(app.changes.finish(manager.part(), work).await?)
}

/// Replace a key
///
/// The new one is like the old one, which ends after the overlap.
#[utoipa::path(
    post,
    path = "/admin/keys/{id}/rotate",
    tag = "admin",
    operation_id = "rotateKey",
    params(("id" = String, Path, description = "As lists give it")),
    request_body = RotateBody,
    responses(
        (status = 200, description = "It is in force", body = KeyMade),
        (status = 404, description = "There is no such key", body = ProblemSchema,
         content_type = "application/problem+json"),
        WithBody,
    )
)]
pub(crate) async fn rotate_key(
    State(app): State<App>,
    manager: Manager,
    Asker(actor): Asker,
    id: Result<Path<String>, PathRejection>,
    Asked(asked): Asked<RotateBody>,
) -> Result<Response, QueryError> {
    let old = managed(&app, &manager, id).await?;
    let overlap = Duration::from_secs(asked.overlap_seconds.unwrap_or(OVERLAP_DEFAULT_S));
    let keys = app.keys;
    let work = async move { keys.rotate_key(actor, &old, overlap).await };
    made(app.changes.finish(manager.part(), work).await?)
}

/// Have a key refused from now on
#[utoipa::path(
    post,
    path = "/admin/keys/{id}/revoke",
    tag = "admin",
    operation_id = "revokeKey",
    params(("id" = String, Path, description = "As lists give it")),
    responses(
        (status = 200, description = "It is in force", body = KeyItem),
        (status = 404, description = "There is no such key", body = ProblemSchema,
         content_type = "application/problem+json"),
        WithBody,
    )
)]
pub(crate) async fn revoke_key(
    State(app): State<App>,
    manager: Manager,
    Asker(actor): Asker,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, QueryError> {
    Params::parse(&uri, &[])?;
    let key = managed(&app, &manager, id).await?;
    let keys = app.keys;
    let work = async move { keys.revoke_key(actor, &key).await };
    let revoked = app.changes.finish(manager.part(), work).await?;
    json(&KeyItem::from(revoked))
}

/// The key of this id, if it is `manager`'s: another's is as if it did not exist.
async fn managed(
    app: &App,
    manager: &Manager,
    id: Result<Path<String>, PathRejection>,
) -> Result<Key, QueryError> {
    let id: String = named(id, RejectReason::KeyNotFound)?;
    let key = app.keys.key(&id).await?;
    if manager.manages(&key) {
        Ok(key)
    } else {
        Err(RejectReason::KeyNotFound.into())
    }
}

fn made((key, token): (Key, Token)) -> Result<Response, QueryError> {
    json(&KeyMade {
        key: token.expose().to_owned(),
        item: key.into(),
    })
}

impl NewKeyBody {
    fn read(self, manager: &Manager, now_ms: u64) -> Result<NewKey, QueryError> {
        let scope = Scope::named(&self.scope)
            .ok_or_else(|| bad_parameter("scope", "send write, read, admin or operator"))?;
        let asked = self.tenant.map(|id| tenant_id("tenant", &id)).transpose()?;
        let tenant = manager.tenant_of(scope == Scope::Operator, asked)?;
        let kind = if self.public {
            KeyKind::Public
        } else {
            KeyKind::Secret
        };
        let after_ms = |seconds: u64| now_ms.saturating_add(seconds.saturating_mul(1_000));
        Ok(NewKey {
            name: self.name,
            kind,
            scope,
            tenant,
            types: self.types,
            origins: self.origins,
            limits: self.limits.into(),
            expires_ms: self.expires_in_seconds.map(after_ms),
        })
    }
}

impl From<Key> for KeyItem {
    fn from(key: Key) -> Self {
        Self {
            id: key.id,
            name: key.name,
            tenant: key.tenant.map(String::from),
            scope: key.scope.as_str(),
            kind: key.kind.as_str(),
            types: key.types,
            origins: key.origins,
            limits: key.limits.into(),
            created_at: rfc3339(key.created_ms),
            expires_at: key.expires_ms.map(rfc3339),
            revoked_at: key.revoked_ms.map(rfc3339),
            last_used_at: None,
        }
    }
}
