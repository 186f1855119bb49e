use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, heavy, until};

const EVENTS: u32 = 60_000;
const PAUSES: u64 = 4;

/// A processor stands still in the middle of its work for longer than the claim idle time. Others
/// finish what it had; when it goes on where it stood, it counts nothing again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_that_was_paused_counts_nothing_twice() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("processor_paused")
        .processors(2)
        .own_mongo()
        .env("EVP__PROCESSOR__CLAIM_IDLE", "1500ms")
        .env("EVP__PROCESSOR__INSERT_DEADLINE", "1200ms");
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 4,
        batch: 20..=300,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    let moments = system.chance.moments(PAUSES, EVENTS.into());
    let faults = async {
        for moment in moments {
            progress.reached(moment).await?;
            system.pause_at_work(0, &progress).await?;
            until("the other has taken over what it had", async || {
                system.pending_of(0).await.is_ok_and(|entries| entries == 0)
            })
            .await?;
            system.processors[0].resume();
            until("it is ready again", async || {
                let readiness = system.processors[0].readiness().await;
                readiness.is_some_and(|readiness| readiness.ready)
            })
            .await?;
        }
        progress.release();
        Ok(())
    };
    tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    assert_eq!(journal.acknowledged_count(), u64::from(EVENTS));
    let faults = format!("{PAUSES} pauses of a processor beyond the claim idle time");
    system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    Ok(())
}
