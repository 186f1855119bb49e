use std::time::Duration;

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::{Error, Result, error::chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for services on this machine: a proxy set in the environment cannot reach them.
pub(crate) fn client() -> Result<Client> {
    client_with(None)
}

/// The same, which shows `key` with each request.
pub(crate) fn client_with(key: Option<&str>) -> Result<Client> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let shown = HeaderValue::try_from(format!("Bearer {key}"));
        let mut shown = shown.map_err(|_| Error::Usage("the key is none".to_owned()))?;
        shown.set_sensitive(true);
        headers.insert(AUTHORIZATION, shown);
    }
    let builder = Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .default_headers(headers);
    builder.build().map_err(|error| Error::Usage(chain(&error)))
}
