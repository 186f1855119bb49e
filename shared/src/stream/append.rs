//! Appending: frames go onto the stream, all of one call or none.
//!
//! Hot path: once per call, never per event.

use fred::prelude::Value;

use super::{APPEND, EntryId, Life, Stream, StreamError, reply};
use crate::frame::{FORMAT_VERSION, Frame};

/// What an append that failed means for the events in it.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Redis lives another life, or the stream is missing: nothing was appended. Say hello, then
    /// append again.
    #[error("say hello first")]
    SayHello,
    /// Redis is at maxmemory: nothing was appended.
    #[error("redis is full")]
    Full,
    /// Nothing was appended.
    #[error("append refused")]
    Refused(#[source] StreamError),
    /// The frames may be on the stream or not. Appending the same frames again is harmless.
    #[error("append not confirmed")]
    Unknown(#[source] StreamError),
}

impl From<StreamError> for AppendError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::NewLife | StreamError::NoGroup => Self::SayHello,
            StreamError::Refused { ref source } if source.details().contains("OOM") => Self::Full,
            StreamError::Refused { .. }
            | StreamError::NotConnected
            | StreamError::WrongType { .. } => Self::Refused(error),
            StreamError::Unknown { .. }
            | StreamError::NotReplicated
            | StreamError::Protocol { .. } => Self::Unknown(error),
        }
    }
}

impl Stream {
    /// Appends `frames`, which all belong to `partition`, for a caller that knows `life`.
    /// When this returns, they are as durable as the server's configuration says, and on a replica
    /// where [`replicated`](Self::replicated) asks for that.
    ///
    /// # Errors
    /// [`AppendError`] says whether nothing was appended or whether that is unknown.
    pub async fn append(
        &self,
        partition: u16,
        life: Life,
        frames: &[Frame],
    ) -> Result<Vec<EntryId>, AppendError> {
        let names = self.keys(partition)?;
        let keys = vec![
            names.life.clone(),
            names.events.clone(),
            names.totals.clone(),
        ];
        let mut args: Vec<Value> = Vec::with_capacity(2 + frames.len() * 4);
        args.push(life.0.to_string().into());
        args.push(FORMAT_VERSION.to_string().into());
        for frame in frames {
            args.push(frame.events.to_string().into());
            args.push(frame.bytes.to_string().into());
            args.push(Value::Bytes(frame.meta.clone()));
            args.push(Value::Bytes(frame.payload.clone()));
        }
        let reply = self.run_append(&APPEND, keys, args).await?;
        let mut values = reply.into_iter();
        reply::written(&mut values)?;
        Ok(reply::parse_all(values)?)
    }
}
