//! Judging the spans.

use std::time::Duration;

use evp_shared::store::{SpanIndex, State};

use super::mib;
use crate::config::ProcessorConfig;
use crate::doctor::spans::SpansFacts;
use crate::doctor::{Check, Finding};

/// Spans from which to say that there are many. Source: 400 collections of four files cost mongod
/// 250 MB, 2,000 a checkpoint of seconds.
const SPANS_MANY: u64 = 500;

/// Files of a span, and how many times that mongod should be allowed to have open.
const FILES: (u64, u64) = (4, 10);

/// A span that is not sealed so long after its end is not going to be by itself.
const UNSEALED_MAX: Duration = Duration::from_secs(2 * 86_400);

/// Names in a finding.
const NAMED_MAX: usize = 5;

/// Judges the spans.
pub fn spans(config: &ProcessorConfig, facts: &SpansFacts) -> Vec<Finding> {
    vec![
        collections(facts),
        indexes(config, facts),
        cache(facts),
        super::tenants::types(facts),
        sealed(facts),
        files(facts),
        ending(facts),
    ]
}

fn named(names: &[String]) -> String {
    let first = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| format!(" and {more} more"));
    first.join(", ") + more.as_deref().unwrap_or_default()
}

fn collections(facts: &SpansFacts) -> Finding {
    let check = Check::Spans;
    let missing = facts.spans.iter().filter(|(_, there)| there.is_none());
    let missing: Vec<String> = missing.map(|(row, _)| row.name()).collect();
    if !missing.is_empty() {
        return check.fail(
            format!("without a collection: {}", named(&missing)),
            "events of it stay pending. If its data is lost for good, let it be made anew: \
             db.meta.deleteOne({_id: NAME})",
        );
    }
    if !facts.moved.is_empty() {
        return check.fail(
            format!("another collection than the row says: {}", named(&facts.moved)),
            "events of it stay pending, as after a mongorestore without --preserveUUID. If its data is \
             right: db.meta.updateOne({_id: NAME}, {$set: {uuid: db.getCollectionInfos({name: \
             NAME})[0].info.uuid}})",
        );
    }
    if !facts.strangers.is_empty() {
        return check.warn(
            format!("no spans, though named so: {}", named(&facts.strangers)),
            "a span that was being made a moment ago is none: look again. Else drop what you made \
             yourself: EVP does not touch it, and lists do not read it",
        );
    }
    if facts.is_erasing {
        return check.warn(
            "an erasure is under way or was interrupted",
            "if nobody runs evp-processor erase now, run it again for the person it was about: it \
             finishes what was begun, and verify --deep waits for that",
        );
    }
    check.pass(format!("{}", facts.spans.len()))
}

fn indexes(config: &ProcessorConfig, facts: &SpansFacts) -> Finding {
    let check = Check::SpanIndexes;
    let differs = |(row, there): &&(_, Option<Vec<SpanIndex>>)| {
        let row: &evp_shared::store::Row = row;
        let wanted = SpanIndex::wanted(&config.indexes, row.state);
        let has = |index: &SpanIndex| there.as_ref().is_none_or(|there| there.contains(index));
        !wanted
            .iter()
            .all(|index| has(index) && row.indexes.contains(index))
    };
    let differing = facts.spans.iter().filter(differs);
    let differing: Vec<String> = differing.map(|(row, _)| row.name()).collect();
    if differing.is_empty() {
        return check.pass("as storage.indexes says");
    }
    check.warn(
        format!("not as storage.indexes says: {}", named(&differing)),
        "a running processor builds them, one at a time, while there is no backlog; see its log if \
         it does not",
    )
}

fn cache(facts: &SpansFacts) -> Finding {
    let check = Check::SpanCache;
    let Some(cache) = facts.cache_bytes else {
        return check.unknown("mongod does not tell the size of its cache", "");
    };
    let (hot, all) = (mib(facts.hot_index_bytes), mib(cache));
    let found = format!("indexes of spans that are not sealed: {hot}, cache {all}");
    // The rest is for documents, and for what is read.
    if facts.hot_index_bytes > cache / 2 {
        let fix = "give mongod a larger cache (--wiredTigerCacheSizeGB), see that spans are sealed, or \
                   begin a new database with a shorter storage.span";
        check.warn(found, fix)
    } else {
        check.pass(found)
    }
}

fn sealed(facts: &SpansFacts) -> Finding {
    let check = Check::SpansSealed;
    let long = u64::try_from(UNSEALED_MAX.as_millis()).unwrap_or(u64::MAX);
    let is_late = |row: &evp_shared::store::Row| {
        let range = row.span.range_ms().filter(|_| row.state == State::Hot);
        range.is_some_and(|range| range.end.saturating_add(long) < facts.now_ms)
    };
    let late = facts.spans.iter().filter(|(row, _)| is_late(row));
    let late: Vec<String> = late.map(|(row, _)| row.name()).collect();
    if late.is_empty() {
        return check.pass("every span that ended two days ago or more");
    }
    check.warn(
        format!("ended more than two days ago: {}", named(&late)),
        "a span is sealed when it hardly grows for an hour and there is no backlog: a backfill may \
         go on; else evp-processor storage seal NAME",
    )
}

fn files(facts: &SpansFacts) -> Finding {
    let check = Check::MongoOpenFiles;
    let spans = facts.spans.len() as u64;
    let keep = "set storage.keep, or begin a new database with storage.span = \"month\"";
    match facts.open_files {
        Some(limit) if limit < spans * FILES.0 => check.fail(
            format!(
                "mongod may open {limit} files, {spans} spans have {} each",
                FILES.0
            ),
            format!("it will abort: raise its limit (ulimit -n, LimitNOFILE); {keep}"),
        ),
        Some(limit) if limit < spans * FILES.1 => check.warn(
            format!("mongod may open {limit} files, which is little for {spans} spans"),
            format!("raise its limit (ulimit -n, LimitNOFILE) to 64000; {keep}"),
        ),
        _ if spans >= SPANS_MANY => check.warn(
            format!("{spans} spans of {} files each", FILES.0),
            format!("see that mongod may open ten times as many files (ulimit -n); {keep}"),
        ),
        Some(limit) => check.pass(format!("{limit} allowed, {spans} spans")),
        None => check.unknown(format!("{spans} spans, and mongod is elsewhere"), ""),
    }
}

fn ending(facts: &SpansFacts) -> Finding {
    let check = Check::SpansEnding;
    match facts.held_by {
        Some((partition, entry)) => check.warn(
            format!("spans below the floor wait for entry {entry} of partition {partition}"),
            format!(
                "evp-processor inspect {entry} --partition {partition}: it was accepted and is not \
                 acknowledged; see the processors' log for why"
            ),
        ),
        None => check.pass("nothing holds it up"),
    }
}

#[cfg(test)]
mod tests {
    use bson::Uuid;
    use evp_shared::config::Source;
    use evp_shared::event::span::{Calendar, SpanUnit};
    use evp_shared::service::ServiceConfig as _;
    use evp_shared::store::Outside;
    use evp_shared::store::Row;
    use evp_shared::stream::EntryId;

    use super::*;
    use crate::doctor::Level;

    const DAY_MS: u64 = 86_400_000;
    const NOW_MS: u64 = 20_786 * DAY_MS;

    fn row(time_ms: u64, state: State) -> (Row, Option<Vec<SpanIndex>>) {
        let config = config();
        let indexes = SpanIndex::wanted(&config.indexes, state);
        let row = Row {
            span: Calendar::born(NOW_MS, SpanUnit::Day).span_of(Some(time_ms)),
            uuid: Uuid::from_bytes([1; 16]),
            state,
            indexes: indexes.clone(),
            outside: Outside::default(),
        };
        (row, Some(indexes))
    }

    fn config() -> ProcessorConfig {
        let mut source = Source::from_text("", &[]).unwrap();
        let config = ProcessorConfig::read(&mut source);
        source.finish(config).unwrap()
    }

    /// What is not passed after `change`, with what was found and the fix.
    fn after(change: impl FnOnce(&mut SpansFacts)) -> Vec<(Check, Level, String)> {
        let mut facts = SpansFacts {
            spans: vec![row(0, State::Sealed), row(NOW_MS, State::Hot)],
            now_ms: NOW_MS,
            cache_bytes: Some(1 << 30),
            open_files: Some(64_000),
            ..SpansFacts::default()
        };
        change(&mut facts);
        let findings = spans(&config(), &facts).into_iter();
        let bad = findings.filter(|one| one.level != Level::Pass);
        bad.map(|one| (one.check, one.level, format!("{}: {}", one.found, one.fix)))
            .collect()
    }

    #[test]
    fn spans_as_they_should_be_pass() {
        assert_eq!(after(|_| {}), []);
    }

    #[test]
    fn an_erasure_that_was_interrupted_is_named() {
        let found = after(|facts| facts.is_erasing = true);
        assert_eq!((found[0].0, found[0].1), (Check::Spans, Level::Warn));
        assert!(found[0].2.contains("evp-processor erase"), "{found:?}");
    }

    #[test]
    fn each_shortfall_of_spans_is_one_finding_with_its_fix() {
        type Change = fn(&mut SpansFacts);
        let many = |facts: &mut SpansFacts, spans: u64| {
            let times = (0..spans).map(|day| NOW_MS + day * DAY_MS);
            facts.spans = times.map(|time| row(time, State::Hot)).collect();
        };
        let hot = |facts: &mut SpansFacts| facts.spans[0] = row(0, State::Hot);
        let table: [(Change, Check, Level, &str); 7] = [
            (
                |f| f.spans[1].1 = None,
                Check::Spans,
                Level::Fail,
                "deleteOne",
            ),
            (
                |f| f.strangers = vec!["events_x".to_owned()],
                Check::Spans,
                Level::Warn,
                "events_x",
            ),
            (
                |f| f.spans[1].1 = Some(vec![]),
                Check::SpanIndexes,
                Level::Warn,
                "events_2026",
            ),
            (
                |f| f.hot_index_bytes = 1 << 30,
                Check::SpanCache,
                Level::Warn,
                "larger cache",
            ),
            (hot, Check::SpansSealed, Level::Warn, "storage seal"),
            (
                |f| f.open_files = Some(7),
                Check::MongoOpenFiles,
                Level::Fail,
                "abort",
            ),
            (
                |f| f.held_by = Some((3, EntryId { ms: 5, seq: 1 })),
                Check::SpansEnding,
                Level::Warn,
                "inspect 5-1 --partition 3",
            ),
        ];
        for (change, check, level, part) in table {
            let found = after(change);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].0, found[0].1), (check, level));
            assert!(found[0].2.contains(part), "{found:?}");
        }
        let files = |facts: &mut SpansFacts, limit| {
            many(facts, 500);
            facts.open_files = limit;
        };
        assert_eq!(after(|f| files(f, Some(64_000)))[0].1, Level::Warn);
        assert_eq!(after(|f| files(f, Some(4_999)))[0].1, Level::Warn);
        assert_eq!(after(|f| files(f, None))[0].1, Level::Warn);
        assert_eq!(after(|f| f.open_files = None)[0].1, Level::Unknown);
    }
}
