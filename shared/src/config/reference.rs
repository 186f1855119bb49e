//! The reference of all keys, as Markdown.

use super::key::AnyKey;

/// Renders the tables of `docs/CONFIGURATION.md`: one per section, in the order of first mention.
pub fn reference(keys: &[&dyn AnyKey]) -> String {
    let mut sections: Vec<(&str, String)> = Vec::new();
    for key in keys {
        let name = key.name().split('.').next().unwrap_or_default();
        match sections.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rows)) => rows.push_str(&key.row()),
            None => sections.push((name, key.row())),
        }
    }
    let tables: Vec<String> = sections
        .iter()
        .map(|(name, rows)| table(name, rows))
        .collect();
    tables.join("\n")
}

/// Returns what is wrong with the defaults and ranges of these keys: a test asserts that nothing is.
pub fn check_defaults(keys: &[&dyn AnyKey]) -> Vec<String> {
    keys.iter()
        .filter_map(|key| key.check_default().err())
        .collect()
}

fn table(section: &str, rows: &str) -> String {
    let head = "| key | value | default | what it does |\n|---|---|---|---|";
    format!("### `[{section}]`\n\n{head}\n{rows}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::*;

    const SPAN: Key<Duration> = Key::new("ingest.span", "1s", "Spans.");
    const WAIT: Key<Duration> = Key::new("ingest.wait", "250ms", "Waits.").range("1ms", "1m");
    const CA: Key<Option<String>> = Key::new("redis.ca", "", "Trusts.");

    #[test]
    fn keys_are_listed_by_section() {
        let expected = "\
### `[ingest]`

| key | value | default | what it does |
|---|---|---|---|
| `ingest.wait` | duration such as `250ms`, `10s`, `5m`, `1ms` to `1m` | `250ms` | Waits. |
| `ingest.span` | duration such as `250ms`, `10s`, `5m` | `1s` | Spans. |

### `[redis]`

| key | value | default | what it does |
|---|---|---|---|
| `redis.ca` | text, optional | - | Trusts. |
";
        assert_eq!(reference(&[&WAIT, &CA, &SPAN]), expected);
    }

    #[test]
    fn defaults_of_the_shared_keys_are_values_of_them() {
        assert_eq!(check_defaults(SHARED_KEYS), Vec::<String>::new());
    }

    #[test]
    fn a_default_outside_its_range_is_found() {
        const BAD: Key<u16> = Key::new("a.b", "5", "").range("6", "9");
        let expected = r#"a.b: is "5": write a whole number from 6 to 9"#;
        assert_eq!(check_defaults(&[&BAD]), [expected]);
    }
}
