//! The cursor of a list: whatever a client sends for one, it is the one that was given out, or none.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use axum::extract::FromRequestParts as _;
use evp_aggregator::auth::Tenant;
use evp_aggregator::events::cursor::Cursor;
use evp_aggregator::events::filter::{Filter, Window};
use evp_aggregator::events::position::{Direction, Order, Position};
use libfuzzer_sys::fuzz_target;

/// Only a request makes one.
static TENANT: LazyLock<Tenant> = LazyLock::new(|| {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    let tenant = futures::executor::block_on(Tenant::from_request_parts(&mut parts, &()));
    tenant.expect("infallible")
});

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    types: Vec<String>,
    user_id: Option<String>,
    written_window: [String; 2],
    by_id: bool,
    is_newer: bool,
    time_ms: i64,
    id: [u8; 16],
    from_ms: i64,
    to_ms: i64,
    /// Which byte of the text is changed, and into what.
    change: Option<(u8, u8)>,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let window = Window {
        from_ms: input.from_ms,
        to_ms: input.to_ms,
    };
    let filter = Filter {
        tenant: TENANT.clone(),
        types: input.types,
        user_id: input.user_id,
        session_id: None,
        window,
        written_window: input.written_window,
    };
    assert_eq!(Cursor::decode(input.text, &filter), None, "forged");
    let cursor = Cursor {
        order: if input.by_id { Order::Id } else { Order::Timestamp },
        direction: if input.is_newer { Direction::Newer } else { Direction::Older },
        position: Position {
            time_ms: input.time_ms,
            id: input.id,
        },
        window,
    };
    let text = cursor.encode(&filter);
    assert_eq!(Cursor::decode(&text, &filter), Some(cursor));
    if let Some((at, byte)) = input.change {
        let mut changed = text.clone().into_bytes();
        let at = usize::from(at) % changed.len();
        changed[at] = byte;
        if let Ok(changed) = String::from_utf8(changed) {
            let read = Cursor::decode(&changed, &filter);
            assert!(changed == text || read.is_none(), "changed and taken");
        }
    }
});
