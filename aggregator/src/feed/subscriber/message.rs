//! What a client is told, as server-sent events.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Longest silence: a proxy closes what is silent for long, and a client gone is noticed by
/// writing to it.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Says nothing.
pub(super) const COMMENT: &[u8] = b":\n\n";

/// How soon a client is to come back, in ms.
pub(super) const RETRY: &str = "retry: 2000\n\n";

/// Why a client has to start anew.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reset {
    /// Its id is none of this feed's.
    UnknownId,
    /// Events after its id have left the kept window.
    LeftWindow,
    /// Redis began a new life: ids of another one mean nothing.
    NewLife,
    /// The aggregator could not follow.
    Torn,
}

/// Writes one event of the stream; JSON has no line breaks.
pub(super) fn write(out: &mut BytesMut, name: &str, id: Option<&str>, data: &[u8]) {
    out.reserve(name.len() + data.len() + 80);
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    if let Some(id) = id {
        out.put_slice(b"\nid: ");
        out.put_slice(id.as_bytes());
    }
    out.put_slice(b"\ndata: ");
    out.put_slice(data);
    out.put_slice(b"\n\n");
}
