//! The binary against real servers and the services beside it, which `make test` builds.
#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot go on is a failure"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use evp_bench::results::Results;
use evp_devstack::ScratchDir;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

fn bench(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-bench"));
    command.args(arguments.split(' ')).stdin(Stdio::null());
    command
}

#[test]
fn a_short_run_reconciles_and_has_every_figure_between_its_ceilings() {
    let folder = ScratchDir::new().unwrap();
    let json = folder.path().join("results.json");
    let arguments = "run --row latency --row duplicates --rate 10000 --seconds 2 --ceilings --json";
    let status = bench(arguments).arg(&json).status().unwrap();
    assert!(status.success(), "{status}");
    let results = Results::load(&json).unwrap();
    assert_eq!(results.failures, BTreeMap::new());
    for row in ["latency", "duplicates"] {
        let figures = &results.rows[row][0].figures;
        for name in [
            "stored_per_s",
            "answer_p99_ms",
            "stored_p50_ms",
            "cpu_generator",
            "cpu_ingest",
            "cpu_processor",
            "cpu_redis",
            "cpu_mongod",
            "rss_processor_mib",
            "frame_events",
            "bulk_events",
            "latency_samples",
        ] {
            assert!(figures[name] > 0.0, "{row}: {name}");
        }
        assert_eq!(results.rows[row][0].stored_per_second.len(), 2);
    }
    for ceiling in ["mongo-default", "redis-100"] {
        let [[before, between], [same, after]] =
            ["latency", "duplicates"].map(|row| results.around[row][ceiling].each_ref());
        assert_eq!(between, same, "measured once between two rows that use it");
        assert!(before != between && same != after, "{ceiling}");
    }
}

#[test]
fn a_row_of_many_days_reconciles_and_tells_what_each_tenth_cost() {
    let folder = ScratchDir::new().unwrap();
    let json = folder.path().join("results.json");
    let arguments = "run --row beyond-cache --rate 15000 --total 60000 --json";
    let output = bench(arguments).arg(&json).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let results = Results::load(&json).unwrap();
    let [run] = &results.rows["beyond-cache"][..] else {
        panic!("a long row runs once: {results:?}");
    };
    assert!(run.stored_per_second.len() >= 4, "{run:?}");
    assert!(run.figures["acknowledged_millions"] >= 0.06, "{run:?}");
    assert!(run.figures.contains_key("cpu_mongod_tenth_10"), "{run:?}");
    assert!(run.figures["answer_p99_ms"] > 0.0);
    assert!(!run.figures.contains_key("stored_p99_ms"), "{run:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("by tenths of the events"), "{text}");
}

#[test]
fn builds_are_compared_in_pairs_and_a_failed_pair_is_told_and_not_counted() {
    let own = Path::new(env!("CARGO_BIN_EXE_evp-bench")).parent().unwrap();
    let broken = ScratchDir::new().unwrap();
    let link = |to: &Path, name: &str| symlink(to, broken.path().join(name)).unwrap();
    link(&own.join("evp-ingest"), "evp-ingest");
    link(Path::new("/bin/false"), "evp-processor");
    let compared = |old: &Path| {
        let mut command = bench("compare --row latency --rate 5000 --pairs 1 --seconds 1");
        let output = command.args([old, own]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "too few pairs: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = compared(own);
    for part in [
        "old latency 1/1: stored",
        "new latency 1/1: stored",
        "new/old latency 1/1: events/s ",
        "CPU mongod ",
        "answer p99 ",
        "| too few pairs to tell |",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = compared(broken.path());
    assert!(text.contains("| 0, failed: 3 by old, 0 by new |"), "{text}");
    assert!(text.contains("processor ended with"), "{text}");
}

#[test]
fn an_interrupted_run_leaves_no_process_behind() {
    let mut run = bench("run --row latency --rate 1000 --seconds 50")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wanted = [
        "redis-server",
        "mongod",
        "evp-ingest",
        "evp-processor",
        "evp-bench",
    ];
    let mut children = BTreeMap::new();
    wait_until("everything runs", || {
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
        children = children_of(run.id());
        wanted
            .iter()
            .all(|name| children.values().any(|child| child == name))
    });
    let pid = Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    wait_until("it has ended", || run.try_wait().unwrap().is_some());
    assert_eq!(ended(&mut run), Some(1));
    wait_until("its children have ended", || {
        children
            .keys()
            .all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists())
    });
}

fn ended(run: &mut Child) -> Option<i32> {
    run.wait().unwrap().code()
}

fn children_of(parent: u32) -> BTreeMap<u32, String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
            let found: u32 = rest.split(' ').nth(1)?.parse().ok()?;
            (found == parent).then(|| (pid, name.to_owned()))
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a blocking test that waits for processes, not for time"
)]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
