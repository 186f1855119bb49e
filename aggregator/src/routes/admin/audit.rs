//! `/admin/audit`.

use axum::extract::State;
use axum::response::Response;
use bson::oid::ObjectId;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::audit::AuditEntry;
use crate::auth::Manager;
use crate::error::{QueryError, bad_cursor};
use crate::params::Params;
use crate::routes::json;
use crate::schema::problem::Reading;
use crate::state::App;

const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 200;

/// The answer of `GET /admin/audit`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditAnswer {
    /// Newest first.
    entries: Vec<AuditEntry>,
    /// Left out on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Who asked for what, and what came of it
///
/// Kept for 400 days. A tenant's admin sees what was about the tenant.
#[utoipa::path(
    get,
    path = "/admin/audit",
    tag = "admin",
    operation_id = "audit",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before",
         pattern = "^[0-9a-fA-F]{24}$"),
    ),
    responses((status = 200, description = "A page", body = AuditAnswer), Reading)
)]
pub(crate) async fn audit(
    State(app): State<App>,
    manager: Manager,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, &["limit", "cursor"])?;
    let limit = params.number("limit", LIMIT_DEFAULT, LIMIT_MAX)?;
    let before = params.single("cursor")?;
    let before = before.map(|cursor| ObjectId::parse_str(cursor).map_err(|_| bad_cursor()));
    let _connection = app.connection(manager.part()).await?;
    let tenant = manager.tenant();
    let page = app
        .admin
        .audited(tenant.as_deref(), before.transpose()?, limit);
    let (entries, next) = page.await?;
    json(&AuditAnswer {
        entries,
        next_cursor: next.map(ObjectId::to_hex),
    })
}
