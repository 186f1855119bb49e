//! The spans, for people and for programs.

use std::time::Duration;

use evp_shared::store::{Marks, Row, State};
use serde_json::{Value, json};

use crate::command::{show_time, table};
use crate::upkeep::housekeeper::disk::Disk;
use crate::upkeep::housekeeper::sealing::{NotYet, has_ended};
use crate::upkeep::housekeeper::waits::{Waits, ms};

/// A span and its size.
#[derive(Debug, Clone)]
pub(super) struct SpanFacts {
    pub(super) row: Row,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// What the future of the spans depends on.
#[derive(Debug)]
pub(super) struct Outlook {
    pub(super) now_ms: u64,
    pub(super) marks: Marks,
    pub(super) keep: Option<Duration>,
    pub(super) waits: Waits,
    pub(super) disk: Option<Disk>,
}

impl Outlook {
    pub(super) fn as_text(&self, facts: &[SpanFacts]) -> String {
        let head = ["span", "state", "events", "MiB", "indexes", "next"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(facts.iter().map(|one| {
            vec![
                one.row.name(),
                one.row.state.as_str().to_owned(),
                one.events.to_string(),
                one.bytes.div_ceil(1 << 20).to_string(),
                indexes(&one.row).join(","),
                self.next(&one.row),
            ]
        }));
        let mark = |ms| match ms {
            0 => "none".to_owned(),
            ms => show_time(ms),
        };
        let disk = self.disk.map_or_else(String::new, |disk| {
            format!("; {} % of the disk used", disk.used_permille() / 10)
        });
        let (floor, gone) = (mark(self.marks.floor_ms), mark(self.marks.gone_ms));
        let sum: u64 = facts.iter().map(|one| one.events).sum();
        format!(
            "{}\n{} spans with {sum} events; floor {floor}, gone {gone}{disk}",
            table(&rows),
            facts.len()
        )
    }

    pub(super) fn as_json(&self, facts: &[SpanFacts]) -> Value {
        let mark = |ms| (ms > 0).then(|| show_time(ms));
        let span = |one: &SpanFacts| {
            let range = one.row.span.range_ms();
            json!({
                "name": one.row.name(),
                "state": one.row.state.as_str(),
                "from": range.as_ref().map(|range| show_time(range.start)),
                "to": range.as_ref().map(|range| show_time(range.end)),
                "events": one.events,
                "bytes": one.bytes,
                "indexes": indexes(&one.row),
                "next": self.next(&one.row),
            })
        };
        json!({
            "spans": facts.iter().map(span).collect::<Value>(),
            "floor": mark(self.marks.floor_ms),
            "gone": mark(self.marks.gone_ms),
            "diskUsedPermille": self.disk.map(|disk| disk.used_permille()),
        })
    }

    /// What becomes of a span.
    fn next(&self, row: &Row) -> String {
        let Some(range) = row.span.range_ms() else {
            return "stays".to_owned();
        };
        if self.marks.is_gone(&row.span) {
            return "is dropped".to_owned();
        }
        if range.end <= self.marks.floor_ms {
            return "refused, and dropped when that has stood and all accepted is stored"
                .to_owned();
        }
        let seal = match (has_ended(row, self.now_ms, &self.waits), row.span) {
            (Ok(()), _) => "sealed when quiet".to_owned(),
            (Err(NotYet::Never), _) => String::new(),
            (Err(_), evp_shared::event::span::Span::Dated { cut, to_ms, .. }) => {
                let from = to_ms.saturating_add(ms(self.waits.before_sealing(cut)));
                format!("sealed from {} on", show_time(from))
            }
            (Err(_), _) => String::new(),
        };
        let dropped = self
            .keep
            .filter(|_| row.state == State::Sealed)
            .map(|keep| {
                let at = range
                    .end
                    .saturating_add(ms(keep))
                    .saturating_add(ms(self.waits.hold));
                format!("dropped from {} on", show_time(at))
            });
        dropped.unwrap_or(seal)
    }
}

fn indexes(row: &Row) -> Vec<&'static str> {
    row.indexes.iter().map(|index| index.as_str()).collect()
}
