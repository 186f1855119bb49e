//! The reference of all keys, as Markdown.

use super::{KeyRow, SECTIONS};

/// Renders the tables of `docs/CONFIGURATION.md`: one per section.
pub fn reference(keys: &[KeyRow]) -> String {
    let head = "| key | value | default | what it does |\n|---|---|---|---|";
    let tables = SECTIONS.iter().filter_map(|section| {
        let keys = keys.iter().filter(|key| key.section() == *section);
        let rows: String = keys.map(row).collect();
        (!rows.is_empty()).then(|| format!("### `[{section}]`\n\n{head}\n{rows}"))
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn row(key: &KeyRow) -> String {
    let KeyRow {
        name, kind, doc, ..
    } = key;
    let mark = if key.reloads { " *Reloads.*" } else { "" };
    let default = match key.default {
        "" => "-".to_owned(),
        default => format!("`{default}`"),
    };
    format!("| `{name}` | {kind} | {default} | {doc}{mark} |\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::*;

    const SPAN: Key<Duration> = Key::new("ingest.span", "1s", "Spans.");
    const WAIT: Key<Duration> = Key::new("ingest.wait", "250ms", "Waits.").range("1ms", "1m");
    const CA: Key<Option<String>> = Key::new("redis.ca", "", "Trusts.").reloads();

    #[test]
    fn keys_are_listed_by_section() {
        let expected = "\
### `[redis]`

| key | value | default | what it does |
|---|---|---|---|
| `redis.ca` | text, optional | - | Trusts. *Reloads.* |

### `[ingest]`

| key | value | default | what it does |
|---|---|---|---|
| `ingest.wait` | duration such as `250ms`, `10s`, `5m`, `1ms` to `1m` | `250ms` | Waits. |
| `ingest.span` | duration such as `250ms`, `10s`, `5m` | `1s` | Spans. |
";
        assert_eq!(
            reference(&[(&WAIT).into(), (&CA).into(), (&SPAN).into()]),
            expected
        );
    }

    #[test]
    fn a_default_outside_its_range_is_found() {
        const BAD: Key<u16> = Key::new("a.b", "5", "").range("6", "9");
        let expected = r#"is "5": write a whole number from 6 to 9"#;
        assert_eq!(BAD.parse(BAD.default), Err(expected.to_owned()));
    }
}
