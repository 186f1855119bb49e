//! Which request an answer and a log line are about.
//!
//! By a task-local and not a span of `tracing`: a span is written out when it begins, for every
//! request, where almost none of them logs anything.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::futures::TaskLocalFuture;

/// Where clients say how they call a request, and are told how it is called.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Source: W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const LENGTH_MAX: usize = 64;

tokio::task_local! { static CURRENT: RequestId; }

/// What a request is called, in its answer and in the log.
#[derive(Debug, Clone)]
pub struct RequestId {
    name: Name,
    traceparent: Option<HeaderValue>,
}

/// One made is written out where somebody reads it: it is cloned for each request, and read once.
#[derive(Debug, Clone)]
enum Name {
    Given(HeaderValue),
    Made(u64),
}

impl Name {
    /// One no other request has, of this process or another.
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::Made(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl RequestId {
    /// As `headers` call it, if by 1 to 64 of `A-Za-z0-9._-`; else by a new name.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).filter(|id| is_valid(id.as_bytes()));
        Self {
            name: given.cloned().map_or_else(Name::next, Name::Given),
            traceparent: headers.get(TRACEPARENT).cloned(),
        }
    }

    /// That of the request this task answers.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// As the answer says it.
    pub fn header(&self) -> HeaderValue {
        match &self.name {
            Name::Given(name) => name.clone(),
            Name::Made(number) => {
                let name = written(*number).try_into();
                name.unwrap_or(HeaderValue::from_static("-"))
            }
        }
    }

    /// Has `work` log as part of this request.
    pub fn scope<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, work)
    }

    /// The same for work that does not wait.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// The name.
    pub fn id(&self) -> Cow<'_, str> {
        match &self.name {
            Name::Given(name) => name.to_str().unwrap_or_default().into(),
            Name::Made(number) => written(*number).into(),
        }
    }

    /// The trace it belongs to; `None` where the client named none, or not as it should.
    pub fn trace_id(&self) -> Option<&str> {
        let text = self.traceparent.as_ref()?.to_str().ok()?;
        let is_hex = |text: &str| {
            text.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (version, rest) = text.split_once('-')?;
        let (trace, _) = rest.split_once('-')?;
        let is_known = version.len() == 2 && is_hex(version) && version != "ff";
        let is_trace = trace.len() == 32 && is_hex(trace) && trace.bytes().any(|byte| byte != b'0');
        (is_known && is_trace).then_some(trace)
    }
}

fn is_valid(id: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=LENGTH_MAX).contains(&id.len()) && id.iter().all(is_part)
}

fn written(number: u64) -> String {
    static PROCESS: LazyLock<String> = LazyLock::new(|| format!("{:016x}-", rand::random::<u64>()));
    [&PROCESS, itoa::Buffer::new().format(number)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn asked(id: &str, traceparent: &str) -> RequestId {
        let headers = [(REQUEST_ID, id), (TRACEPARENT, traceparent)];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap()));
        RequestId::of(&HeaderMap::from_iter(headers))
    }

    #[test]
    fn a_name_is_taken_if_it_can_stand_anywhere_and_made_otherwise() {
        for good in ["a", "0.A-z_9", &"x".repeat(64)] {
            assert_eq!(asked(good, "").id(), good);
        }
        let made = ["", "a b", "a\"b", "a\u{e9}", "a/b", &"x".repeat(65)].map(|bad| {
            let made = asked(bad, "");
            assert_ne!(made.id(), bad);
            assert!(is_valid(made.id().as_bytes()), "{made:?}");
            assert_eq!(made.header(), made.id().as_ref());
            made.id().into_owned()
        });
        assert_ne!(made[0], made[1]);
    }

    #[test]
    fn a_trace_is_told_as_it_should_be() {
        let trace = |text| asked("a", text).trace_id().map(str::to_owned);
        assert_eq!(
            trace(TRACE).as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        for bad in [
            "",
            "00-4bf9-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace(bad), None, "{bad}");
        }
    }
}
