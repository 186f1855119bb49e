use super::super::ports::Listener;
use super::auth::Entry;
use super::plan::Plan;
use crate::{Keys, console};

type Pids = [(String, Option<u32>)];

/// Prints what runs, where, and how to try it.
pub(super) fn print(plan: &Plan, entry: Option<&Entry>, servers: &Pids, services: &Pids) {
    console::print(&lines(plan, entry, servers, services).join("\n"));
}

fn lines(plan: &Plan, entry: Option<&Entry>, servers: &Pids, services: &Pids) -> Vec<String> {
    let (ingest, aggregator) = (plan.ports.ingest_url(), plan.ports.aggregator_url());
    let mut lines = vec![
        String::new(),
        format!(
            "EVP runs. Ctrl-C stops it; the data stays in {}.",
            plan.data.display()
        ),
        who(plan, entry),
        String::new(),
        row("what", "pid", "where", "metrics / log"),
    ];
    for (name, pid) in servers.iter().chain(services) {
        let (place, more) = place(plan, name);
        lines.push(row(name, &pid_text(*pid), &place, &more));
    }
    let processor = services
        .iter()
        .find(|(name, _)| name == "processor")
        .and_then(|(_, pid)| *pid);
    let shown = |key: fn(&Keys) -> Option<&String>| {
        let key = entry.and_then(|entry| key(&entry.keys));
        key.map_or_else(String::new, |key| {
            format!(" -H 'authorization: Bearer {key}'")
        })
    };
    let (write, admin) = (
        shown(|keys| keys.write.as_ref()),
        shown(|keys| keys.admin.as_ref()),
    );
    lines.extend([
        String::new(),
        dashboard(&aggregator, entry),
        String::new(),
        "Try it in another shell:".to_owned(),
        "  make demo         # made-up events, until Ctrl-C".to_owned(),
        format!(
            r#"  curl -s {ingest}/events{write} -d '{{"eventType":"click","userId":"alice"}}'"#
        ),
        format!("  curl -s {aggregator}/metrics{admin}"),
        format!("  curl -s '{aggregator}/events?limit=5'{admin}"),
        "  make demo-data".to_owned(),
        format!(
            "  kill -9 {}    # the processor: it comes back and nothing is lost",
            pid_text(processor)
        ),
        String::new(),
    ]);
    lines
}

/// Who is let in, and how to change that.
fn who(plan: &Plan, entry: Option<&Entry>) -> String {
    match entry {
        None => "It is open: nobody is asked who they are, so it listens on this machine only. \
                 To close it: AUTH=keys make run"
            .to_owned(),
        Some(_) => format!(
            "It asks for keys; those of {} are for you.",
            plan.data.join("keys").display()
        ),
    }
}

fn dashboard(aggregator: &str, entry: Option<&Entry>) -> String {
    match entry {
        None => format!("The dashboard: {aggregator}/"),
        Some(Entry { link, .. }) => {
            format!("The dashboard: {link} (signs you in once, within ten minutes)")
        }
    }
}

fn place(plan: &Plan, name: &str) -> (String, String) {
    let metrics = |admin| format!("{}/metrics", plan.ports.url(admin));
    let log = |path: &str| plan.data.join(path).display().to_string();
    match name {
        "redis" => (plan.redis_url(), log("redis/redis.log")),
        "mongod" => (plan.mongo_url(), log("mongod/mongod.log")),
        "ingest" => (plan.ports.ingest_url(), metrics(Listener::IngestAdmin)),
        "aggregator" => (
            plan.ports.aggregator_url(),
            metrics(Listener::AggregatorAdmin),
        ),
        _ => ("-".to_owned(), metrics(Listener::ProcessorAdmin)),
    }
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())
}

fn row(what: &str, pid: &str, place: &str, more: &str) -> String {
    format!("  {what:<11} {pid:<8} {place:<30} {more}")
}
