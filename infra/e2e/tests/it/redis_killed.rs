use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, heavy};

const EVENTS: u32 = 60_000;
const KILLS: u64 = 6;

/// Redis dies and comes back from its append-only file: what it had acknowledged is there, and
/// what was under way is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_a_redis_that_is_killed() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("redis_killed").processors(2).own_redis();
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 4,
        batch: 20..=300,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    let moments = system.chance.moments(KILLS, EVENTS.into());
    let redis = system.own_redis()?;
    let faults = async {
        for moment in moments {
            progress.reached(moment).await?;
            redis.kill().await;
            redis.restart().await?;
        }
        progress.release();
        Ok(())
    };
    tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    assert_eq!(journal.acknowledged_count(), u64::from(EVENTS));
    let faults = format!("{KILLS} kills of redis-server under appendfsync always");
    system
        .balance(&journal, &Expected::default(), &faults)
        .await?;
    Ok(())
}
