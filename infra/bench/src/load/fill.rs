//! Events that are there before a load: sent through ingest, their times spread evenly.

use std::cell::Cell;
use std::time::Duration;

use anyhow::bail;
use futures::future::try_join_all;

use super::client::{Connection, accepted};
use super::event::EventText;
use super::ids::{Random, hyphenated};
use super::{IdKind, Load};

const CONNECTIONS: u64 = 8;
const REQUEST_EVENTS: u64 = 500;
/// Before a refused request is sent again: the processor is behind.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Events to send before anything is measured.
#[derive(Debug, Clone, Copy)]
pub struct Fill {
    /// How many.
    pub events: u64,
    /// Number of their types.
    pub types: u16,
    /// The time of the first one.
    pub from_ms: u64,
    /// From there to the last one.
    pub length_ms: u64,
}

/// Sends them over some connections, as fast as they are taken.
///
/// # Errors
/// One is not taken for another reason than that the processor is behind.
pub async fn fill(port: u16, fill: Fill) -> anyhow::Result<()> {
    let next = Cell::new(0);
    let senders = (0..CONNECTIONS).map(|seed| {
        let next = &next;
        async move {
            let mut connection = Connection::open(port).await?;
            let mut random = Random::new(fill.from_ms ^ seed);
            while next.get() < fill.events {
                let first = next.get();
                let count = REQUEST_EVENTS.min(fill.events - first);
                next.set(first + count);
                let times = (first..first + count)
                    .map(|number| fill.from_ms + number * fill.length_ms / fill.events);
                let request = request(times, fill.types, &mut random);
                deliver(&mut connection, &request, count).await?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(senders).await?;
    Ok(())
}

async fn deliver(connection: &mut Connection, request: &[u8], count: u64) -> anyhow::Result<()> {
    loop {
        let answer = connection.exchange(request).await?;
        match (answer.status, accepted(answer.body)) {
            (202, Some(accepted)) if accepted.accepted == count => return Ok(()),
            (503, _) => tokio::time::sleep(AGAIN_AFTER).await,
            (status, _) => bail!("{status} {}", String::from_utf8_lossy(answer.body)),
        }
    }
}

fn request(times: impl Iterator<Item = u64>, types: u16, random: &mut Random) -> Vec<u8> {
    let load = Load {
        ids: IdKind::V4,
        types,
        ..Load::open(1.0, 100)
    };
    let mut body = vec![b'['];
    for time in times {
        let event = EventText::make(&load, random);
        let at = body.len();
        body.extend_from_slice(event.json.as_bytes());
        let id = hyphenated(random.v4());
        for (place, text) in [
            (event.id_at, &id[..]),
            (event.time_at, time.to_string().as_bytes()),
        ] {
            if let Some(place) = place {
                body[at + place..at + place + text.len()].copy_from_slice(text);
            }
        }
        body.push(b',');
    }
    // The last comma.
    body.pop();
    body.push(b']');
    let head = format!(
        "POST /events?ids=none HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_times_they_are_given_and_ids_of_their_own() {
        let request = request(
            [1_700_000_000_001, 1_700_000_000_002].into_iter(),
            10,
            &mut Random::new(1),
        );
        let body = request.split(|byte| *byte == b'[').nth(1).unwrap();
        let body = format!("[{}", String::from_utf8_lossy(body));
        let events: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(events[0]["timestamp"], 1_700_000_000_001_u64);
        assert_eq!(events[1]["timestamp"], 1_700_000_000_002_u64);
        assert_ne!(events[0]["eventId"], events[1]["eventId"]);
    }
}
