use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, heavy};

const EVENTS: u32 = 200_000;
const KILLS: u64 = 22;

/// A processor dies at any point of its work, again and again; two others and its successor
/// finish what it had, and nothing is stored or counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_survive_a_processor_that_is_killed_again_and_again() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("processor_killed").processors(3).own_mongo();
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 4,
        batch: 50..=500,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    let moments = system.chance.moments(KILLS, EVENTS.into());
    let faults = async {
        for (kill, moment) in moments.into_iter().enumerate() {
            progress.reached(moment).await?;
            // Half of the kills hit whatever it does, half of them surely hit work in hand.
            if kill % 2 == 0 {
                system.pause_at_work(0, &progress).await?;
            }
            let killed = &mut system.processors[0];
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
    let faults = format!("{KILLS} kills of a processor, half of them at work, two others running");
    system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    Ok(())
}
