//! Dead letters, for people and for programs.

use bson::{Bson, Document, RawDocument};
use evp_shared::dead_letters::{Kept, Letter, fields_json, hex_json};
use serde_json::{Value, json};

use crate::command::{show_time, table};

/// Longest detail in a list; `show` prints it whole.
const DETAIL_MAX: usize = 80;

/// A line per letter, and how many there are.
pub(super) fn list(letters: &[Letter], all: u64, as_json: bool) -> anyhow::Result<String> {
    if as_json {
        let items: Vec<Value> = letters.iter().map(head).collect();
        let list = json!({ "items": items, "total": all });
        return Ok(serde_json::to_string_pretty(&list)?);
    }
    let mut lines = Vec::new();
    if !letters.is_empty() {
        let head = ["at", "reason", "tenant", "type", "id", "detail"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(letters.iter().map(row));
        lines.push(table(&rows));
    }
    lines.push(format!("{} of {all} dead letters", letters.len()));
    Ok(lines.join("\n"))
}

fn row(letter: &Letter) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    // What MongoDB says may hold line breaks.
    let detail = letter
        .detail
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    vec![
        show_time(letter.at_ms),
        letter.reason.clone(),
        text(&letter.tenant),
        text(&letter.event_type),
        letter.id.to_string(),
        detail.take(DETAIL_MAX).collect(),
    ]
}

/// The letters whole.
pub(super) fn whole(letters: &[Letter]) -> anyhow::Result<String> {
    let letters: Vec<Value> = letters.iter().map(describe).collect();
    Ok(serde_json::to_string_pretty(&letters)?)
}

fn head(letter: &Letter) -> Value {
    json!({
        "id": letter.id.to_string(),
        "at": show_time(letter.at_ms),
        "partition": letter.partition,
        "reason": letter.reason,
        "detail": letter.detail,
        "tenant": letter.tenant,
        "type": letter.event_type,
        "replayedAs": letter.replay.map(|replay| replay.frame.to_string()),
    })
}

fn describe(letter: &Letter) -> Value {
    let mut value = head(letter);
    match &letter.kept {
        Some(Kept::Event(document)) => value["event"] = event(document),
        Some(Kept::Entry(raw)) => value["entry"] = fields_json(raw),
        None => {}
    }
    value
}

/// The document in MongoDB's extended JSON, or its bytes when it is none.
fn event(bytes: &[u8]) -> Value {
    let document = RawDocument::from_bytes(bytes)
        .ok()
        .and_then(|raw| Document::try_from(raw).ok());
    match document {
        Some(document) => Bson::Document(document).into_relaxed_extjson(),
        None => hex_json(bytes),
    }
}
