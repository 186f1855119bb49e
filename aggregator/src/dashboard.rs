//! The dashboard: pages and files that are part of the binary.
//!
//! `make dashboard` builds them into `dashboard/dist` and `build.rs` embeds what is there. A binary
//! built without them serves a page that says so. Files with a hash in their name never change;
//! everything else is asked for again each time, by its `ETag`.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use evp_shared::outcome::RejectReason;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::error::QueryError;
use crate::state::App;

/// The screens, as in `dashboard/src/screens.ts`; all are the one page, which looks at its path.
const SCREENS: [&str; 6] = ["/", "/live", "/browse", "/pipeline", "/start", "/demo"];
const PAGE: &str = "/index.html";
/// Vite puts a hash of the content into the names of these.
const HASHED: &str = "/assets/";
const UNBUILT: &str = include_str!("dashboard/unbuilt.html");

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file, as it is and as browsers prefer it.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    etag: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

pub(crate) fn routes() -> Router<App> {
    let router = SCREENS
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, get(page)));
    router
        .route("/assets/{file}", get(file))
        .route("/favicon.svg", get(file))
        .route("/theme.js", get(file))
}

async fn page(State(app): State<App>, headers: HeaderMap) -> Result<Response, QueryError> {
    let mut response = match find(ASSETS, PAGE) {
        Some(asset) => asset.answer(&headers),
        None => unbuilt(),
    };
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, content_policy(&app.ingest_url));
    Ok(response)
}

async fn file(uri: Uri, headers: HeaderMap) -> Result<Response, QueryError> {
    let asset = find(ASSETS, uri.path()).ok_or(RejectReason::NotFound)?;
    Ok(asset.answer(&headers))
}

fn find(assets: &'static [Asset], path: &str) -> Option<&'static Asset> {
    assets.iter().find(|asset| asset.path == path)
}

fn unbuilt() -> Response {
    let mut response = Response::new(Body::from(UNBUILT));
    set(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
    set(&mut response, CACHE_CONTROL, "no-cache");
    response
}

/// Nothing but our own files, and requests to nobody but us and ingest: what an event contains is
/// shown, and must not be able to do anything.
fn content_policy(ingest_url: &str) -> HeaderValue {
    let origin = match ingest_url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            format!("{scheme}://{authority}")
        }
        None => String::new(),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self' {origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // A URL that cannot be part of it is refused at the start; without a policy there is no page.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

impl Asset {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let (encoding, bytes) = self.encoded(headers);
        let is_known = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == self.etag)
            });
        let mut response = Response::new(Body::empty());
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Body::from(bytes);
            if let Some(encoding) = encoding {
                set(&mut response, CONTENT_ENCODING, encoding);
            }
        }
        set(&mut response, CONTENT_TYPE, self.content_type());
        set(&mut response, ETAG, self.etag);
        set(&mut response, VARY, "accept-encoding");
        set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(&mut response, REFERRER_POLICY, "no-referrer");
        set(&mut response, CACHE_CONTROL, self.cache_control());
        response
    }

    fn encoded(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        match (self.brotli, self.gzip) {
            (Some(bytes), _) if accepts(headers, "br") => (Some("br"), bytes),
            (_, Some(bytes)) if accepts(headers, "gzip") => (Some("gzip"), bytes),
            _ => (None, self.plain),
        }
    }

    fn cache_control(&self) -> &'static str {
        if self.path.starts_with(HASHED) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        }
    }

    fn content_type(&self) -> &'static str {
        let extension = self.path.rsplit_once('.').map(|(_, extension)| extension);
        match extension {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("json") => "application/json",
            _ => "application/octet-stream",
        }
    }
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

/// Whether `Accept-Encoding` names the coding, and not with a weight of 0.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| {
            let (name, weight) = part.split_once(';').unwrap_or((part, "q=1"));
            let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
            name.trim().eq_ignore_ascii_case(coding) && !matches!(weight, Some(Ok(0.0)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    static EXAMPLES: &[Asset] = &[
        Asset {
            path: "/assets/a-1f.js",
            etag: "\"1\"",
            plain: b"plain",
            brotli: Some(b"br"),
            gzip: Some(b"gz"),
        },
        Asset {
            path: PAGE,
            etag: "\"2\"",
            plain: b"page",
            brotli: None,
            gzip: None,
        },
    ];

    fn asked(path: &str, headers: &[(HeaderName, &'static str)]) -> Response {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        find(EXAMPLES, path).unwrap().answer(&headers)
    }

    #[test]
    fn a_browser_gets_the_smallest_encoding_it_takes() {
        let table = [
            ("gzip, deflate, br", Some("br")),
            ("gzip;q=1.0, br;q=0", Some("gzip")),
            ("identity", None),
            ("brr", None),
        ];
        for (accepted, encoding) in table {
            let response = asked("/assets/a-1f.js", &[(ACCEPT_ENCODING, accepted)]);
            let got = response.headers().get(CONTENT_ENCODING);
            assert_eq!(
                got.map(|value| value.to_str().unwrap()),
                encoding,
                "{accepted}"
            );
            assert_eq!(response.headers()[VARY], "accept-encoding");
        }
    }

    #[test]
    fn a_hashed_file_is_kept_for_ever_and_the_page_is_asked_for_again() {
        let response = asked("/assets/a-1f.js", &[]);
        let cache = response.headers()[CACHE_CONTROL].to_str().unwrap();
        assert!(cache.ends_with("immutable"), "{cache}");
        assert_eq!(asked(PAGE, &[]).headers()[CACHE_CONTROL], "no-cache");
        let known = asked(PAGE, &[(IF_NONE_MATCH, "\"x\", W/\"2\"")]);
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asked(PAGE, &[(IF_NONE_MATCH, "\"x\"")]).status(), 200);
    }

    #[test]
    fn pages_may_only_speak_with_this_service_and_ingest() {
        let policy = content_policy("https://in.example:8443/prefix");
        let policy = policy.to_str().unwrap();
        assert!(
            policy.contains("connect-src 'self' https://in.example:8443;"),
            "{policy}"
        );
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
    }
}
