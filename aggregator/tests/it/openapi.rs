//! The description of the routes, and its browser.

use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::service::TestAggregator;

/// What the service names while nothing else is configured.
const INGEST_URL: &str = "http://127.0.0.1:8080";

#[test]
fn the_committed_copy_is_what_the_code_describes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let described = evp_aggregator::openapi::render(INGEST_URL);
    if std::env::var_os("EVP_BLESS").is_some() {
        std::fs::write(&file, &described).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap() == described,
        "run EVP_BLESS=1 cargo test --workspace --test it openapi"
    );
}

#[tokio::test]
async fn every_route_that_is_described_is_there() {
    let service = TestAggregator::start().await;
    let served = service.ok("/openapi.json").await;
    let described: Value =
        serde_json::from_str(&evp_aggregator::openapi::render(INGEST_URL)).unwrap();
    assert_eq!(served, described);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(
        served["paths"]["/events"]["post"]["servers"][0]["url"],
        INGEST_URL
    );
    for (path, methods) in served["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if (path.as_str(), method.as_str()) == ("/events", "post") {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let asked = path.replace("{id}", "x");
            let response = service.raw(method, &asked).await;
            assert_ne!(response.status(), 405, "{path}");
            if response.status() == 404 {
                let problem: Value = response.json().await.unwrap();
                assert_ne!(problem["code"], "not_found", "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_browser_of_the_description_comes_out_of_the_binary() {
    let service = TestAggregator::start().await;
    let page = service.raw(Method::GET, "/docs").await;
    assert_eq!(page.url().path(), "/docs/");
    let page = page.text().await.unwrap();
    assert!(page.contains("swagger-ui"), "{page}");
    let start = service
        .raw(Method::GET, "/docs/swagger-initializer.js")
        .await;
    assert!(start.text().await.unwrap().contains("/openapi.json"));
    for file in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let response = service.raw(Method::GET, &format!("/docs/{file}")).await;
        assert_eq!(response.status(), 200, "{file}");
        assert!(response.text().await.unwrap().len() > 10_000, "{file}");
    }
    assert_eq!(
        service.raw(Method::GET, "/docs/nothing").await.status(),
        404
    );
}
