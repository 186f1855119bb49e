mod flight;
mod load;
mod source;
mod totals;

use std::time::Duration;

use serde_json::Value;

use crate::{Error, Keys, Result, console, http};
use load::Sent;
use totals::Totals;

/// At 5,000 events/s, a tenth of what EVP is built for, all of them are stored in 70 s.
const ACCOUNTED_WITHIN: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(500);

/// Loads the flights of 2013 from New York as events, and tells from the counters what they added.
///
/// Loading them again changes nothing: the same flight has the same `eventId`.
///
/// # Errors
/// [`Error::Fetch`] and [`Error::Checksum`] from the download; [`Error::DemoData`] when ingest or
/// the aggregator does not answer, an event is rejected, or not all are accounted for in time.
pub async fn demo_data(ingest: &str, aggregator: &str, keys: &Keys) -> Result<()> {
    let archive = source::archive().await?;
    let sender = http::client_with(keys.write.as_deref())?;
    let operator = http::client_with(keys.operator.as_deref())?;
    let before = totals::read(&operator, aggregator).await?;
    let sent = load::send(&sender, ingest, archive).await?;
    let added = totals::await_growth(&operator, aggregator, before, sent.accepted).await?;
    report(&sent, added)
}

/// Gives each flight to `each`, as the event that [`demo_data`] sends, for figures to compare with.
///
/// # Errors
/// As [`demo_data`], from the download.
pub async fn flights(mut each: impl FnMut(&Value)) -> Result<()> {
    let archive = source::archive().await?;
    source::events(&archive, |event| {
        each(event);
        Ok(true)
    })
}

/// Prints the one line everything is about.
fn report(sent: &Sent, added: Totals) -> Result<()> {
    console::say(
        "demo-data",
        &format!(
            "sent {}, accepted {}, newly stored {}, duplicates {}",
            sent.events, sent.accepted, added.events, added.duplicates
        ),
    );
    if sent.rejected > 0 {
        let first = sent.first_rejection.as_deref().unwrap_or("no reason given");
        return Err(Error::DemoData(format!(
            "{} events were rejected: {first}",
            sent.rejected
        )));
    }
    if added.sum() < sent.accepted {
        return Err(Error::DemoData(format!(
            "{} accepted events are not in the counters after {} s: is the processor running?",
            sent.accepted - added.sum(),
            ACCOUNTED_WITHIN.as_secs()
        )));
    }
    Ok(())
}
