//! Every key that is ingest's own.

use std::net::SocketAddr;
use std::time::Duration;

use evp_shared::config::{
    AnyKey, ByteSize, Choice, IDENTITY_MODE, Key, SALT_BITS, admin_listen, server_listen,
};
use evp_shared::event::UnknownFields;
use evp_shared::frame::Codec;

/// The public listener.
pub const SERVER_LISTEN: Key<SocketAddr> = server_listen("127.0.0.1:8080");
/// The admin listener.
pub const ADMIN_LISTEN: Key<SocketAddr> = admin_listen("127.0.0.1:9180");

/// HTTP/2.
pub const HTTP2: Key<Http2Mode> = Key::new(
    "ingest.http2",
    "false",
    "Whether HTTP/2 without TLS (h2c, prior knowledge) is spoken on the public port besides \
     HTTP/1.1. It saves connections for clients that have many small requests at once.",
);
/// Cross-origin requests.
pub const CORS_ORIGINS: Key<Vec<String>> = Key::new(
    "ingest.cors.origins",
    "",
    "Origins whose pages may send events from a browser, as `https://app.example`; none by \
     default. A request of any other page is refused, one without an `Origin` is not.",
);
/// Unknown fields.
pub const UNKNOWN_FIELDS: Key<UnknownFields> = Key::new(
    "ingest.unknown_fields",
    "reject",
    "What becomes of top-level fields EVP does not know: `reject` rejects the event, `keep` moves \
     them under `metadata`.",
);
/// Body on the wire.
pub const BODY_BYTES: Key<ByteSize> = Key::new(
    "ingest.body.bytes",
    "4MiB",
    "Largest body as received. Higher lets one request hold more memory.",
)
.range("1KiB", "64MiB");
/// Body after decompression.
pub const BODY_DECODED_BYTES: Key<ByteSize> = Key::new(
    "ingest.body.decoded_bytes",
    "16MiB",
    "Largest body after decompression, and most bytes its events may become. Decoding a body \
     takes up to 24 times its size for a moment on each worker.",
)
.range("1KiB", "256MiB");
/// Events of a request.
pub const BODY_EVENTS: Key<u16> = Key::new(
    "ingest.body.events",
    "10000",
    "Most events in one request. A request is appended whole or not at all, in one call to Redis.",
)
.range("1", "50000");
/// Stall of a body.
pub const BODY_IDLE: Key<Duration> = Key::new(
    "ingest.body.idle",
    "10s",
    "Longest time in which less than 16 KiB a second of a body come; 1 s while bodies that are not \
     complete hold a quarter of `ingest.admission.in_flight_bytes`. Lower cuts clients on bad \
     networks.",
)
.range("100ms", "5m");
/// Time of a body.
pub const BODY_TOTAL: Key<Duration> = Key::new(
    "ingest.body.total",
    "30s",
    "Longest time for a whole body. Higher lets slow clients hold memory.",
)
.range("100ms", "10m");
/// Size of an event.
pub const EVENT_BYTES: Key<ByteSize> = Key::new(
    "ingest.event_bytes",
    "256KiB",
    "Largest event, as BSON. Larger ones make slow bulks.",
)
.range("1KiB", "1MiB");
/// Depth of an event.
pub const EVENT_DEPTH: Key<usize> = Key::new(
    "ingest.event_depth",
    "64",
    "Deepest nesting of objects and arrays; the event itself is level 1. mongod takes 179.",
)
.range("2", "150");
/// Events of a frame.
pub const FRAME_EVENTS: Key<usize> = Key::new(
    "ingest.frame.events",
    "1000",
    "Most events in one frame. Larger frames cost Redis less and make what is repeated after a \
     failure larger; each may have a type of its own, and the commit script takes 5,000 counter \
     cells, four of a type.",
)
.range("1", "1250");
/// Bytes of a frame.
pub const FRAME_BYTES: Key<ByteSize> = Key::new(
    "ingest.frame.bytes",
    "512KiB",
    "Largest frame, uncompressed.",
)
.range("4KiB", "4MiB");
/// Compression of frames.
pub const FRAME_CODEC: Key<Codec> = Key::new(
    "ingest.frame.codec",
    "lz4",
    "Compression of frames: `none`, `lz4` (a third of the memory in Redis) or `zstd` (a sixth, for \
     more CPU).",
);
/// Group commit.
pub const APPEND_IN_FLIGHT: Key<usize> = Key::new(
    "ingest.append.in_flight",
    "2",
    "Appends under way at once; while fewer are, a request is appended at once, else it joins a \
     growing frame. Higher makes frames smaller. With many partitions raise it to their number.",
)
.range("1", "64");
/// Deadline of an append.
pub const APPEND_DEADLINE: Key<Duration> = Key::new(
    "ingest.append.deadline",
    "5s",
    "Longest time a request waits for its append before it is answered 503. Higher rides out \
     longer pauses of Redis and holds more in memory meanwhile.",
)
.range("100ms", "60s");
/// Replay after a forgotten append.
pub const APPEND_REPLAY_WINDOW: Key<Option<Duration>> = Key::new(
    "ingest.append.replay_window",
    "",
    "How long acknowledged frames are held, to be appended again when Redis comes back without \
     them. By default 0s with `redis.durability = \"fsync\"`, else 5s.",
)
.range("0s", "5m");
/// Replay after a forgotten append.
pub const APPEND_REPLAY_BYTES: Key<ByteSize> = Key::new(
    "ingest.append.replay_bytes",
    "32MiB",
    "Most bytes held for replay, for each partition.",
)
.range("0B", "4GiB");
/// Admission.
pub const IN_FLIGHT_BYTES: Key<ByteSize> = Key::new(
    "ingest.admission.in_flight_bytes",
    "64MiB",
    "Bytes of bodies, of events not yet appended and of large answers not yet sent; beyond it \
     requests are answered 503. Bodies that are not complete hold half of it at most. At least \
     `ingest.body.bytes` and `ingest.body.decoded_bytes` together: a compressed body takes both.",
)
.range("1MiB", "16GiB");
/// Admission.
pub const BACKLOG_EVENTS: Key<u64> = Key::new(
    "ingest.admission.backlog_events",
    "20000000",
    "Events appended and not yet stored, over all partitions; beyond it requests are answered 503.",
)
.range("1", "100000000000");
/// Admission.
pub const BACKLOG_BYTES: Key<ByteSize> = Key::new(
    "ingest.admission.backlog_bytes",
    "8GiB",
    "Their bytes, uncompressed; beyond it requests are answered 503.",
)
.range("1MiB", "1024GiB");
/// Admission.
pub const MEMORY_SHARE: Key<f64> = Key::new(
    "ingest.admission.memory_share",
    "0.9",
    "Used share of Redis' memory limit from which on requests are answered 503, before Redis \
     itself refuses.",
)
.range("0.1", "1");
/// All of them, for the reference.
pub const KEYS: &[&dyn AnyKey] = &[
    &SERVER_LISTEN,
    &ADMIN_LISTEN,
    &HTTP2,
    &CORS_ORIGINS,
    &UNKNOWN_FIELDS,
    &BODY_BYTES,
    &BODY_DECODED_BYTES,
    &BODY_EVENTS,
    &BODY_IDLE,
    &BODY_TOTAL,
    &EVENT_BYTES,
    &EVENT_DEPTH,
    &FRAME_EVENTS,
    &FRAME_BYTES,
    &FRAME_CODEC,
    &APPEND_IN_FLIGHT,
    &APPEND_DEADLINE,
    &APPEND_REPLAY_WINDOW,
    &APPEND_REPLAY_BYTES,
    &IN_FLIGHT_BYTES,
    &BACKLOG_EVENTS,
    &BACKLOG_BYTES,
    &MEMORY_SHARE,
    &IDENTITY_MODE,
    &SALT_BITS,
];

/// See [`HTTP2`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Mode {
    /// HTTP/1.1 only.
    Off,
    /// Both.
    On,
}

impl Choice for Http2Mode {
    const CHOICES: &'static [(&'static str, Self)] = &[("false", Self::Off), ("true", Self::On)];
}
