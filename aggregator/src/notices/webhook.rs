//! Notices that are posted, to the address that the configuration names and to no other.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::time::timeout;

use super::notice::Notice;
use crate::config::notices::{NoticesConfig, WebhookFormat};

/// Posts notices.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: Uri,
    format: WebhookFormat,
    patience: Duration,
}

impl Webhook {
    /// As configured, waiting for an answer for at most `patience`; `None` where it is not configured.
    pub(super) fn new(config: &NoticesConfig, patience: Duration) -> Option<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            // Which of them the address may be is the configuration's to judge.
            .https_or_http()
            .enable_http1()
            .build();
        // A connection that is kept for hours is most often gone when it is wanted.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Some(Self {
            client,
            address: config.webhook_url.as_ref()?.expose().clone(),
            format: config.webhook_format,
            patience,
        })
    }

    /// Posts one.
    ///
    /// # Errors
    /// What is wrong, without the address: it may be all that keeps others from posting.
    pub(super) async fn post(&self, notice: &Notice) -> Result<(), String> {
        let body = match self.format {
            WebhookFormat::Slack => json!({ "text": notice.text() }),
            WebhookFormat::Json => notice.json(),
        };
        let json = HeaderValue::from_static("application/json");
        let name = HeaderValue::from_static(concat!("evp/", env!("CARGO_PKG_VERSION")));
        let request = Request::post(self.address.clone())
            .header(CONTENT_TYPE, json)
            .header(USER_AGENT, name)
            .body(Full::from(body.to_string()))
            .map_err(|_| "the request cannot be written".to_owned())?;
        match timeout(self.patience, self.client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!(
                "the receiver answered {}",
                answer.status().as_u16()
            )),
            Ok(Err(error)) if error.is_connect() => {
                Err("the receiver cannot be reached".to_owned())
            }
            Ok(Err(_)) => Err("the receiver broke off".to_owned()),
            Err(_) => Err("the receiver does not answer".to_owned()),
        }
    }
}
