//! What is given out of the quotas of a day.

use super::{LEASE, Stream, StreamError, reply};

/// The hash of a day is looked at for two days: clocks of instances may differ.
const LIFE_S: u64 = 2 * 86_400;

/// A part of a tenant's quota that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaAsk {
    /// Whose.
    pub tenant: String,
    /// Events of a day.
    pub per_day: u64,
    /// Events asked for.
    pub events: u64,
}

impl Stream {
    /// Takes parts of quotas of `day`, counted from 1970: how much of each is given, in the order of
    /// `asks`.
    ///
    /// # Errors
    /// [`StreamError`]; when no answer came, they may have been taken.
    pub async fn take_quotas(&self, day: u64, asks: &[QuotaAsk]) -> Result<Vec<u64>, StreamError> {
        let mut args = vec![LIFE_S.to_string().into()];
        for ask in asks {
            args.push(ask.tenant.as_str().into());
            args.push(ask.per_day.to_string().into());
            args.push(ask.events.to_string().into());
        }
        let given = self.run(&LEASE, vec![self.keys.quotas(day)], args).await?;
        let given: Vec<u64> = reply::parse_all(given)?;
        if given.len() == asks.len() {
            Ok(given)
        } else {
            Err(StreamError::protocol("fewer quotas than asked for"))
        }
    }
}
