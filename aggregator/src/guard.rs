//! Who may ask while nobody has to say who they are: programs on this machine, and the service's
//! own pages. Pure.
//!
//! A browser lets a page of any name talk to the address its name leads to, so a name that was
//! made to lead to 127.0.0.1 would read everything (DNS rebinding); and it sends a page's POST to
//! any address at all. The `Host` of the first is not ours, and the second has another `Origin`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use evp_shared::outcome::RejectReason;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::error::QueryError;

/// Lets through what [`check`] allows.
pub(crate) async fn guard(
    State(hosts): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    match check(request.uri(), request.headers(), &hosts) {
        Ok(()) => next.run(request).await,
        Err(reason) => QueryError::from(reason).into_response(),
    }
}

/// Judges a request; `hosts` are the names of the service besides the loopback ones.
///
/// # Errors
/// [`RejectReason::HostNotAllowed`] under another name than the service's own, and
/// [`RejectReason::OriginNotAllowed`] for a page of another origin.
pub fn check(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Result<(), RejectReason> {
    let text = |name| headers.get(name).map(http::HeaderValue::to_str);
    let authority = match (uri.authority(), text(HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(Ok(host))) => host,
        (None, _) => return Err(RejectReason::HostNotAllowed),
    };
    let name = host_name(authority);
    if !is_loopback(name) && !hosts.iter().any(|host| host.eq_ignore_ascii_case(name)) {
        return Err(RejectReason::HostNotAllowed);
    }
    match text(ORIGIN) {
        None if is_made_by_another_site(headers) => Err(RejectReason::OriginNotAllowed),
        None => Ok(()),
        Some(Ok(origin)) if is_of(origin, authority) => Ok(()),
        Some(_) => Err(RejectReason::OriginNotAllowed),
    }
}

/// Whether a page of another site asks, which browsers say of a GET without `Origin` too. To follow
/// a link is no such thing.
fn is_made_by_another_site(headers: &HeaderMap) -> bool {
    let is = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    let is_foreign = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    is_foreign && !is("sec-fetch-mode", "navigate")
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_name(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_address = |address: IpAddr| address.is_loopback();
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(is_address)
}

fn is_of(origin: &str, authority: &str) -> bool {
    let secure = origin.strip_prefix("https://");
    let of_page = secure.or_else(|| origin.strip_prefix("http://"));
    of_page.is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(host: Option<&str>, origin: Option<&str>) -> Result<(), RejectReason> {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        check(
            &Uri::from_static("/events"),
            &headers,
            &["evp.example".to_owned()],
        )
    }

    #[test]
    fn only_loopback_names_and_configured_ones_are_the_service() {
        let own = [
            "localhost:8090",
            "LOCALHOST",
            "app.localhost:8090",
            "127.0.0.1:8090",
            "127.8.8.8",
            "[::1]:8090",
            "evp.example",
            "EVP.example:443",
        ];
        for host in own {
            assert_eq!(judge(Some(host), None), Ok(()), "{host}");
        }
        let others = [
            "evil.example:8090",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8090",
            "[::2]:8090",
            "[::1",
            "evp.example.evil",
            "",
        ];
        for host in others {
            assert_eq!(
                judge(Some(host), None),
                Err(RejectReason::HostNotAllowed),
                "{host}"
            );
        }
        assert_eq!(judge(None, None), Err(RejectReason::HostNotAllowed));
    }

    #[test]
    fn a_page_of_another_site_may_link_here_and_no_more() {
        let judge = |site: &'static str, mode: &'static str| {
            let headers = [
                ("host", "localhost"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
            ];
            let headers = headers.map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_static(value))
            });
            check(
                &Uri::from_static("/events"),
                &HeaderMap::from_iter(headers),
                &[],
            )
        };
        assert_eq!(
            judge("cross-site", "no-cors"),
            Err(RejectReason::OriginNotAllowed)
        );
        assert_eq!(
            judge("same-site", "cors"),
            Err(RejectReason::OriginNotAllowed)
        );
        assert_eq!(judge("cross-site", "navigate"), Ok(()));
        assert_eq!(judge("same-origin", "cors"), Ok(()));
        assert_eq!(judge("none", "navigate"), Ok(()));
    }

    #[test]
    fn only_pages_of_the_same_origin_may_ask() {
        let host = Some("localhost:8090");
        for origin in ["http://localhost:8090", "https://LOCALHOST:8090"] {
            assert_eq!(judge(host, Some(origin)), Ok(()), "{origin}");
        }
        let others = [
            "http://localhost:8091",
            "http://127.0.0.1:8090",
            "http://evil.example",
            "null",
            "localhost:8090",
            "http://localhost:8090.evil.example",
        ];
        for origin in others {
            assert_eq!(
                judge(host, Some(origin)),
                Err(RejectReason::OriginNotAllowed),
                "{origin}"
            );
        }
    }
}
