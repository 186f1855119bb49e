//! What the events of a load look like. Pure.

use std::fmt::Write as _;

use super::ids::Random;
use super::{IdKind, Load, Shape};

/// Bytes of a default event, with or without an `eventId`. Source: the event that all measured
/// figures of the design are about.
pub const DEFAULT_EVENT_BYTES: usize = 266;

/// Digits of a user's number.
pub const USER_BYTES: usize = 6;
/// Digits of a type's number.
pub const TYPE_BYTES: usize = 3;

/// Users that a load's events are evenly spread over.
const USERS: usize = 10_000;
const PLACEHOLDER_ID: &str = "00000000-0000-0000-0000-000000000000";
const PLACEHOLDER_TIME: &str = "1700000000000";
const WORDS: [&str; 16] = [
    "order", "basket", "search", "result", "filter", "window", "client", "render", "banner",
    "coupon", "scroll", "detail", "review", "rating", "submit", "cancel",
];
const DEVICES: [&str; 4] = ["phone", "table", "deskt", "watch"];
const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "GB", "PL", "ES", "IT", "NL"];
const CARRIERS: [&str; 8] = ["UA", "AA", "B6", "DL", "EV", "MQ", "US", "WN"];
const AIRPORTS: [&str; 8] = ["JFK", "LGA", "EWR", "LAX", "ORD", "ATL", "SFO", "BOS"];

/// One event as JSON text, and where its id and time stand in it.
#[derive(Debug, Clone)]
pub struct EventText {
    /// The object.
    pub json: String,
    /// Where the 36 bytes of `eventId` begin.
    pub id_at: Option<usize>,
    /// Where the 13 digits of `timestamp` begin.
    pub time_at: Option<usize>,
    /// Where the 6 digits of the user begin.
    pub user_at: usize,
    /// Where the 3 digits of the type begin; flights have other types.
    pub type_at: Option<usize>,
}

impl EventText {
    /// Makes an event of the load's shape.
    pub fn make(load: &Load, random: &mut Random) -> Self {
        let mut event = Self {
            json: "{".to_owned(),
            id_at: None,
            time_at: None,
            user_at: 0,
            type_at: None,
        };
        if load.ids != IdKind::Server {
            event.json.push_str("\"eventId\":\"");
            event.id_at = Some(event.json.len());
            event.json.push_str(PLACEHOLDER_ID);
            event.json.push_str("\",");
        }
        let dated = load.is_patched() && load.ids != IdKind::V4Undated;
        event.head(load, random, dated);
        match load.shape {
            Shape::Flights => event.flight(random),
            Shape::Default | Shape::Kib1 | Shape::Kib10 => event.metadata(random),
        }
        match load.shape {
            Shape::Flights => event.json.push('}'),
            Shape::Default => event.close(DEFAULT_EVENT_BYTES, random),
            Shape::Kib1 => event.with_payload(1_024, random),
            Shape::Kib10 => event.with_payload(10_240, random),
        }
        event
    }

    fn head(&mut self, load: &Load, random: &mut Random, dated: bool) {
        let user = random.below(USERS);
        let session = random.next() >> 16;
        self.push(format_args!("\"eventType\":\""));
        let kind = random.below(usize::from(load.types));
        match load.shape {
            Shape::Flights => self.push(format_args!(
                "{}{}\",",
                CARRIERS[kind % CARRIERS.len()],
                kind / CARRIERS.len()
            )),
            Shape::Default | Shape::Kib1 | Shape::Kib10 => {
                self.json.push_str("page.view.");
                self.type_at = Some(self.json.len());
                self.push(format_args!("{kind:03}\","));
            }
        }
        self.json.push_str("\"userId\":\"user-");
        self.user_at = self.json.len();
        self.push(format_args!("{user:06}\","));
        self.push(format_args!("\"sessionId\":\"{session:012x}\","));
        if dated {
            self.json.push_str("\"timestamp\":");
            self.time_at = Some(self.json.len());
            self.json.push_str(PLACEHOLDER_TIME);
            self.json.push(',');
        }
        // Six fields in either case.
        if self.id_at.is_none() {
            self.push(format_args!("\"priority\":{},", random.below(10)));
        }
    }

    /// Six keys; the last one is left open, to be filled up to the size.
    fn metadata(&mut self, random: &mut Random) {
        let word = WORDS[random.below(WORDS.len())];
        self.push(format_args!(
            "\"metadata\":{{\"page\":\"/{word}/{:04}\",\"device\":\"{}\",\"country\":\"{}\",\
             \"durationMs\":{},\"isNew\":{},\"label\":\"",
            random.below(10_000),
            DEVICES[random.below(DEVICES.len())],
            COUNTRIES[random.below(COUNTRIES.len())],
            1_000 + random.below(9_000),
            random.happens(0.5),
        ));
    }

    fn close(&mut self, bytes: usize, random: &mut Random) {
        const END: &str = "\"}}";
        self.words_up_to(bytes - END.len(), random);
        self.json.push_str(END);
    }

    fn with_payload(&mut self, bytes: usize, random: &mut Random) {
        self.json.push_str("label\"},\"payload\":{\"text\":\"");
        self.close(bytes, random);
    }

    fn words_up_to(&mut self, bytes: usize, random: &mut Random) {
        while self.json.len() < bytes {
            self.json.push_str(WORDS[random.below(WORDS.len())]);
            self.json.push(' ');
        }
        self.json.truncate(bytes);
    }

    fn flight(&mut self, random: &mut Random) {
        let mut below = |bound: usize| random.below(bound);
        let (month, day) = (1 + below(12), 1 + below(28));
        let (departure, delay) = (100 + below(2_300), below(90));
        self.push(format_args!(
            "\"metadata\":{{\"year\":2013,\"month\":{month},\"day\":{day},\"dep_time\":{departure},\
             \"sched_dep_time\":{},\"dep_delay\":{delay},\"arr_time\":{},\"sched_arr_time\":{},\
             \"arr_delay\":{},\"flight\":{},\"origin\":\"{}\",\"dest\":\"{}\",\"air_time\":{},\
             \"distance\":{},\"hour\":{},\"minute\":{}}}",
            100 + below(2_300),
            100 + below(2_300),
            100 + below(2_300),
            below(120),
            below(8_000),
            AIRPORTS[below(3)],
            AIRPORTS[below(AIRPORTS.len())],
            30 + below(300),
            100 + below(2_500),
            below(24),
            below(60),
        ));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        let written = self.json.write_fmt(text);
        debug_assert!(written.is_ok(), "writing into a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_the_size_they_are_named_by() {
        let mut random = Random::new(3);
        for (shape, bytes) in [
            (Shape::Default, Some(266)),
            (Shape::Kib1, Some(1_024)),
            (Shape::Kib10, Some(10_240)),
            (Shape::Flights, None),
        ] {
            for ids in [IdKind::Server, IdKind::V7, IdKind::V4Undated] {
                let load = Load {
                    shape,
                    ids,
                    ..Load::open(1.0, 1)
                };
                let event = EventText::make(&load, &mut random);
                if let Some(bytes) = bytes {
                    assert_eq!(event.json.len(), bytes, "{}", event.json);
                }
                let value: serde_json::Value = serde_json::from_str(&event.json).unwrap();
                assert!(value["metadata"].as_object().unwrap().len() >= 6);
                assert_eq!(event.id_at.is_some(), ids != IdKind::Server);
                assert_eq!(event.time_at.is_some(), ids != IdKind::V4Undated);
                if let Some(at) = event.time_at {
                    assert!(event.json.as_bytes()[at..].starts_with(PLACEHOLDER_TIME.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn a_default_event_has_six_fields_and_six_keys_of_metadata() {
        for ids in [IdKind::Server, IdKind::V7, IdKind::V4] {
            let load = Load {
                ids,
                ..Load::open(1.0, 1)
            };
            let event = EventText::make(&load, &mut Random::new(1));
            let value: serde_json::Value = serde_json::from_str(&event.json).unwrap();
            assert_eq!(value.as_object().unwrap().len(), 6);
            assert_eq!(value["metadata"].as_object().unwrap().len(), 6);
        }
    }
}
