use std::path::Path;
use std::time::Duration;

use evp_devstack::{Output, ServiceSpec, Supervisor};

use crate::group::eventually;

fn shell(name: &str, script: &str) -> ServiceSpec {
    ServiceSpec::new(name, "/bin/sh")
        .args(["-c", script])
        .output(Output::Discarded)
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn a_process_that_ends_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let starts = dir.path().join("starts");
    let mut supervisor = Supervisor::new();
    supervisor.keep(shell(
        "short",
        &format!("echo started >> {}; exit 1", starts.display()),
    ));
    eventually("it was started three times", || lines(&starts) >= 3).await;
    supervisor.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn wrong_configuration_is_given_up_at_once() {
    let mut supervisor = Supervisor::new();
    supervisor.keep(shell("steady", "while :; do sleep 0.05; done"));
    supervisor.keep(shell("wrong", "exit 64"));
    let gave_up = supervisor.gave_up().await;
    assert_eq!(gave_up.name, "wrong");
    let pids = supervisor.pids();
    assert!(
        matches!(&pids[..], [(steady, Some(_)), (wrong, None)]
        if steady == "steady" && wrong == "wrong"),
        "{pids:?}"
    );
    supervisor.stop(Duration::from_secs(10)).await;
}
