use std::time::Duration;

use reqwest::Client;

use crate::{Error, Result, error::chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for services on this machine: a proxy set in the environment cannot reach them.
pub(crate) fn client() -> Result<Client> {
    let builder = Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT);
    builder.build().map_err(|error| Error::Usage(chain(&error)))
}
