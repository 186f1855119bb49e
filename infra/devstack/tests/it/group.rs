use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use evp_devstack::{Output, RedisOptions, RedisServer, Service, ServiceSpec};

/// Run by the test below as a process of its own: starts servers, tells their pids, and waits to
/// be killed.
const OWNER: &str = "EVP_DEVSTACK_TEST_OWNER";

#[tokio::test]
async fn servers_die_with_an_owner_that_was_killed() {
    if let Ok(pids) = std::env::var(OWNER) {
        return own_servers_until_killed(Path::new(&pids)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "group::servers_die_with_an_owner_that_was_killed",
            "--nocapture",
        ])
        .env(OWNER, &pids)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the owner tells its servers' pids", || pids.exists()).await;
    let text = std::fs::read_to_string(&pids).unwrap();
    let pids: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| runs(*pid)), "{pids:?}");

    owner.kill().unwrap();
    owner.wait().unwrap();

    eventually("its servers and their children end", || {
        !pids.iter().any(|pid| runs(*pid))
    })
    .await;
}

async fn own_servers_until_killed(pids: &Path) {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let grandchild = pids.with_extension("grandchild");
    let script = format!(
        "trap '' TERM HUP INT; sleep 600 & echo $! > {}; wait",
        grandchild.display()
    );
    let shell = Service::start(
        ServiceSpec::new("shell", "/bin/sh")
            .args(["-c", &script])
            .output(Output::Discarded),
    )
    .unwrap();
    // A stopped process cannot end by itself: the group has to be killed.
    redis.pause();
    eventually("the grandchild runs", || {
        std::fs::read_to_string(&grandchild).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let child = std::fs::read_to_string(&grandchild).unwrap();
    let told = format!(
        "{}\n{}\n{child}",
        redis.pid().unwrap(),
        shell.pid().unwrap()
    );
    let part = pids.with_extension("part");
    std::fs::write(&part, told).unwrap();
    std::fs::rename(part, pids).unwrap();
    std::future::pending().await
}

#[tokio::test]
async fn a_service_is_asked_to_end_and_killed_only_after_the_grace() {
    let start = |script: &str| {
        let spec = ServiceSpec::new("shell", "/bin/sh").args(["-c", script]);
        Service::start(spec.output(Output::Discarded)).unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let touch = format!(
        "touch {}; while :; do read -r _ || sleep 0.01; done",
        ready.display()
    );

    let mut willing = start(&format!("trap 'exit 7' TERM; {touch}"));
    eventually("the script is ready", || ready.exists()).await;
    let status = willing.term(Duration::from_secs(30)).await.unwrap();
    assert_eq!(status.code(), Some(7));
    std::fs::remove_file(&ready).unwrap();

    let mut unwilling = start(&format!("trap '' TERM; {touch}"));
    eventually("the script is ready", || ready.exists()).await;
    let status = unwilling.term(Duration::from_millis(50)).await.unwrap();
    assert_eq!(status.code(), None, "killed by a signal");
    assert!(unwilling.term(Duration::ZERO).await.is_none());
}

#[tokio::test]
async fn a_service_restarts_with_its_environment_and_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let spec = ServiceSpec::new("echo", "/bin/sh")
        .args(["-c", "echo $1 $GREETING", "sh", "hello"])
        .env("GREETING", "world")
        .output(Output::File(log.clone()));
    let mut service = Service::start(spec).unwrap();
    assert!(service.wait().await.unwrap().success());
    service.restart().await.unwrap();
    assert!(service.wait().await.unwrap().success());
    assert_eq!(
        std::fs::read_to_string(log).unwrap(),
        "hello world\nhello world\n"
    );
}

pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), held).await;
    assert!(waited.is_ok(), "{what}: not within 30 s");
}

/// A process that was killed and not yet reaped has ended, too.
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}
