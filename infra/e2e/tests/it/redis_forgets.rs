use anyhow::Result;
use evp_e2e::{Expected, Load, Producer, System, heavy};
use fred::interfaces::LuaInterface as _;

const EVENTS: u32 = 40_000;

/// What an operator's mistake removes, in the order of the run; each answers with the backlog of
/// that moment.
const FORGETS: [(&str, &str); 3] = [
    ("DEL of the stream", "redis.call('DEL', KEYS[2])"),
    (
        "XGROUP DESTROY",
        "redis.call('XGROUP', 'DESTROY', KEYS[2], 'evp')",
    ),
    ("FLUSHALL", "redis.call('FLUSHALL')"),
];

/// Redis forgets the stream, the group, everything. What it alone had is lost, and no more; the
/// counters equal what is stored again, and nothing is counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_equal_what_is_stored_after_redis_forgets() -> Result<()> {
    let _turn = heavy().await;
    let builder = System::of("redis_forgets").processors(2).own_redis();
    let mut system = builder.start().await?;
    let load = Load {
        events: EVENTS,
        clients: 4,
        batch: 20..=300,
    };
    let producer = Producer::new(&system, load);
    let mut progress = producer.held();
    let moments = system.chance.moments(FORGETS.len() as u64, EVENTS.into());
    let faults = async {
        let mut backlog = 0;
        for (moment, (_, forget)) in moments.into_iter().zip(FORGETS) {
            progress.reached(moment).await?;
            backlog += forget_at_once(&system, forget).await?;
        }
        progress.release();
        Ok(backlog)
    };
    let ((), backlog) = tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    assert_eq!(journal.acknowledged_count(), u64::from(EVENTS));
    let expected = Expected {
        lost_max: backlog,
        forgot: true,
        ..Expected::default()
    };
    let names = FORGETS.map(|(name, _)| name).join(", ");
    let faults = format!("{names}, with {backlog} events in redis alone at most");
    system.balance(&journal, &expected, &faults).await?;
    Ok(())
}

/// Runs `forget` and returns the events that were appended and not committed at that moment.
async fn forget_at_once(system: &System, forget: &str) -> Result<u64> {
    let script = format!(
        "local t = redis.call('HMGET', KEYS[1], 'appended_events', 'acknowledged_events', \
         'lost_events') \
         {forget} \
         return (tonumber(t[1]) or 0) - (tonumber(t[2]) or 0) - (tonumber(t[3]) or 0)"
    );
    let keys = system.redis.keys().partition(0);
    let backlog: i64 = system
        .redis
        .client()
        .eval(script, vec![keys.totals, keys.events], Vec::<String>::new())
        .await?;
    Ok(u64::try_from(backlog).unwrap_or(0))
}
