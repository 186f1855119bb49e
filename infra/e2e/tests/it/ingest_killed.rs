use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, heavy};

const EVENTS: u32 = 60_000;
const KILLS: u64 = 12;

/// An ingest dies with requests in hand; its clients send them again with the same ids, to it or
/// to its neighbour, and what was appended before is a duplicate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_survive_an_ingest_that_is_killed_while_clients_retry() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("ingest_killed").ingests(2).processors(2);
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 6,
        batch: 20..=300,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    let moments = system.chance.moments(KILLS, EVENTS.into());
    let killed = &mut system.ingests[0];
    let faults = async {
        for moment in moments {
            progress.reached(moment).await?;
            killed.kill().await;
            killed.restart().await?;
            killed.await_ready().await?;
        }
        progress.release();
        Ok(())
    };
    tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    assert_eq!(journal.acknowledged_count(), u64::from(EVENTS));
    let faults = format!("{KILLS} kills of an ingest");
    let verdict = system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    assert_eq!(verdict.stored(), u64::from(EVENTS));
    Ok(())
}
