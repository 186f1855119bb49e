//! Recovery at speed: what a killed processor had been given is finished by the others.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use evp_shared::clock::Clock;
use evp_shared::stream::GroupReader;
use fred::interfaces::LuaInterface as _;

use super::Size;
use super::frames::Frames;
use crate::{Expected, Journal, Node, Outcome, System, until};

const PER_FRAME: u32 = 10;
const CLAIM_IDLE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(300);

/// The same number of frames twice: read as usual, and pending under a consumer that is gone.
pub(super) async fn at_speed(size: Size) -> Result<Outcome> {
    let builder = System::of("recovery_at_speed").processors(2).own_redis();
    let mut system = builder.start().await?;
    let frames: u32 = size.of(1_000, 10_000, 10_000);
    let events = frames * PER_FRAME;
    let mut journal = Journal::default();
    let mut producer = Frames::new(&system);

    system.processors.iter().for_each(Node::pause);
    producer.append(&mut journal, frames_of(0..events)).await?;
    system.processors.iter().for_each(Node::resume);
    let normal = drained(&system).await?;

    system.processors.iter().for_each(Node::pause);
    nobody_reads(&system).await?;
    producer
        .append(&mut journal, frames_of(events..2 * events))
        .await?;
    let given = deliver_to_nobody(&system).await?;
    ensure!(given == frames as usize, "{given} frames delivered");
    system.processors.iter().for_each(Node::resume);
    let claimed = drained(&system).await?;

    let rate = |took: Duration| f64::from(events) / took.as_secs_f64().max(0.001);
    let (usual, then) = (rate(normal.rest), rate(claimed.rest));
    let first = claimed.first.as_secs_f64();
    system.note("normal", format!("{usual:.0} events/s"));
    system.note(
        "first claimed after",
        format!("{first:.1} s (idle {} s)", CLAIM_IDLE.as_secs()),
    );
    let share = then / usual * 100.0;
    system.note(
        "the rest at",
        format!("{then:.0} events/s, {share:.0} % of normal"),
    );
    let faults = format!("{frames} frames of {PER_FRAME} pending under a consumer that is gone");
    system.balance(&journal, &Expected::default(), faults).await
}

fn frames_of(numbers: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let end = numbers.end;
    numbers
        .step_by(PER_FRAME as usize)
        .map(move |first| first..(first + PER_FRAME).min(end))
}

/// A blocked read of a process that stands still would be given the first entries all the same.
async fn nobody_reads(system: &System) -> Result<()> {
    let blocked = "return tonumber(string.match(redis.call('INFO', 'clients'), \
                   'blocked_clients:(%d+)'))";
    let client = system.redis.client();
    until("the last blocked read is over", async || {
        let none = Vec::<String>::new();
        let blocked: Result<u64, _> = client.eval(blocked, none.clone(), none).await;
        blocked.is_ok_and(|blocked| blocked == 0)
    })
    .await
}

/// Reads everything as a processor does that then dies.
async fn deliver_to_nobody(system: &System) -> Result<usize> {
    let stream = system.redis.stream(1);
    let group = GroupReader::new(system.redis.client(), &stream, "gone");
    let mut given = 0;
    loop {
        let read = group.read_new(1_000, Duration::from_millis(1)).await?;
        if read.is_empty() {
            return Ok(given);
        }
        given += read.len();
    }
}

struct Drained {
    /// Until the first entry was acknowledged.
    first: Duration,
    /// From then until the last.
    rest: Duration,
}

async fn drained(system: &System) -> Result<Drained> {
    let clock = Clock::system();
    let since = clock.now();
    let ledger = system.ledger();
    let before = ledger.backlog().await?;
    let mut first = None;
    let draining = async {
        loop {
            let backlog = ledger.backlog().await?;
            if backlog < before && first.is_none() {
                first = Some(clock.now());
            }
            if backlog == 0 {
                return anyhow::Ok(clock.now());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let end = tokio::time::timeout(DEADLINE, draining)
        .await
        .context("not drained")??;
    let first = first.unwrap_or(end);
    Ok(Drained {
        first: first - since,
        rest: end - first,
    })
}
