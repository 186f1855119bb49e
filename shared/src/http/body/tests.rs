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

/// Sends a byte, waits, and so on for ever.
fn dripping(every: Duration) -> impl Body<Data = Bytes, Error = Infallible> {
    StreamBody::new(stream::unfold((), move |()| async move {
        tokio::time::sleep(every).await;
        Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
    }))
}

#[tokio::test]
async fn a_body_in_one_frame_is_not_copied() {
    let sent = Bytes::from_static(b"0123456789");
    let read = read(Full::new(sent.clone()), &LIMITS).await.unwrap();
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
        assert_eq!(read(frames(parts), &LIMITS).await.unwrap(), expected);
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
        let error = read(frames(parts), &LIMITS).await.unwrap_err();
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
    let error = read(Announced, &LIMITS).await.unwrap_err();
    assert!(matches!(error, BodyError::TooLarge { limit: 10 }));
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_stalls_and_a_slow_one_meets_the_deadline() {
    let error = read(dripping(Duration::from_secs(11)), &LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, BodyError::Stalled { .. }), "{error}");
    let error = read(dripping(Duration::from_secs(9)), &LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, BodyError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn a_broken_body_keeps_its_cause() {
    let parts = [
        Ok(Frame::data(Bytes::from_static(b"ab"))),
        Err(io::Error::other("reset")),
    ];
    let error = read(StreamBody::new(stream::iter(parts)), &LIMITS)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "body was broken off");
    assert_eq!(error.source().unwrap().to_string(), "reset");
}
