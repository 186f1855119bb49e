//! Who tells notices, of several who could.

use std::time::Duration;

use super::{NOTICES, Stream, StreamError, ms, reply};

/// What was told is remembered for so long, when nobody asks any more.
const LIFE_S: u64 = 30 * 86_400;

/// An answer to who would tell notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticesLease {
    /// Whether who asks holds the lease.
    pub is_held: bool,
    /// What was told by now, as it was handed over; empty where nothing was.
    pub told: String,
}

impl Stream {
    /// Asks for the lease for `name`, which has it for so long as `lease` unless another has it; and
    /// hands over what it has `told`, where that is new.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn lease_notices(
        &self,
        name: &str,
        lease: Duration,
        told: Option<&str>,
    ) -> Result<NoticesLease, StreamError> {
        let mut args = vec![
            name.into(),
            ms(lease).to_string().into(),
            LIFE_S.to_string().into(),
        ];
        args.extend(told.map(Into::into));
        let answer = self.run(&NOTICES, vec![self.keys.notices()], args).await?;
        let mut values = answer.into_iter();
        Ok(NoticesLease {
            is_held: reply::text(&mut values)? == "1",
            told: reply::text(&mut values)?,
        })
    }
}
