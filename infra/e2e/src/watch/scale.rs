//! The shipped files with shorter durations, so that what takes half an hour is seen within a minute.

/// What the durations are divided by.
pub(super) const BY: u64 = 30;

/// Numbers that are durations, or go by a key of the configuration that is another one here: what the shipped
/// rules have, and what goes with the keys of [`KEYS`].
const NUMBERS: [(&str, &str); 6] = [
    // Three canary intervals.
    ("canary_age_seconds) > 45", "canary_age_seconds) > 3"),
    ("delay_seconds) > 60", "delay_seconds) > 2"),
    // Five times `processor.claim_idle`.
    (
        "oldest_pending_seconds) > 75",
        "oldest_pending_seconds) > 5",
    ),
    // A twentieth of `ingest.admission.backlog_events`.
    ("backlog_events) > 1e6", "backlog_events) > 20000"),
    // 80 % of `dead_letters.max_events`.
    ("dead_letter_events) > 8e5", "dead_letter_events) > 80"),
    // Files are looked at every 10 s, here too: the range has to hold three looks.
    (
        "certificates_refused_total[10m]",
        "certificates_refused_total[30m]",
    ),
];
/// What the services are told, so that their own times and amounts are as much smaller.
pub(super) const KEYS: [(&str, &str); 6] = [
    ("EVP__CANARY__INTERVAL", "1s"),
    ("EVP__PROCESSOR__CLAIM_IDLE", "1s"),
    ("EVP__PROCESSOR__CLAIM_INTERVAL", "200ms"),
    ("EVP__PROCESSOR__INSERT_DEADLINE", "800ms"),
    ("EVP__INGEST__ADMISSION__BACKLOG_EVENTS", "400000"),
    ("EVP__DEAD_LETTERS__MAX_EVENTS", "100"),
];

/// A shipped file with every duration divided, and the numbers that go with them.
pub(super) fn scaled(text: &str) -> String {
    let numbers = NUMBERS.iter();
    let text = numbers.fold(text.to_owned(), |text, (shipped, here)| {
        text.replace(shipped, here)
    });
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let is_prose = ["#", "summary:", "description:"];
        let start = line.trim_start();
        if is_prose.iter().any(|begin| start.starts_with(begin)) {
            out.push_str(line);
        } else {
            divide(line, &mut out);
        }
    }
    out
}

fn divide(line: &str, out: &mut String) {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = line;
    while let Some(start) = rest.find(is_part) {
        let (before, word_on) = rest.split_at(start);
        let end = word_on.find(|letter| !is_part(letter));
        let (word, after) = word_on.split_at(end.unwrap_or(word_on.len()));
        out.push_str(before);
        match milliseconds(word) {
            Some(ms) => out.push_str(&format!("{}ms", ms / BY)),
            None => out.push_str(word),
        }
        rest = after;
    }
    out.push_str(rest);
}

fn milliseconds(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let each = match word.get(digits.len()..)? {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? * each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_shorter_and_names_stay() {
        let table = [
            ("  scrape_interval: 15s\n", "  scrape_interval: 500ms\n"),
            (
                "rate(x_total[5m]) offset 50h",
                "rate(x_total[10000ms]) offset 6000000ms",
            ),
            (
                "evp:x:ratio_rate1h > 14.4 * 0.001",
                "evp:x:ratio_rate1h > 14.4 * 0.001",
            ),
            ("# 10 m, or 10m\n", "# 10 m, or 10m\n"),
            ("{group_wait: 30s}", "{group_wait: 1000ms}"),
        ];
        for (shipped, here) in table {
            assert_eq!(scaled(shipped), here);
        }
    }

    #[test]
    fn every_number_that_is_another_one_here_is_in_the_rules() {
        let rules = include_str!("../../../prometheus/rules/alerts.yml");
        for (shipped, _) in NUMBERS {
            assert!(rules.contains(shipped), "{shipped}");
        }
    }
}
