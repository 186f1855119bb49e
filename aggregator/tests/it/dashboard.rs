use reqwest::Method;

use crate::service::TestAggregator;

#[tokio::test]
async fn every_screen_is_a_page_that_may_do_nothing_but_what_it_needs() {
    let aggregator = TestAggregator::start().await;
    for path in [
        "/",
        "/live",
        "/browse",
        "/pipeline",
        "/quota",
        "/access",
        "/start",
        "/demo",
    ] {
        let response = aggregator.raw(Method::GET, path).await;
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header("content-security-policy");
        assert!(
            policy.contains("connect-src 'self' http://127.0.0.1:8080;"),
            "{policy}"
        );
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        let page = response.text().await.unwrap();
        assert!(page.contains("<title>EVP"), "{page}");
    }
    let others = [
        "/docs/",
        "/docs/index.html",
        "/openapi.json",
        "/livez",
        "/metrics",
        "/none",
        "/events?limit=0",
        "/assets/none.js",
    ];
    for path in others {
        let response = aggregator.raw(Method::GET, path).await;
        let policy = response.headers()["content-security-policy"].to_str();
        assert_eq!(policy.unwrap(), "frame-ancestors 'none'", "{path}");
    }
    let page = aggregator.raw(Method::GET, "/").await.text().await.unwrap();
    for file in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let response = aggregator.raw(Method::GET, file).await;
        assert_eq!(response.status(), 200, "{file}");
        let cache = response.headers()["cache-control"].to_str().unwrap();
        assert!(cache.ends_with("immutable"), "{file}: {cache}");
        assert!(response.headers().contains_key("etag"), "{file}");
    }
    let (status, code, _) = aggregator.problem("/assets/none.js").await;
    assert_eq!((status, code.as_str()), (404, "not_found"));
}
