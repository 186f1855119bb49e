//! Lives: a Redis that comes back may have forgotten its newest part, and must not be written to
//! by callers that do not know it yet.

use fred::prelude::Value;

use super::{EntryId, HELLO, Stream, StreamError, reply};
use crate::frame::ProducerId;
use crate::keys::GROUP;

/// How long a producer's registration holds without renewal, in seconds: as long as settled bits.
const PRODUCER_TTL_S: u32 = 48 * 3_600;

/// Past cuts that are remembered. A caller that knows none of the last 64 lives takes the lowest.
const CUTS_MAX: u32 = 64;

/// One life of a Redis server's data. [`Life::UNKNOWN`] is below every life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Life(pub u64);

impl Life {
    /// No life is known yet.
    pub const UNKNOWN: Self = Self(0);
}

/// A producer that registers itself with hello.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The id it wants to have.
    pub id: ProducerId,
    /// What it recognises its own registration by.
    pub token: String,
}

crate::choices! {
    /// What became of a registration.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ProducerState {
        /// None was asked for.
        None = "none",
        /// The id is this producer's for 48 hours.
        Registered = "registered",
        /// Another producer has it: choose another one.
        Taken = "taken",
    }
}

crate::choices! {
    /// What hello had to make.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Made {
        /// Stream and group were there.
        Nothing = "nothing",
        /// The group was missing: every entry on the stream comes again.
        Group = "group",
        /// The stream was missing: the backlog that was on it is lost.
        Stream = "stream",
    }
}

/// What hello found.
#[derive(Debug, Clone)]
pub struct Hello {
    /// The life the data lives.
    pub life: Life,
    /// What was missing.
    pub made: Made,
    /// What became of the registration.
    pub producer: ProducerState,
    /// Events of the backlog that was lost with the stream.
    pub lost_events: i64,
    /// Their bytes.
    pub lost_bytes: i64,
    /// The recorded lives with their cuts, oldest first.
    pub lives: Vec<(Life, EntryId)>,
}

impl Hello {
    /// The lowest cut of the lives that a caller who knows `known` has not heard of: everything
    /// after it may be forgotten. `None` when there is no such life.
    pub fn cut_since(&self, known: Life) -> Option<EntryId> {
        let unheard = self.lives.iter().filter(|(life, _)| *life > known);
        unheard.map(|(_, cut)| *cut).min()
    }
}

impl Stream {
    /// Greets `partition`: makes stream and group if they are missing, records a new life when
    /// the server is not the one that was seen last, and registers `producer`.
    ///
    /// `known` is the highest life the caller knows. Works at maxmemory.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn hello(
        &self,
        partition: u16,
        known: Life,
        producer: Option<&Registration>,
    ) -> Result<Hello, StreamError> {
        let names = self.keys(partition)?;
        let mut keys = vec![
            names.life.clone(),
            names.events.clone(),
            names.totals.clone(),
            names.kept.clone(),
            names.never.clone(),
        ];
        keys.extend(producer.map(|producer| names.producer(&producer.id.to_string())));
        let args: Vec<Value> = vec![
            known.0.to_string().into(),
            GROUP.into(),
            producer
                .map_or("", |producer| producer.token.as_str())
                .into(),
            PRODUCER_TTL_S.to_string().into(),
            CUTS_MAX.to_string().into(),
        ];
        let reply = self.run(&HELLO, keys, args).await?;
        parse(reply)
    }
}

fn parse(reply: Vec<Value>) -> Result<Hello, StreamError> {
    let mut values = reply.into_iter();
    let mut hello = Hello {
        life: Life(reply::parse(&mut values)?),
        made: reply::choice(&mut values)?,
        producer: reply::choice(&mut values)?,
        lost_events: reply::parse(&mut values)?,
        lost_bytes: reply::parse(&mut values)?,
        lives: Vec::new(),
    };
    while values.len() > 0 {
        let life = Life(reply::parse(&mut values)?);
        hello.lives.push((life, reply::parse(&mut values)?));
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_unheard_cut_counts() {
        let id = |ms| EntryId { ms, seq: 0 };
        let hello = Hello {
            life: Life(30),
            made: Made::Nothing,
            producer: ProducerState::None,
            lost_events: 0,
            lost_bytes: 0,
            lives: vec![(Life(10), id(1)), (Life(20), id(5)), (Life(30), id(7))],
        };
        assert_eq!(hello.cut_since(Life(10)), Some(id(5)));
        assert_eq!(hello.cut_since(Life(30)), None);
        assert_eq!(hello.cut_since(Life::UNKNOWN), Some(id(1)));
    }
}
