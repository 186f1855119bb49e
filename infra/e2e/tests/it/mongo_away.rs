use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, until};

const EVENTS: u32 = 20_000;
const WHILE_AWAY: u64 = 2_000;

/// `MongoDB` is away, killed once and stopped once: ingest goes on with 202, the backlog grows,
/// nothing becomes a dead letter, and all of it is stored when `MongoDB` is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_goes_on_while_mongodb_is_away() -> Result<()> {
    let builder = System::of("mongo_away").own_mongo();
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 3,
        batch: 20..=200,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    // In the first half, so that there is something left to send while it is away.
    let moments = system.chance.moments(2, u64::from(EVENTS) / 2);
    let faults = async {
        for (round, moment) in moments.into_iter().enumerate() {
            progress.reached(moment).await?;
            match round {
                0 => system.own_mongo()?.kill().await,
                _ => system.own_mongo()?.stop().await,
            }
            progress.goes_on(WHILE_AWAY).await?;
            until("the processor says that mongo is away", async || {
                let readiness = system.processors[0].readiness().await;
                readiness.is_some_and(|readiness| readiness.blames("mongo"))
            })
            .await?;
            assert!(system.ledger().backlog().await? > 0);
            let ingest = system.ingests[0].readiness().await;
            assert!(ingest.is_some_and(|readiness| readiness.ready));
            system.own_mongo()?.restart().await?;
            system.processors[0].await_ready().await?;
        }
        progress.release();
        Ok(())
    };
    tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    let faults = "mongod killed once and stopped once";
    let verdict = system
        .balance(&journal, &Expected::default(), faults)
        .await?;
    assert_eq!(verdict.stored(), u64::from(EVENTS));
    Ok(())
}
