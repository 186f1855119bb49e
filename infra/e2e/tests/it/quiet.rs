use anyhow::{Result, ensure};
use evp_e2e::{Expected, Journal, Node, Post, System, until};

const EVENTS: u32 = 10;

/// Who reads only warnings reads nothing of services that start, work, end, and go on with what
/// they left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_start_end_and_restart_warn_of_nothing() -> Result<()> {
    let mut system = System::of("quiet").aggregator().start().await?;
    let mut journal = Journal::default();
    for round in 0..2 {
        let numbers = round * EVENTS..(round + 1) * EVENTS;
        let body = system.events.array(numbers.clone());
        let post = Post::json(&system.http, &system.ingests[0].url(), body);
        post.acknowledged(&mut journal, numbers).await?;
        let stream = system.redis.stream(system.partitions);
        until("everything is counted", async || {
            let totals = stream.totals(0).await;
            totals.is_ok_and(|totals| totals.counted_events == i64::from((round + 1) * EVENTS))
        })
        .await?;
        for node in nodes(&mut system) {
            node.term().await?;
            node.restart().await?;
        }
        for node in nodes(&mut system) {
            node.await_ready().await?;
        }
    }
    for node in nodes(&mut system) {
        let log = node.log_tail();
        ensure!(log.contains("\"INFO\""), "{}: {log}", node.name());
        let told: Vec<&str> = log.lines().filter(|line| is_alarming(line)).collect();
        ensure!(told.is_empty(), "{}: {told:#?}", node.name());
    }
    let expected = Expected::default();
    system.balance(&journal, &expected, "none").await.map(drop)
}

fn nodes(system: &mut System) -> impl Iterator<Item = &mut Node> {
    let services = system.ingests.iter_mut().chain(&mut system.processors);
    services.chain(&mut system.aggregator)
}

/// What `doctor` finds of the machine, such as a disk that is nearly full, is the machine's.
fn is_alarming(line: &str) -> bool {
    let is_grave = line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    is_grave && !line.contains("\"message\":\"doctor\"")
}
