//! Where a list goes on, as text that only EVP reads. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evp_shared::http::problem::Problem;

use super::filter::{Filter, Window};
use super::position::{Direction, Order, Position};
use crate::auth::Tenant;
use crate::error::bad_cursor;
use crate::params::Params;

const VERSION: u8 = 2;
const CHECK_BYTES: usize = 8;
/// Separates this use of BLAKE3 from every other.
const CONTEXT: &str = "evp-project/evp list cursor v2";

/// Where a list goes on.
///
/// # Shape
/// Base64url of: version (1 byte, 2), order (1 byte, 0 timestamp or 1 id, and 2 more when it leads
/// to newer events), the last event's time in that order (8) and `_id` (16), the window's `from` and
/// `to` (8 each), all big-endian, and 8 bytes of BLAKE3 over that and the filters. The window is in
/// it because a relative one (`-15m`) would move between two pages. The check tells damage and
/// mistakes, not forgery: a forged cursor shows no more than a query without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// What the list is ordered by.
    pub order: Order,
    /// Which way it goes on.
    pub direction: Direction,
    /// The last event that was answered or looked at.
    pub position: Position,
    /// The window of the first page.
    pub window: Window,
}

impl Cursor {
    /// What a list is of and, on its later pages, where it goes on. The window of all pages is that
    /// of the first one.
    ///
    /// # Errors
    /// The first parameter with a value it does not take; `cursor_invalid` for a cursor of other
    /// filters.
    pub fn of_list(
        tenant: Tenant,
        params: &Params,
        now_ms: u64,
    ) -> Result<(Filter, Option<Self>), Problem> {
        let filter = Filter::parse(tenant, params, now_ms)?;
        let Some(text) = params.single("cursor")? else {
            return Ok((filter.first_page()?, None));
        };
        let cursor = Self::decode(text, &filter).ok_or_else(bad_cursor)?;
        let window = cursor.window;
        Ok((Filter { window, ..filter }, Some(cursor)))
    }

    /// Writes the cursor of a list of `filter`.
    pub fn encode(&self, filter: &Filter) -> String {
        let order = self.order as u8 + 2 * self.direction as u8;
        let body = (VERSION, order, self.position, self.window);
        // Numbers always serialise.
        let mut bytes = postcard::to_allocvec(&body).unwrap_or_default();
        let check = check(&bytes, filter);
        bytes.extend_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor; `None` unless it was written for a list of `filter`.
    pub fn decode(text: &str, filter: &Filter) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, found) = bytes.split_last_chunk()?;
        if *found != check(body, filter) {
            return None;
        }
        let (version, order, position, window): (u8, u8, _, _) = postcard::from_bytes(body).ok()?;
        let (order, direction) = match order {
            0 => (Order::Timestamp, Direction::Older),
            1 => (Order::Id, Direction::Older),
            2 => (Order::Timestamp, Direction::Newer),
            3 => (Order::Id, Direction::Newer),
            _ => return None,
        };
        let cursor = Self {
            order,
            direction,
            position,
            window,
        };
        (version == VERSION).then_some(cursor)
    }
}

/// Covers the cursor itself and what it was made for; each text with its length before it, so
/// that no two filters give one input.
fn check(body: &[u8], filter: &Filter) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(body);
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    add(filter.tenant.as_str());
    for id in [&filter.user_id, &filter.session_id] {
        // Ids are never empty, so an empty one stands for none.
        add(id.as_deref().unwrap_or_default());
    }
    filter.written_window.iter().for_each(|text| add(text));
    filter.types.iter().for_each(|kind| add(kind));
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(types: &[&str], user_id: Option<&str>) -> Filter {
        Filter {
            tenant: Tenant::named("default"),
            types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            user_id: user_id.map(str::to_owned),
            session_id: None,
            window: Window::ALL,
            written_window: ["-1h".into(), String::new()],
        }
    }

    fn any_cursor() -> impl Strategy<Value = Cursor> {
        let order = prop_oneof![Just(Order::Timestamp), Just(Order::Id)];
        let direction = prop_oneof![Just(Direction::Older), Just(Direction::Newer)];
        let way = (order, direction);
        (way, any::<i64>(), any::<[u8; 16]>(), any::<(i64, i64)>()).prop_map(
            |((order, direction), time_ms, id, (from_ms, to_ms))| Cursor {
                order,
                direction,
                position: Position { time_ms, id },
                window: Window { from_ms, to_ms },
            },
        )
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(cursor in any_cursor()) {
            let filter = filter(&["a", "b"], Some("u"));
            let text = cursor.encode(&filter);
            prop_assert_eq!(Cursor::decode(&text, &filter), Some(cursor));
        }

        #[test]
        fn a_changed_cursor_is_refused(cursor in any_cursor(), at in 0..50_usize, bit in 0..8_u8) {
            let filter = filter(&["a"], None);
            let mut bytes = URL_SAFE_NO_PAD.decode(cursor.encode(&filter)).unwrap();
            bytes[at] ^= 1_u8 << bit;
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert_eq!(Cursor::decode(&text, &filter), None);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,100}") {
            prop_assert_eq!(Cursor::decode(&text, &filter(&[], None)), None);
        }
    }

    #[test]
    fn the_window_of_the_first_page_holds_on_all_pages() {
        const HOUR_MS: u64 = 3_600_000;
        let now_ms = 1_800_000_000_000;
        let list = |query: &str, now_ms| {
            let uri = format!("/events?{query}").parse().unwrap();
            let params = Params::parse(&uri, &["from", "to", "cursor"]).unwrap();
            Cursor::of_list(Tenant::named("default"), &params, now_ms)
        };
        let position = Position {
            time_ms: 5,
            id: [7; 16],
        };
        // By the second page the whole window lies before what is an hour ago then.
        for query in ["from=-1h", "from=-2h&to=-1h", "from=-1h&to=1800000000000"] {
            let (filter, none) = list(query, now_ms).unwrap();
            assert_eq!(none, None);
            let cursor = Cursor {
                order: Order::Id,
                direction: Direction::Older,
                position,
                window: filter.window,
            };
            let later = format!("{query}&cursor={}", cursor.encode(&filter));
            let read = list(&later, now_ms + 9 * HOUR_MS);
            assert_eq!(read.unwrap(), (filter, Some(cursor)), "{query}");
        }
        let (filter, _) = list("from=1700000000&to=1800000000", now_ms).unwrap();
        let window = filter.window;
        let cursor = Cursor {
            order: Order::Id,
            direction: Direction::Older,
            position,
            window,
        };
        let text = cursor.encode(&filter);
        for other in [
            "from=1700000001&to=1800000000",
            "from=1700000000",
            "from=-1h",
        ] {
            let read = list(&format!("{other}&cursor={text}"), now_ms);
            assert_eq!(read.unwrap_err().code(), "cursor_invalid", "{other}");
        }
    }

    #[test]
    fn a_cursor_has_the_described_shape() {
        let cursor = Cursor {
            order: Order::Id,
            direction: Direction::Newer,
            position: Position {
                time_ms: 0x0102,
                id: [7; 16],
            },
            window: Window {
                from_ms: -1,
                to_ms: 3,
            },
        };
        let text = cursor.encode(&filter(&["a"], None));
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        let numbers = [258_i64, -1, 3].map(i64::to_be_bytes);
        let body = [&[2, 3], &numbers[0][..], &[7; 16], &numbers[1], &numbers[2]].concat();
        assert_eq!((&bytes[..42], bytes.len()), (&body[..], 50));
    }

    #[test]
    fn a_cursor_belongs_to_its_filters() {
        let cursor = Cursor {
            order: Order::Id,
            direction: Direction::Older,
            position: Position {
                time_ms: 5,
                id: [7; 16],
            },
            window: Window::ALL,
        };
        let own = filter(&["a", "bc"], None);
        let text = cursor.encode(&own);
        let mut session = own.clone();
        session.session_id = Some("u".into());
        let mut tenant = own.clone();
        tenant.tenant = Tenant::named("other");
        let mut window = own.clone();
        window.written_window = [String::new(), "-1h".into()];
        let others = [
            window,
            filter(&["ab", "c"], None),
            filter(&["a"], None),
            filter(&[], None),
            filter(&["a", "bc"], Some("u")),
            session,
            tenant,
        ];
        for other in others {
            assert_eq!(Cursor::decode(&text, &other), None, "{other:?}");
        }
        assert_eq!(Cursor::decode(&text, &own), Some(cursor));
    }
}
