//! The cursor of a list: made for each page that has a next one, read with each request for it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use evp_aggregator::auth::Tenant;
use evp_aggregator::events::cursor::Cursor;
use evp_aggregator::events::filter::{Filter, Window};
use evp_aggregator::events::position::{Direction, Order, Position};

fn cursors(c: &mut Criterion) {
    let filter = Filter {
        tenant: Tenant::of_everybody(),
        types: (0..5)
            .map(|number| format!("page.view.{number:03}"))
            .collect(),
        user_id: Some("user-1234".to_owned()),
        session_id: None,
        window: Window::ALL,
        written_window: ["-1h".to_owned(), String::new()],
    };
    let cursor = Cursor {
        order: Order::Timestamp,
        direction: Direction::Older,
        position: Position {
            time_ms: 1_763_733_600_123,
            id: [7; 16],
        },
        window: Window::ALL,
    };
    let text = cursor.encode(&filter);
    let mut group = c.benchmark_group("cursor");
    group.bench_function("encode", |b| {
        b.iter(|| black_box(&cursor).encode(black_box(&filter)));
    });
    group.bench_function("decode", |b| {
        b.iter(|| Cursor::decode(black_box(&text), black_box(&filter)));
    });
    group.finish();
}

criterion_group!(benches, cursors);
criterion_main!(benches);
