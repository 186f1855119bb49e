use std::fmt::Write as _;
use std::ops::Range;

use rand::distr::Alphanumeric;
use rand::{RngExt as _, SeedableRng as _};

/// The types of a run, in turn; some come more often than others.
const TYPES: [&str; 8] = [
    "click",
    "view",
    "click",
    "purchase",
    "view",
    "click",
    "signup",
    "page.error",
];
const USERS: u32 = 997;
/// 2023-11-14.
const FIRST_MS: u64 = 1_700_000_000_000;

/// Events that are told apart by number: a number always makes the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    run: String,
    large: Option<(u32, usize)>,
    /// When they happen, from which number on; the last one that has begun holds.
    times: Vec<(u32, Times)>,
    /// Every how many of them one is without a `timestamp`.
    undated: Option<u32>,
}

/// When events happen: one after the other, and from the beginning again where `within` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Unix ms of the first one.
    pub first_ms: u64,
    /// From one to the next.
    pub step_ms: u64,
    /// From the first to the first that is not there any more.
    pub within_ms: u64,
}

impl Events {
    /// The events of one run, whose ids no other run has.
    pub fn new(run: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            large: None,
            times: Vec::new(),
            undated: None,
        }
    }

    /// Has the events from number `from` on happen at `times`.
    pub fn happen(&mut self, from: u32, times: Times) {
        self.times.push((from, times));
    }

    /// Leaves out the `timestamp` of every `nth` event.
    pub fn leave_undated(&mut self, nth: u32) {
        self.undated = Some(nth);
    }

    /// `timestamp` of an event, Unix ms; `None` without one.
    #[must_use]
    pub fn timestamp_ms(&self, number: u32) -> Option<u64> {
        if self.undated.is_some_and(|nth| number.is_multiple_of(nth)) {
            return None;
        }
        let begun = self.times.iter().rfind(|(from, _)| *from <= number);
        let number = u64::from(number);
        Some(match begun {
            Some((_, times)) => times.first_ms + number * times.step_ms % times.within_ms,
            None => FIRST_MS + number,
        })
    }

    /// Makes every `nth` event one with `bytes` of noise.
    pub fn enlarge(&mut self, nth: u32, bytes: usize) {
        self.large = Some((nth, bytes));
    }

    /// `eventId` of an event.
    #[must_use]
    pub fn event_id(&self, number: u32) -> String {
        format!("{}-{number:07}", self.run)
    }

    /// The number in an `eventId`; `None` when it is not of this run.
    #[must_use]
    pub fn number(&self, event_id: &str) -> Option<u32> {
        let digits = event_id.strip_prefix(&self.run)?.strip_prefix('-')?;
        digits.parse().ok()
    }

    /// Type of an event.
    #[must_use]
    pub fn event_type(number: u32) -> &'static str {
        TYPES[number as usize % TYPES.len()]
    }

    /// One event as JSON.
    #[must_use]
    pub fn json(&self, number: u32) -> String {
        let mut text = String::new();
        self.write(number, &mut text);
        text
    }

    /// Several events as a JSON array.
    #[must_use]
    pub fn array(&self, numbers: Range<u32>) -> String {
        let mut text = String::with_capacity(numbers.len() * 180);
        for number in numbers {
            text.push(if text.is_empty() { '[' } else { ',' });
            self.write(number, &mut text);
        }
        text.push(']');
        text
    }

    /// Several events as NDJSON.
    #[must_use]
    pub fn ndjson(&self, numbers: Range<u32>) -> String {
        let lines = numbers.map(|number| self.json(number));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn write(&self, number: u32, text: &mut String) {
        let (run, event_type) = (&self.run, Self::event_type(number));
        let user = number % USERS;
        let timestamp = self.timestamp_ms(number);
        let timestamp = timestamp.map_or_else(|| "null".to_owned(), |ms| ms.to_string());
        // Writing to a string cannot fail.
        write!(
            text,
            r#"{{"eventId":"{run}-{number:07}","eventType":"{event_type}","userId":"user-{user}","#,
        )
        .and_then(|()| {
            write!(
                text,
                r#""timestamp":{timestamp},"metadata":{{"page":"/p/{user}","step":{number}{}}}}}"#,
                self.noise(number)
            )
        })
        .ok();
    }

    /// A member that no compression makes much smaller.
    fn noise(&self, number: u32) -> String {
        match self.large {
            Some((nth, bytes)) if number.is_multiple_of(nth) => {
                let mut noise = rand::rngs::StdRng::seed_from_u64(number.into());
                let letters = (0..bytes).map(|_| char::from(noise.sample(Alphanumeric)));
                format!(r#","noise":"{}""#, letters.collect::<String>())
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_when_they_are_told_to() {
        let mut events = Events::new("r1");
        assert_eq!(events.timestamp_ms(7), Some(FIRST_MS + 7));
        let times = |first_ms| Times {
            first_ms,
            step_ms: 30,
            within_ms: 100,
        };
        events.happen(0, times(1_000));
        events.happen(5, times(2_000));
        assert_eq!(events.timestamp_ms(4), Some(1_020));
        assert_eq!(events.timestamp_ms(5), Some(2_050));
        events.leave_undated(5);
        assert_eq!(events.timestamp_ms(5), None);
        assert!(events.json(5).contains(r#""timestamp":null"#));
    }

    #[test]
    fn a_number_makes_one_event_and_is_read_back_from_its_id() {
        let events = Events::new("r1");
        assert_eq!(events.number(&events.event_id(42)), Some(42));
        assert_eq!(Events::new("r2").number(&events.event_id(42)), None);
        let parsed: Vec<serde_json::Value> = serde_json::from_str(&events.array(3..5)).unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0]["eventId"], events.event_id(3));
        assert_eq!(parsed[1]["eventType"], Events::event_type(4));
        assert_eq!(events.ndjson(3..5).lines().count(), 2);
        let mut with_large = events.clone();
        with_large.enlarge(4, 1_000);
        assert_eq!(with_large.json(3), events.json(3));
        assert!(with_large.json(4).len() > events.json(4).len() + 1_000);
        assert_eq!(with_large.json(4), with_large.json(4));
    }
}
