//! The fingerprint of what fixes identity, as Redis keeps it for all services.

use fred::interfaces::KeysInterface;
use fred::types::SetOptions;

use super::{Stream, StreamError, answered};

impl Stream {
    /// Writes `fingerprint` unless one is there, and returns the one that is there: another than
    /// `fingerprint` means that this service would give events other identities than the rest.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn claim_identity(&self, fingerprint: u32) -> Result<u32, StreamError> {
        let own = format!("{fingerprint:08x}");
        let key = &self.keys.identity();
        // Read first: a Redis at maxmemory refuses to write what is there already.
        let mut stored: Option<String> = answered(self.client.get(key)).await?;
        if stored.is_none() {
            let set = self
                .client
                .set(key, own.as_str(), None, Some(SetOptions::NX), false);
            let _written: Option<String> = answered(set).await?;
            stored = answered(self.client.get(key)).await?;
        }
        let stored = stored.unwrap_or(own);
        u32::from_str_radix(&stored, 16)
            .map_err(|_| StreamError::protocol(format!("fingerprint {stored}")))
    }
}
