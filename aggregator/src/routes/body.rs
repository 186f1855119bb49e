//! Bodies of requests that change something.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use evp_shared::http::body::{self, BodyError, BodyLimits};
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{QueryError, bad_parameter};
use crate::params::Params;

/// Room for a thousand ids, and slow clients.
const BODY: BodyLimits = BodyLimits {
    wire_bytes: 256 * 1024,
    idle: Duration::from_secs(10),
    total: Duration::from_secs(30),
};

/// What the body of a request without parameters asks for.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = QueryError;

    async fn from_request(request: Request, _: &S) -> Result<Self, QueryError> {
        Params::parse(request.uri(), &[])?;
        let (head, body) = request.into_parts();
        Ok(Self(read_json(&head.headers, body).await?))
    }
}

/// Reads JSON, and only what says that it is: a form of another page's cannot say so.
///
/// # Errors
/// What is wrong with it; `parameter` names the member that is to blame.
pub(super) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let refuse = |reason: RejectReason, detail: &str| Problem::from(reason).detail(detail);
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    if !kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json")) {
        return Err(refuse(
            RejectReason::UnsupportedContentType,
            "send application/json",
        ));
    }
    let read = body::read(body, &BODY, || false).await;
    let bytes = read.map_err(|error| match error {
        BodyError::TooLarge { .. } => {
            let detail = format!("send at most {} bytes", BODY.wire_bytes);
            refuse(RejectReason::BodyTooLarge, &detail)
        }
        BodyError::Stalled { .. } | BodyError::Deadline { .. } => {
            refuse(RejectReason::BodyTimeout, "send the body without pauses")
        }
        BodyError::Aborted(_) => refuse(RejectReason::TruncatedBody, "send the whole body"),
    })?;
    parse(&bytes)
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = |error: serde_json::Error| {
        Problem::from(RejectReason::MalformedJson).detail(error.to_string())
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let asked = serde_path_to_error::deserialize::<_, Object<T>>(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            bad_parameter(&path, error.to_string())
        } else {
            malformed(error)
        }
    })?;
    json.end().map_err(malformed)?;
    Ok(asked.0)
}

/// What is written as an object. serde by itself also takes a list for a struct, its members in the
/// order of the source.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

/// Reads a member that is an object.
pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|object| object.0)
}

/// Reads a member that is an object or null.
pub(super) fn object_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let object = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(object.map(|object| object.0))
}
