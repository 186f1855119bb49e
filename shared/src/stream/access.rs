//! What the aggregator says to the others of who may come in.

use bytes::Bytes;
use fred::interfaces::HashesInterface;
use fred::prelude::Value;

use super::{ACCESS, Stream, StreamError, answered, reply};

/// What stands in Redis of who may come in, without the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessHead {
    /// Higher for what was said later, also over restores: see `access::projector`.
    pub version: u64,
    /// The digest of the content.
    pub digest: String,
}

/// What the services are told.
#[derive(Debug, Clone, Copy)]
pub enum Said {
    /// Tenants and keys.
    Access,
    /// Tenants alone, for who needs no keys.
    Tenants,
}

impl Stream {
    /// What stands there of `what`; nothing in a Redis that forgot it, or was never told.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn said_head(&self, what: Said) -> Result<Option<AccessHead>, StreamError> {
        let fields = vec!["version", "digest"];
        let said = self.client.hmget(self.key_of(what), fields);
        let said: Vec<Option<String>> = answered(said).await?;
        let [Some(version), Some(digest)] = said.as_slice() else {
            return Ok(None);
        };
        Ok(Some(AccessHead {
            version: number(version)?,
            digest: digest.clone(),
        }))
    }

    /// The version that stands there of `what` and its content, of one moment.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn said(&self, what: Said) -> Result<Option<(u64, Bytes)>, StreamError> {
        let fields = vec!["version", "content"];
        let said = self.client.hmget(self.key_of(what), fields);
        let said: Vec<Value> = answered(said).await?;
        let mut said = said.into_iter().map(reply::bytes);
        let (Some(Some(version)), Some(Some(content))) = (said.next(), said.next()) else {
            return Ok(None);
        };
        let version = String::from_utf8_lossy(&version);
        Ok(Some((number(&version)?, content)))
    }

    /// Says `content` of `what` under `head`, if what stands there is still of version `seen`. Says
    /// whether it was.
    ///
    /// # Errors
    /// [`StreamError`]; when no answer came, it may stand there or not.
    pub async fn say(
        &self,
        what: Said,
        seen: Option<u64>,
        head: &AccessHead,
        content: Vec<u8>,
    ) -> Result<bool, StreamError> {
        let seen = seen.map_or_else(String::new, |seen| seen.to_string());
        let args = vec![
            seen.into(),
            head.version.to_string().into(),
            head.digest.as_str().into(),
            Value::Bytes(content.into()),
        ];
        let answer = self.run(&ACCESS, vec![self.key_of(what)], args).await?;
        match reply::text(&mut answer.into_iter())?.as_str() {
            "ok" => Ok(true),
            "moved" => Ok(false),
            other => Err(StreamError::protocol(other)),
        }
    }

    fn key_of(&self, what: Said) -> String {
        match what {
            Said::Access => self.keys.access(),
            Said::Tenants => self.keys.tenants(),
        }
    }
}

fn number(text: &str) -> Result<u64, StreamError> {
    let number = text.parse();
    number.map_err(|_| StreamError::protocol(format!("version {text}")))
}
