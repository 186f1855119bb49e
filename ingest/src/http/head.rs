//! What the head of a POST /events says: query, content type, encoding, idempotency key.

use evp_shared::access::credential;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::decode::Format;
use crate::decode::decompress::Encoding;
use crate::http::response::Ids;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest part of a parameter's name that an answer repeats.
const PARAMETER_CHARS_MAX: usize = 64;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'r> {
    pub(super) ids: Ids,
    pub(super) format: Format,
    pub(super) encoding: Option<Encoding>,
    pub(super) idempotency_key: Option<&'r str>,
}

impl<'r> Head<'r> {
    pub(super) fn parse(parts: &'r Parts) -> Result<Self, Problem> {
        Ok(Self {
            ids: ids(parts.uri.query().unwrap_or_default())?,
            format: format(&parts.headers)?,
            encoding: encoding(&parts.headers)?,
            idempotency_key: idempotency_key(&parts.headers)?,
        })
    }
}

/// Reads the query. An unknown parameter is refused: it may be one that a client relies on.
fn ids(query: &str) -> Result<Ids, Problem> {
    let mut ids = Ids::Listed;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let reason = match (name, value) {
            ("ids", "none") => {
                ids = Ids::LeftOut;
                continue;
            }
            // Of no meaning while nobody is asked who they are.
            ("ack", "stream") | (credential::QUERY, _) => continue,
            ("ids" | "ack", _) => RejectReason::InvalidParameter,
            _ => RejectReason::UnknownParameter,
        };
        let name: String = name.chars().take(PARAMETER_CHARS_MAX).collect();
        return Err(Problem::from(reason)
            .detail("send ids=none, ack=stream, both or neither")
            .with("parameter", name));
    }
    Ok(ids)
}

/// Without a type, or with one that a tool sets by itself, the bytes decide.
fn format(headers: &HeaderMap) -> Result<Format, RejectReason> {
    let unsupported = RejectReason::UnsupportedContentType;
    let Some(value) = single(headers, &CONTENT_TYPE, unsupported)? else {
        return Ok(Format::Sniff);
    };
    let value = value.to_str().map_err(|_| unsupported)?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if is("application/json") {
        Ok(Format::Json)
    } else if is("application/x-ndjson") || is("application/ndjson") {
        Ok(Format::Ndjson)
    } else if is("") || is("text/plain") || is("application/x-www-form-urlencoded") {
        Ok(Format::Sniff)
    } else {
        Err(unsupported)
    }
}

/// One layer at most.
fn encoding(headers: &HeaderMap) -> Result<Option<Encoding>, RejectReason> {
    let unsupported = RejectReason::UnsupportedEncoding;
    let Some(value) = single(headers, &CONTENT_ENCODING, unsupported)? else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| unsupported)?;
    let is = |name: &str| value.trim().eq_ignore_ascii_case(name);
    if is("identity") || is("") {
        Ok(None)
    } else if is("gzip") || is("x-gzip") {
        Ok(Some(Encoding::Gzip))
    } else if is("zstd") {
        Ok(Some(Encoding::Zstd))
    } else {
        Err(unsupported)
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, RejectReason> {
    let invalid = RejectReason::InvalidIdempotencyKey;
    let name = HeaderName::from_static(IDEMPOTENCY_KEY);
    let value = single(headers, &name, invalid)?;
    // Like `eventId`, it may hold any characters; headers carry them as UTF-8 or not at all.
    let text = value.map(|value| std::str::from_utf8(value.as_bytes()));
    text.transpose().map_err(|_| invalid)
}

fn single<'r>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    reason: RejectReason,
) -> Result<Option<&'r HeaderValue>, RejectReason> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::choice::Choice as _;
    use http::Request;

    use super::*;

    fn parse(
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Ids, Format, Option<Encoding>), RejectReason> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Head::parse(&parts)
            .map(|head| (head.ids, head.format, head.encoding))
            .map_err(|problem| RejectReason::named(problem.code()).unwrap())
    }

    #[test]
    fn the_parameter_to_blame_is_named() {
        use RejectReason as R;
        let (long, cut) = ("x".repeat(65), "x".repeat(64));
        let cases = [
            ("ids=all", R::InvalidParameter, "ids"),
            ("ids", R::InvalidParameter, "ids"),
            ("ids=none&ack=", R::InvalidParameter, "ack"),
            ("ack=stream&x=1", R::UnknownParameter, "x"),
            ("=", R::UnknownParameter, ""),
            (&long, R::UnknownParameter, &cut),
        ];
        for (query, reason, name) in cases {
            let problem = ids(query).unwrap_err();
            assert_eq!(problem.code(), reason.as_str(), "{query}");
            assert_eq!(problem.member("parameter"), name, "{query}");
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table: one row per case")]
    #[test]
    fn heads_follow_the_table() {
        use RejectReason as R;
        let ct = "content-type";
        let ce = "content-encoding";
        let plain = Ok((Ids::Listed, Format::Sniff, None));
        let cases: [(&str, &[(&str, &str)], _); 16] = [
            ("/events", &[], plain),
            ("/events?", &[], plain),
            ("/events?ack=stream", &[], plain),
            (
                "/events?ids=none&ack=stream",
                &[],
                Ok((Ids::LeftOut, Format::Sniff, None)),
            ),
            ("/events?ack=stored", &[], Err(R::InvalidParameter)),
            ("/events?x=1", &[], Err(R::UnknownParameter)),
            (
                "/events",
                &[(ct, "application/json; charset=utf-8")],
                Ok((Ids::Listed, Format::Json, None)),
            ),
            (
                "/events",
                &[(ct, "Application/X-NDJSON")],
                Ok((Ids::Listed, Format::Ndjson, None)),
            ),
            (
                "/events",
                &[(ct, "application/x-www-form-urlencoded")],
                plain,
            ),
            ("/events", &[(ct, "text/plain")], plain),
            (
                "/events",
                &[(ct, "application/xml")],
                Err(R::UnsupportedContentType),
            ),
            (
                "/events",
                &[(ct, "text/plain"), (ct, "text/plain")],
                Err(R::UnsupportedContentType),
            ),
            (
                "/events",
                &[(ce, "GZIP")],
                Ok((Ids::Listed, Format::Sniff, Some(Encoding::Gzip))),
            ),
            (
                "/events",
                &[(ce, "zstd")],
                Ok((Ids::Listed, Format::Sniff, Some(Encoding::Zstd))),
            ),
            (
                "/events",
                &[(ce, "gzip, gzip")],
                Err(R::UnsupportedEncoding),
            ),
            ("/events", &[(ce, "br")], Err(R::UnsupportedEncoding)),
        ];
        for (uri, headers, expected) in cases {
            assert_eq!(parse(uri, headers), expected, "{uri} {headers:?}");
        }
        let twice = [(IDEMPOTENCY_KEY, "a"), (IDEMPOTENCY_KEY, "a")];
        assert_eq!(parse("/events", &twice), Err(R::InvalidIdempotencyKey));
    }
}
