use anyhow::Result;
use evp_e2e::{Expected, Journal, Load, Producer, System};

const EVENTS: u32 = 5_000;
const PRODUCERS: usize = 4;

/// Several producers send the same events at once: each is stored and counted once, and the rest
/// are duplicates, all of them counted as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_ids_sent_at_once_are_stored_and_counted_once() -> Result<()> {
    let builder = System::of("same_ids_at_once").ingests(2).processors(2);
    let system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 2,
        batch: 10..=200,
    };
    let producers = [(); PRODUCERS].map(|()| Producer::new(&system, load.clone()));
    futures::future::try_join_all(producers.iter().map(Producer::run)).await?;
    let mut journal = Journal::default();
    for producer in &producers {
        journal.merge(&producer.journal())?;
    }
    assert_eq!(journal.accepted(), u64::from(EVENTS) * PRODUCERS as u64);
    let faults = format!("{PRODUCERS} producers with the same ids");
    let expected_duplicates = i64::try_from(journal.accepted())? - i64::from(EVENTS);
    let verdict = system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    assert_eq!(verdict.stored(), u64::from(EVENTS));
    assert_eq!(verdict.duplicates(), expected_duplicates);
    Ok(())
}
