use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream;
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, SizeHint};

use super::*;

const LIMITS: BodyLimits = BodyLimits {
    wire_bytes: 10,
    idle: Duration::from_secs(10),
    total: Duration::from_secs(30),
};

fn frames(parts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> {
    StreamBody::new(
        stream::iter(parts).map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))),
    )
}

/// Sends some bytes, waits, and so on.
fn dripping(
    bytes: usize,
    every: Duration,
    times: usize,
) -> impl Body<Data = Bytes, Error = Infallible> {
    StreamBody::new(stream::iter(0..times).then(move |_| async move {
        tokio::time::sleep(every).await;
        Ok(Frame::data(Bytes::from(vec![b'x'; bytes])))
    }))
}

#[tokio::test]
async fn a_body_in_one_frame_is_not_copied() {
    let sent = Bytes::from_static(b"0123456789");
    let read = read(Full::new(sent.clone()), &LIMITS, || false)
        .await
        .unwrap();
    assert_eq!(read.as_ptr(), sent.as_ptr());
    assert_eq!(read.len(), 10);
}

#[tokio::test]
async fn frames_are_joined_in_order() {
    let cases: [(&'static [&'static str], &str); 5] = [
        (&[], ""),
        (&["", ""], ""),
        (&["ab", "cd"], "abcd"),
        (&["", "ab", "", "cd", "ef", ""], "abcdef"),
        (&["0123456789"], "0123456789"),
    ];
    for (parts, expected) in cases {
        assert_eq!(
            read(frames(parts), &LIMITS, || false).await.unwrap(),
            expected
        );
    }
}

#[tokio::test]
async fn one_byte_above_the_cap_is_too_large_however_it_is_split() {
    let cases: [&'static [&'static str]; 3] = [
        &["01234567890"],
        &["01234", "567890"],
        &["0123", "4567", "890"],
    ];
    for parts in cases {
        let error = read(frames(parts), &LIMITS, || false).await.unwrap_err();
        assert!(
            matches!(error, BodyError::TooLarge { limit: 10 }),
            "{parts:?}: {error}"
        );
    }
}

#[tokio::test]
async fn an_announced_length_above_the_cap_is_refused_unread() {
    struct Announced;
    impl Body for Announced {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("the body must not be read")
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(11)
        }
    }
    let error = read(Announced, &LIMITS, || false).await.unwrap_err();
    assert!(matches!(error, BodyError::TooLarge { limit: 10 }));
}

#[tokio::test(start_paused = true)]
async fn a_body_has_a_lowest_rate_and_a_deadline() {
    let limits = BodyLimits {
        wire_bytes: 1 << 20,
        ..LIMITS
    };
    let second = Duration::from_secs(1);
    let cases = [
        ("silent", 1, second * 11, 2, false, Err("10s")),
        ("a byte now and then", 1, second * 9, 9, false, Err("10s")),
        ("slow, and soon complete", 1, second * 9, 1, false, Ok(1)),
        (
            "quick enough",
            17 << 10,
            second,
            20,
            false,
            Ok(20 * (17 << 10)),
        ),
        (
            "quick, and too long",
            17 << 10,
            second,
            40,
            false,
            Err("deadline"),
        ),
        (
            "silent where room is short",
            1,
            second * 3,
            2,
            true,
            Err("1s"),
        ),
        (
            "silent after much",
            64 << 10,
            second * 7 / 2,
            2,
            false,
            Ok(128 << 10),
        ),
        (
            "the same where room is short",
            64 << 10,
            second * 7 / 2,
            2,
            true,
            Err("1s"),
        ),
    ];
    for (name, bytes, every, times, is_crowded, expected) in cases {
        let read = read(dripping(bytes, every, times), &limits, || is_crowded).await;
        let read = read.map(|body| body.len()).map_err(|error| match error {
            BodyError::Stalled { after } => format!("{}s", after.as_secs()),
            BodyError::Deadline { .. } => "deadline".to_owned(),
            other => panic!("{name}: {other}"),
        });
        assert_eq!(read, expected.map_err(str::to_owned), "{name}");
    }
}

#[tokio::test]
async fn a_broken_body_keeps_its_cause() {
    let parts = [
        Ok(Frame::data(Bytes::from_static(b"ab"))),
        Err(io::Error::other("reset")),
    ];
    let error = read(StreamBody::new(stream::iter(parts)), &LIMITS, || false)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "body was broken off");
    assert_eq!(error.source().unwrap().to_string(), "reset");
}

#[test]
fn room_is_made_for_what_has_come_and_never_beyond_what_was_announced() {
    for announced in [200_000, 2_200_000, 4 << 20] {
        let mut gathered = Vec::with_capacity(TRUSTED_BYTES);
        while gathered.len() < announced {
            let piece = vec![b'x'; (announced - gathered.len()).min(60_000)];
            make_room(&mut gathered, piece.len(), announced);
            gathered.extend_from_slice(&piece);
            let room = gathered.capacity();
            assert!(room <= announced, "{room} of {announced}");
            assert!(room <= TRUSTED_BYTES.max(2 * gathered.len()), "{room}");
        }
    }
}
