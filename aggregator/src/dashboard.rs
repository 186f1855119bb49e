//! The dashboard: pages and files that are part of the binary.
//!
//! `make dashboard` builds them into `dashboard/dist`, and what is there is embedded. A binary
//! built without them serves a page that says so. Files with a hash in their name never change;
//! everything else is asked for again each time, by its `ETag`.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evp_shared::outcome::RejectReason;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use rust_embed::Embed;

use crate::error::QueryError;
use crate::state::App;

/// The screens, as in `dashboard/src/screens.ts`; all are the one page, which looks at its path.
const SCREENS: [&str; 8] = [
    "/",
    "/live",
    "/browse",
    "/pipeline",
    "/quota",
    "/access",
    "/start",
    "/demo",
];
const PAGE: &str = "/index.html";
/// Vite puts a hash of the content into the names of these.
const HASHED: &str = "/assets/";
/// Codings of files and how the names of packed ones end, the smallest first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];
const UNBUILT: &str = include_str!("dashboard/unbuilt.html");

/// What was built: files as they are and, beside them, as browsers prefer them.
#[derive(Embed)]
#[folder = "dashboard/dist"]
#[allow_missing = true]
struct Dist;

pub(crate) fn routes() -> Router<App> {
    let router = SCREENS
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, get(page)));
    router
        .route("/assets/{file}", get(file))
        .route("/favicon.svg", get(file))
        .route("/theme.js", get(file))
}

async fn page(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut response = answer::<Dist>(PAGE, &headers).unwrap_or_else(unbuilt);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, content_policy(&app.ingest_url));
    response
}

async fn file(uri: Uri, headers: HeaderMap) -> Result<Response, QueryError> {
    answer::<Dist>(uri.path(), &headers).ok_or_else(|| RejectReason::NotFound.into())
}

fn unbuilt() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, UNBUILT).into_response()
}

/// Nothing but our own files, and requests to nobody but us and ingest: what an event contains is
/// shown, and must not be able to do anything.
fn content_policy(ingest_url: &str) -> HeaderValue {
    // Of `scheme://authority/...` what is before the third slash.
    let origin = ingest_url.split('/').take(3).collect::<Vec<_>>().join("/");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self' {origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // A URL that cannot be part of it is refused at the start; without a policy there is no page.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// The file at `path`; `None` where there is none, and for packed ones, which are no files of
/// their own.
fn answer<E: Embed>(path: &str, asked: &HeaderMap) -> Option<Response> {
    if ENCODINGS.iter().any(|(_, suffix)| path.ends_with(suffix)) {
        return None;
    }
    let file = |suffix: &str| E::get(&format!("{}{suffix}", path.trim_start_matches('/')));
    let plain = file("")?;
    let hash = plain.metadata.sha256_hash();
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash));
    let kind = plain.metadata.mimetype();
    let charset = if kind.starts_with("text/") {
        "; charset=utf-8"
    } else {
        ""
    };
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (CONTENT_TYPE, &*format!("{kind}{charset}")),
        (ETAG, &etag),
        (VARY, "accept-encoding"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, cache),
    ];
    let mut known = texts(asked, &IF_NONE_MATCH).flat_map(|tags| tags.split(','));
    if known.any(|tag| tag.trim().trim_start_matches("W/") == etag) {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let mut accepted = ENCODINGS
        .iter()
        .filter(|(coding, _)| accepts(asked, coding));
    let packed = accepted.find_map(|(coding, suffix)| Some((*coding, file(suffix)?)));
    let (coding, packed) = packed.unzip();
    let coding = coding.map(|coding| [(CONTENT_ENCODING, coding)]);
    Some((headers, coding, packed.unwrap_or(plain).data).into_response())
}

fn texts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok())
}

/// Whether `Accept-Encoding` names the coding, and not with a weight of 0.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let mut codings = texts(headers, &ACCEPT_ENCODING).flat_map(|value| value.split(','));
    codings.any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, "q=1"));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case(coding) && !matches!(weight, Some(Ok(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Embed)]
    #[folder = "src/dashboard/example"]
    struct Example;

    fn asked(path: &str, headers: &[(HeaderName, &str)]) -> Response {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        answer::<Example>(path, &headers).unwrap()
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
    fn a_packed_file_has_no_path_of_its_own() {
        for path in ["/assets/a-1f.js.br", "/assets/a-1f.js.gz"] {
            assert!(Example::get(path.trim_start_matches('/')).is_some());
            assert!(
                answer::<Example>(path, &HeaderMap::new()).is_none(),
                "{path}"
            );
        }
    }

    #[test]
    fn a_hashed_file_is_kept_for_ever_and_the_page_is_asked_for_again() {
        let response = asked("/assets/a-1f.js", &[]);
        let cache = response.headers()[CACHE_CONTROL].to_str().unwrap();
        assert!(cache.ends_with("immutable"), "{cache}");
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert_eq!(asked(PAGE, &[]).headers()[CACHE_CONTROL], "no-cache");
        let page = asked(PAGE, &[]);
        let known = format!("\"x\", W/{}", page.headers()[ETAG].to_str().unwrap());
        let known = asked(PAGE, &[(IF_NONE_MATCH, &known)]);
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(known.headers(), page.headers());
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
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
