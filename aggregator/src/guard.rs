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

/// Under which names browsers come.
#[derive(Debug, Default)]
pub struct Site {
    hosts: Vec<String>,
    public_origin: Option<String>,
}

impl Site {
    /// Under those of `hosts`, besides the loopback ones, and that of `public_origin`, whose scheme
    /// counts too: a page that came without TLS may be anybody's.
    pub const fn new(hosts: Vec<String>, public_origin: Option<String>) -> Self {
        Self {
            hosts,
            public_origin,
        }
    }

    fn public_authority(&self) -> Option<&str> {
        let origin = self.public_origin.as_deref()?;
        Some(origin.split_once("://")?.1)
    }

    fn is_own(&self, name: &str) -> bool {
        let public = self.public_authority().map(host_name).into_iter();
        let mut names = self.hosts.iter().map(String::as_str).chain(public);
        is_loopback(name) || names.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether a page of `origin` is the service's own, asked under `authority`.
    fn is_own_page(&self, origin: &str, authority: &str) -> bool {
        if let (Some(public), Some(of_public)) = (&self.public_origin, self.public_authority()) {
            // A proxy may have put its own name in the place of the public one.
            let is_public = origin.eq_ignore_ascii_case(public);
            if is_public || authority.eq_ignore_ascii_case(of_public) {
                return is_public;
            }
        }
        is_of(origin, authority)
    }
}

/// Lets through what [`check`] allows.
pub(crate) async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers(), &site) {
        Ok(()) => next.run(request).await,
        Err(reason) => QueryError::from(reason).into_response(),
    }
}

/// Judges a request.
///
/// # Errors
/// [`RejectReason::HostNotAllowed`] under another name than the service's own, and
/// [`RejectReason::OriginNotAllowed`] for a page of another origin.
pub fn check(uri: &Uri, headers: &HeaderMap, site: &Site) -> Result<(), RejectReason> {
    let text = |name| headers.get(name).map(http::HeaderValue::to_str);
    let authority = match (uri.authority(), text(HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(Ok(host))) => host,
        (None, _) => return Err(RejectReason::HostNotAllowed),
    };
    let name = host_name(authority);
    if !site.is_own(name) {
        return Err(RejectReason::HostNotAllowed);
    }
    match text(ORIGIN) {
        None if is_made_by_another_site(headers) => Err(RejectReason::OriginNotAllowed),
        None => Ok(()),
        Some(Ok(origin)) if site.is_own_page(origin, authority) => Ok(()),
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
            &Site::new(vec!["evp.example".to_owned()], None),
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
                &Site::default(),
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
    fn a_page_of_the_public_url_came_by_its_scheme() {
        let public = Some("https://evp.example".to_owned());
        let site = Site::new(Vec::new(), public);
        let judge = |host: &str, origin: &str| {
            let headers = [(HOST, host), (ORIGIN, origin)];
            let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
            let uri = Uri::from_static("/events");
            check(&uri, &HeaderMap::from_iter(headers), &site).is_ok()
        };
        assert!(judge("evp.example", "https://evp.example"));
        assert!(judge("127.0.0.1:8090", "https://evp.example"), "a proxy");
        assert!(judge("localhost:8090", "http://localhost:8090"));
        assert!(!judge("evp.example", "http://evp.example"), "plain");
        assert!(!judge("evp.example", "https://evil.example"));
        assert!(!judge("other.example", "https://evp.example"));
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
