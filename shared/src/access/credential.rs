//! The key that a request shows. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::token::{self, KeyKind};
use crate::outcome::RejectReason;

const API_KEY: &str = "x-api-key";
/// Name of the query parameter that may hold a public key.
pub const QUERY: &str = "key";

/// Reads the one key of a request: of `Authorization: Bearer`, of its Basic user (clients of Segment
/// send it so), of `X-API-Key`, or a public one of the parameter `key`. Cookies are not looked at.
///
/// # Errors
/// `missing_key`; `malformed_key` for an `Authorization` that holds none; `key_in_url` for a secret one
/// in the query; `conflicting_keys` where two differ.
pub fn shown(headers: &HeaderMap, query: Option<&str>) -> Result<String, RejectReason> {
    let mut found: Option<String> = None;
    let mut take = |key: String| match &found {
        Some(other) if *other != key => Err(RejectReason::ConflictingKeys),
        _ => {
            found = Some(key);
            Ok(())
        }
    };
    for value in headers.get_all(AUTHORIZATION) {
        let key = value.to_str().ok().and_then(of_authorization);
        take(key.ok_or(RejectReason::MalformedKey)?)?;
    }
    for value in headers.get_all(API_KEY) {
        let key = value.to_str().map_err(|_| RejectReason::MalformedKey)?;
        take(key.trim().to_owned())?;
    }
    for value in in_query(query.unwrap_or_default()) {
        if token::kind_of(value) == Ok(KeyKind::Secret) {
            return Err(RejectReason::KeyInUrl);
        }
        take(value.to_owned())?;
    }
    found.ok_or(RejectReason::MissingKey)
}

/// The values of the parameter `key`. None of a key's characters is ever escaped.
fn in_query(query: &str) -> impl Iterator<Item = &str> {
    let parameters = query.split('&').filter_map(|one| one.split_once('='));
    parameters.filter_map(|(name, value)| (name == QUERY).then_some(value))
}

fn of_authorization(value: &str) -> Option<String> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (user, _password) = decoded.split_once(':')?;
    Some(user.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::super::token::Token;
    use super::*;

    fn read(headers: &[(&'static str, &str)], query: &str) -> Result<String, RejectReason> {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        shown(&headers.collect(), Some(query))
    }

    #[test]
    fn a_key_is_read_wherever_it_may_stand() {
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[("authorization", "Bearer k")], ""),
            (&[("authorization", "bearer  k ")], "ids=none"),
            (&[("authorization", &basic("k:"))], ""),
            (&[("authorization", &basic("k:any"))], ""),
            (&[("x-api-key", "k")], ""),
            (&[], "ids=none&key=k"),
            (
                &[("x-api-key", "k"), ("authorization", "Bearer k")],
                "key=k",
            ),
        ];
        for (headers, query) in cases {
            assert_eq!(
                read(headers, query).as_deref(),
                Ok("k"),
                "{headers:?} {query}"
            );
        }
    }

    #[test]
    fn what_shows_no_key_or_two_is_told_apart() {
        use RejectReason as R;
        let secret = Token::generate(KeyKind::Secret);
        let in_url = format!("key={}", secret.expose());
        let cases: [(&[_], &str, R); 9] = [
            (&[], "", R::MissingKey),
            (&[("cookie", "key=k")], "", R::MissingKey),
            (&[], "keys=k&kex", R::MissingKey),
            (&[("authorization", "Digest k")], "", R::MalformedKey),
            (&[("authorization", "k")], "", R::MalformedKey),
            (&[("authorization", "Basic ???")], "", R::MalformedKey),
            (
                &[("authorization", "Bearer k"), ("x-api-key", "l")],
                "",
                R::ConflictingKeys,
            ),
            (&[("x-api-key", "k")], "key=l", R::ConflictingKeys),
            (&[], &in_url, R::KeyInUrl),
        ];
        for (headers, query, reason) in cases {
            assert_eq!(read(headers, query), Err(reason), "{headers:?} {query}");
        }
    }
}
