//! Who may ask.

use reqwest::Method;

use crate::service::TestAggregator;

async fn status(service: &TestAggregator, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = service.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.text().await.unwrap())
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_reads_nothing() {
    let service = TestAggregator::start().await;
    for path in ["/events", "/metrics", "/admin/pipeline", "/nothing"] {
        let (code, body) = status(&service, path, &[("host", "evil.example:8090")]).await;
        assert_eq!(code, 403, "{path}: {body}");
        assert!(body.contains("\"host_not_allowed\""), "{body}");
    }
    let (code, _) = status(&service, "/metrics", &[("host", "localhost:1")]).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn a_page_of_another_origin_neither_reads_nor_changes() {
    let service = TestAggregator::start().await;
    let foreign = [("origin", "http://evil.example")];
    let (code, body) = status(&service, "/metrics", &foreign).await;
    assert_eq!(code, 403, "{body}");
    let own = [("host", "localhost:9"), ("origin", "http://localhost:9")];
    assert_eq!(status(&service, "/metrics", &own).await.0, 200);

    // What a form can send without asking first.
    let purge = || service.request(Method::POST, "/admin/dead-letters/purge");
    let body = r#"{"filter":{},"dryRun":false}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let sent = purge().header("content-type", kind).body(body).send();
        assert_eq!(sent.await.unwrap().status(), 415, "{kind}");
    }
    assert_eq!(purge().body(body).send().await.unwrap().status(), 415);
    let json = purge().header("content-type", "application/json");
    let foreign = json.header("origin", "http://evil.example").body(body);
    assert_eq!(foreign.send().await.unwrap().status(), 403);
}
