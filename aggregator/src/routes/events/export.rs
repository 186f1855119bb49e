//! All events of a list, one per line: page by page, so that it takes no more memory than one.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use evp_shared::shutdown::Shutdown;
use futures::stream::try_unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::auth::Validity;
use crate::error::QueryError;
use crate::event_json::EventJson;
use crate::events::Events;
use crate::events::cursor::Cursor;
use crate::events::filter::Filter;
use crate::events::page::Page;
use crate::slots::Slot;
use crate::state::App;

/// Events of one page; fewer where they are large.
const PAGE: u64 = 500;

/// An export on its way.
struct Export {
    events: Arc<Events>,
    filter: Filter,
    /// Read, and not sent yet.
    page: Option<Page>,
    /// Where it goes on after that.
    next: Option<Cursor>,
    /// Events that may still be read.
    left: u64,
    shutdown: Shutdown,
    validity: Validity,
    _slot: Slot,
}

/// Reads the first page, so that what is wrong is still a problem, and sends the others after it.
/// One that fails later is broken off: its end is missing, which every HTTP client notices.
pub(super) async fn begin(
    app: &App,
    validity: Validity,
    filter: Filter,
    cursor: Option<Cursor>,
    limit: u64,
) -> Result<Response, QueryError> {
    let slot = app.exports.try_take(&filter.tenant)?;
    let mut export = Export {
        events: Arc::clone(&app.events),
        filter,
        page: None,
        next: None,
        left: limit,
        shutdown: app.shutdown.clone(),
        validity,
        _slot: slot,
    };
    export.read(cursor).await?;
    let lines = try_unfold(export, |export| Box::pin(export.step()));
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

impl Export {
    async fn read(&mut self, cursor: Option<Cursor>) -> Result<(), QueryError> {
        let most = usize::try_from(self.left.min(PAGE)).unwrap_or(usize::MAX);
        let page = self.events.page(&self.filter, cursor, most).await?;
        self.left -= page.documents.len() as u64;
        self.next = page.next.filter(|_| self.left > 0);
        self.page = Some(page);
        Ok(())
    }

    /// The lines of the next page; `None` at the end.
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, QueryError> {
        loop {
            if let Some(page) = self.page.take() {
                let lines = lines(&page)?;
                // A page of a filter without an index may have found nothing yet.
                if !lines.is_empty() {
                    return Ok(Some((lines, self)));
                }
            }
            let Some(cursor) = self.next.take() else {
                return Ok(None);
            };
            if self.shutdown.is_triggered() || self.validity.is_over().await {
                return Err(QueryError::Busy);
            }
            self.read(Some(cursor)).await?;
        }
    }
}

fn lines(page: &Page) -> Result<Bytes, QueryError> {
    let mut lines = Vec::new();
    for document in &page.documents {
        // Fails only for a stored document that is no BSON.
        serde_json::to_writer(&mut lines, &EventJson::new(document))
            .map_err(|_| QueryError::Store { source: None })?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}
