use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, heavy};

const EVENTS: u32 = 40_000;
const ROUNDS: u64 = 4;

/// A rolling restart under load: each service finishes what it has, says so with exit code 0, and
/// no client has to do more than to connect again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_are_asked_to_end_leave_nothing_behind() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("drain").ingests(2).processors(2);
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 4,
        batch: 20..=300,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    let moments = system.chance.moments(ROUNDS, EVENTS.into());
    let faults = async {
        for (round, moment) in moments.into_iter().enumerate() {
            progress.reached(moment).await?;
            let index = round % 2;
            for node in [&mut system.ingests[index], &mut system.processors[index]] {
                let status = node.term().await?;
                assert_eq!(status.code(), Some(0), "{}: {status}", node.name());
                node.restart().await?;
                node.await_ready().await?;
            }
        }
        progress.release();
        Ok(())
    };
    tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    assert_eq!(journal.acknowledged_count(), u64::from(EVENTS));
    let faults = format!("{ROUNDS} ingests and processors ended with SIGTERM");
    system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    Ok(())
}
