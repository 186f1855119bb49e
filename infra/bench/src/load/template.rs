//! Hot path: requests as bytes. They are made before the first one is sent; before each use only
//! ids and times are written over, and users and types where they are chosen anew.

use std::io::Write as _;

use super::event::{EventText, TYPE_BYTES, USER_BYTES};
use super::ids::{ID_BYTES, Random, TIME_BYTES, decimal, digits, hyphenated};
use super::spread::{Spread, zipf};
use super::times::Dating;
use super::{Encoding, Format, GeneratorSpec, IdKind};

/// Distinct events that a load repeats, so that what is compressed and indexed varies as real
/// events do.
const EVENTS: usize = 12_000;
/// The same, in bytes: of large events there are fewer.
const BYTES: usize = 16 * 1024 * 1024;
/// Earlier events that a duplicate is chosen from, or as many whole requests as are in them.
const REMEMBERED: usize = 8_192;
const SEED: u64 = 0x0065_7670;

/// A request: head and body, ready to be sent.
#[derive(Debug)]
pub struct Template {
    /// All bytes of the request.
    pub bytes: Vec<u8>,
    /// Where what is written over stands in its events.
    slots: Vec<Slots>,
    fresh: Vec<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Slots {
    id_at: Option<usize>,
    time_at: Option<usize>,
    user_at: usize,
    type_at: Option<usize>,
}

impl Slots {
    const fn of(event: &EventText) -> Self {
        Self {
            id_at: event.id_at,
            time_at: event.time_at,
            user_at: event.user_at,
            type_at: event.type_at,
        }
    }

    /// The same behind so many bytes.
    fn after(self, bytes: usize) -> Self {
        let after = |at: Option<usize>| at.map(|at| bytes + at);
        Self {
            id_at: after(self.id_at),
            time_at: after(self.time_at),
            user_at: bytes + self.user_at,
            type_at: after(self.type_at),
        }
    }
}

/// Id and time of an event.
#[derive(Debug, Clone, Copy)]
struct Sent {
    id: [u8; ID_BYTES],
    time: [u8; TIME_BYTES],
}

/// The requests of a load. One is taken for each request under way, and given back after it.
#[derive(Debug)]
pub struct Templates {
    free: Vec<Template>,
    ids: IdKind,
    duplicates: f64,
    retried: bool,
    spread: Spread,
    types: u32,
    dating: Dating,
    random: Random,
    remembered: Vec<Sent>,
    oldest: usize,
}

impl Templates {
    /// Makes the requests of a run; `seed` makes its ids differ from those of another one.
    ///
    /// # Errors
    /// A body could not be compressed.
    pub fn make(spec: &GeneratorSpec, seed: u64) -> std::io::Result<Self> {
        let load = &spec.load;
        let mut random = Random::new(SEED);
        let events = usize::from(load.request_events);
        let event_bytes = EventText::make(load, &mut random).json.len();
        let distinct = EVENTS.min(BYTES / event_bytes);
        let count = (distinct / events).max(2 * usize::from(load.connections));
        // As many of each key.
        let count = count.next_multiple_of(spec.keys.len().max(1));
        let free = (0..count)
            .map(|number| Template::make(spec, number, &mut random))
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            free,
            ids: load.ids,
            duplicates: load.duplicates,
            retried: load.retried,
            spread: load.spread,
            types: u32::from(load.types),
            dating: Dating::new(
                load.times,
                spec.start_at_ms,
                spec.warmup_ms + spec.measured_ms,
            ),
            random: Random::new(seed),
            remembered: Vec::new(),
            oldest: 0,
        })
    }

    /// Takes a request that is due at `due_ms`, and dates its events.
    ///
    /// # Panics
    /// More are taken than there are connections.
    pub fn take(&mut self, due_ms: u64) -> Template {
        let ms = self.dating.of_request(due_ms);
        // Any of the free ones, so that all of them are used.
        let index = self.random.below(self.free.len());
        let mut template = self.free.swap_remove(index);
        let time = digits(ms);
        let again = self.retried_from(template.slots.len());
        for at in 0..template.slots.len() {
            let slots = template.slots[at];
            let sent = match (slots.id_at, again) {
                (Some(_), Some(first)) => self.remembered[first + at],
                (Some(_), None) => self.identity(ms, time, &mut template.fresh),
                (None, _) => Sent {
                    id: [0; ID_BYTES],
                    time,
                },
            };
            if let Some(at) = slots.id_at {
                template.bytes[at..at + ID_BYTES].copy_from_slice(&sent.id);
            }
            if let Some(at) = slots.time_at {
                template.bytes[at..at + TIME_BYTES].copy_from_slice(&sent.time);
            }
            if let Spread::Zipf { users } = self.spread {
                self.spread_over(users, slots, &mut template.bytes);
            }
        }
        template
    }

    fn spread_over(&mut self, users: u32, slots: Slots, bytes: &mut [u8]) {
        let user = decimal::<USER_BYTES>(zipf(&mut self.random, users).into());
        bytes[slots.user_at..slots.user_at + USER_BYTES].copy_from_slice(&user);
        if let Some(at) = slots.type_at {
            let kind = decimal::<TYPE_BYTES>(zipf(&mut self.random, self.types).into());
            bytes[at..at + TYPE_BYTES].copy_from_slice(&kind);
        }
    }

    /// Where the events of the request that is sent again begin, if one is.
    fn retried_from(&mut self, events: usize) -> Option<usize> {
        if !self.retried || !self.random.happens(self.duplicates) {
            return None;
        }
        let requests = self.remembered.len() / events;
        (requests > 0).then(|| self.random.below(requests) * events)
    }

    /// Gives a request back; what was accepted may be sent again as a duplicate. Returns how many
    /// of its ids had not been sent before.
    pub fn give_back(&mut self, mut template: Template, accepted: bool) -> u64 {
        let fresh = template.fresh.len() as u64;
        if accepted && self.duplicates > 0.0 {
            let events = template.slots.len();
            let most = (REMEMBERED / events).max(1) * events;
            for sent in &template.fresh {
                if self.remembered.len() < most {
                    self.remembered.push(*sent);
                } else {
                    self.remembered[self.oldest] = *sent;
                    self.oldest = (self.oldest + 1) % most;
                }
            }
        }
        template.fresh.clear();
        self.free.push(template);
        fresh
    }

    fn identity(&mut self, ms: u64, time: [u8; TIME_BYTES], fresh: &mut Vec<Sent>) -> Sent {
        let repeats = self.duplicates > 0.0
            && !self.retried
            && !self.remembered.is_empty()
            && self.random.happens(self.duplicates);
        if repeats {
            let index = self.random.below(self.remembered.len());
            return self.remembered[index];
        }
        let (ms, time) = match self.dating.of_late(ms, &mut self.random) {
            Some(ms) => (ms, digits(ms)),
            None => (ms, time),
        };
        let uuid = match self.ids {
            IdKind::V7 => self.random.v7(ms),
            IdKind::Server | IdKind::V4 | IdKind::V4Undated => self.random.v4(),
        };
        let sent = Sent {
            id: hyphenated(uuid),
            time,
        };
        fresh.push(sent);
        sent
    }
}

impl Template {
    fn make(spec: &GeneratorSpec, number: usize, random: &mut Random) -> std::io::Result<Self> {
        let (load, port) = (&spec.load, spec.port);
        let key = match spec.keys.len() {
            0 => String::new(),
            keys => format!("authorization: Bearer {}\r\n", spec.keys[number % keys]),
        };
        let (open, between, close) = match load.format {
            Format::Object => ("", "", ""),
            Format::Array => ("[", ",", "]"),
            Format::Ndjson => ("", "\n", "\n"),
        };
        let mut body = open.as_bytes().to_vec();
        let mut slots = Vec::new();
        for index in 0..load.request_events {
            if index > 0 {
                body.extend_from_slice(between.as_bytes());
            }
            let event = EventText::make(load, random);
            slots.push(Slots::of(&event).after(body.len()));
            body.extend_from_slice(event.json.as_bytes());
        }
        body.extend_from_slice(close.as_bytes());
        let (body, encoding) = match load.encoding {
            Encoding::Identity => (body, ""),
            Encoding::Gzip => (gzip(&body)?, "content-encoding: gzip\r\n"),
            Encoding::Zstd => (
                zstd::bulk::compress(&body, 3)?,
                "content-encoding: zstd\r\n",
            ),
        };
        let kind = match load.format {
            Format::Object | Format::Array => "application/json",
            Format::Ndjson => "application/x-ndjson",
        };
        let query = if load.answers_list_ids {
            ""
        } else {
            "?ids=none"
        };
        let mut bytes = format!(
            "POST /events{query} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n{encoding}{key}\r\n",
            body.len()
        )
        .into_bytes();
        let head = bytes.len();
        for slot in &mut slots {
            *slot = slot.after(head);
        }
        if !load.is_patched() {
            slots.clear();
        }
        bytes.extend_from_slice(&body);
        Ok(Self {
            bytes,
            slots,
            fresh: Vec::new(),
        })
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;
    use crate::load::Load;
    use crate::load::times::{DAY_MS, Times};

    const START_MS: u64 = 1_763_733_600_000;

    fn spec(load: Load) -> GeneratorSpec {
        GeneratorSpec {
            load,
            port: 8080,
            keys: Vec::new(),
            authority: None,
            start_at_ms: START_MS,
            warmup_ms: 0,
            measured_ms: 1_000,
            patience_ms: 0,
        }
    }

    fn templates(load: Load) -> Templates {
        Templates::make(&spec(load), 1).unwrap()
    }

    fn events(template: &Template) -> Vec<Value> {
        let at = memchr::memmem::find(&template.bytes, b"\r\n\r\n").unwrap();
        serde_json::from_slice(&template.bytes[at + 4..]).unwrap()
    }

    #[test]
    fn a_request_is_dated_and_its_ids_are_new() {
        let load = Load {
            ids: IdKind::V7,
            ..Load::open(1.0, 50)
        };
        let mut templates = templates(load);
        let mut seen = HashSet::new();
        for round in 0..20 {
            let template = templates.take(START_MS + round);
            for event in events(&template) {
                assert_eq!(event["timestamp"], START_MS + round);
                assert!(seen.insert(event["eventId"].as_str().unwrap().to_owned()));
            }
            assert_eq!(templates.give_back(template, true), 50);
        }
        assert_eq!(seen.len(), 1_000);
    }

    #[test]
    fn duplicates_repeat_id_and_time_of_accepted_events() {
        let load = Load {
            ids: IdKind::V4,
            duplicates: 0.3,
            ..Load::open(1.0, 100)
        };
        let mut templates = templates(load);
        let (mut seen, mut fresh, mut total) = (HashSet::new(), 0, 0);
        for round in 0..50 {
            let template = templates.take(START_MS + round);
            for event in events(&template) {
                seen.insert((event["eventId"].to_string(), event["timestamp"].to_string()));
                total += 1;
            }
            fresh += templates.give_back(template, true);
        }
        assert_eq!(seen.len() as u64, fresh);
        assert!((3_300..3_800).contains(&fresh), "{fresh} of {total}");
    }

    #[test]
    fn a_request_is_sent_again_whole() {
        let load = Load {
            ids: IdKind::V7,
            duplicates: 0.5,
            retried: true,
            ..Load::open(1.0, 100)
        };
        let mut templates = templates(load);
        let (mut seen, mut retried) = (HashSet::new(), 0);
        // More than are remembered.
        for round in 0..400 {
            let template = templates.take(START_MS + round);
            let mut ids: Vec<_> = events(&template)
                .iter()
                .map(|event| event["eventId"].to_string())
                .collect();
            ids.sort_unstable();
            retried += u64::from(!seen.insert(ids));
            templates.give_back(template, true);
        }
        assert_eq!(seen.len() as u64 + retried, 400);
        assert!((150..250).contains(&retried), "{retried}");
        let ids: HashSet<_> = seen.iter().flatten().collect();
        assert_eq!(ids.len(), seen.len() * 100, "no id in two requests");
    }

    #[test]
    fn users_types_and_times_are_chosen_for_each_event() {
        let load = Load {
            ids: IdKind::V7,
            types: 1_000,
            spread: Spread::Zipf { users: 100_000 },
            times: Times::Days(20),
            ..Load::open(1.0, 100)
        };
        let mut templates = templates(load);
        let [mut users, mut kinds, mut days] = [(); 3].map(|()| HashSet::new());
        let mut first = 0;
        for ms in 0..1_000 {
            let template = templates.take(START_MS + ms);
            for event in events(&template) {
                users.insert(event["userId"].to_string());
                kinds.insert(event["eventType"].to_string());
                let time = event["timestamp"].as_u64().unwrap();
                days.insert((time / DAY_MS).to_string());
                let id = event["eventId"].as_str().unwrap().replace('-', "");
                assert!(id.starts_with(&format!("{time:012x}")), "{id}");
                first += usize::from(event["userId"] == "user-000000");
            }
            templates.give_back(template, true);
        }
        assert_eq!((kinds.len(), days.len()), (1_000, 20));
        assert!(users.len() > 20_000, "{}", users.len());
        assert!((7_900..8_700).contains(&first), "{first} of 100,000");
    }

    #[test]
    fn requests_carry_the_keys_in_equal_parts() {
        let spec = GeneratorSpec {
            keys: (0..7).map(|key| format!("evp_sec_{key}")).collect(),
            ..spec(Load::open(1.0, 100))
        };
        let mut templates = Templates::make(&spec, 1).unwrap();
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        while !templates.free.is_empty() {
            let template = templates.take(START_MS);
            let head = String::from_utf8_lossy(&template.bytes);
            let key = head
                .lines()
                .find_map(|line| line.strip_prefix("authorization: Bearer "));
            *seen.entry(key.unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(seen.len(), 7);
        assert!(
            seen.values()
                .all(|count| Some(count) == seen.values().next())
        );
    }

    #[test]
    fn compressed_bodies_are_left_as_they_are() {
        let load = Load {
            encoding: Encoding::Zstd,
            ..Load::open(1.0, 100)
        };
        let mut templates = templates(load);
        let template = templates.take(5);
        let at = memchr::memmem::find(&template.bytes, b"\r\n\r\n").unwrap();
        let body = zstd::bulk::decompress(&template.bytes[at + 4..], 1 << 20).unwrap();
        let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
        assert_eq!(events.len(), 100);
        assert!(events[0].get("timestamp").is_none(), "the server dates it");
    }
}
