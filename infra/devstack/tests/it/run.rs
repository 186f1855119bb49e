use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use evp_devstack::free_port;
use tempfile::TempDir;

use crate::group::{eventually, runs};

const BINARY: &str = env!("CARGO_BIN_EXE_evp-devstack");

/// Stands in for a service: ready at once on its admin port, ends on SIGTERM.
const SERVICE: &str = r#"#!/usr/bin/env python3
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if sys.argv[1:] == ["access", "link", "--operator"]:
    print("link_1, shown this once:")
    print("http://127.0.0.1:1/#sign-in=evp_link")
    sys.exit(0)
if sys.argv[1:3] == ["access", "key"]:
    print("key_1 (make run), shown this once:")
    print("evp_sec_" + sys.argv[-1] + os.urandom(4).hex())
    sys.exit(0)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
assert os.environ["REDIS_URL"].startswith("redis://127.0.0.1:")
assert os.environ["MONGO_URI"].startswith("mongodb://127.0.0.1:")
assert os.environ["EVP__LOG__FORMAT"] == "pretty"
assert os.environ["EVP__AUTH__MODE"] == os.environ.get("AUTH", "open")
host, port = os.environ["EVP__ADMIN__LISTEN"].split(":")
print("stub listens on", os.environ.get("EVP__SERVER__LISTEN", "nothing"), flush=True)
http.server.HTTPServer((host, int(port)), Ready).serve_forever()
"#;

struct Stack {
    folder: TempDir,
    ports: HashMap<&'static str, u16>,
}

impl Stack {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for service in ["ingest", "processor", "aggregator"] {
            let path = folder.path().join(format!("evp-{service}"));
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let variables = [
            "EVP_REDIS_PORT",
            "EVP_MONGO_PORT",
            "EVP_INGEST_PORT",
            "EVP_AGGREGATOR_PORT",
            "EVP_INGEST_ADMIN_PORT",
            "EVP_PROCESSOR_ADMIN_PORT",
            "EVP_AGGREGATOR_ADMIN_PORT",
        ];
        let ports = variables.map(|variable| (variable, free_port().unwrap()));
        Self {
            folder,
            ports: ports.into(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["run", "--bin-dir"]).arg(self.folder.path());
        command.env("EVP_DATA_DIR", self.folder.path().join("data"));
        command.env_remove("AUTH");
        command.envs(
            self.ports
                .iter()
                .map(|(variable, port)| (variable, port.to_string())),
        );
        command
    }

    /// Runs it where it is expected to end by itself.
    fn refused(&self) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command().output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }

    fn start(&self) -> Running {
        Running::of(self.command())
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads its output up to a line that has all of these words.
    fn until(&mut self, words: &[&str]) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref().map(Result::unwrap) {
            seen.push(line);
            if words.iter().all(|word| seen.last().unwrap().contains(word)) {
                return seen;
            }
        }
        panic!("it ended before it said {words:?}: {seen:#?}");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Names and pids from the printed table.
fn pids(table: &[String]) -> HashMap<String, u32> {
    let rows = table.iter().filter_map(|line| line.strip_prefix("  "));
    rows.filter_map(|row| {
        let mut words = row.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    })
    .collect()
}

#[tokio::test]
async fn a_killed_service_comes_back_and_everything_ends_with_sigterm() {
    let stack = Stack::new(SERVICE);
    let mut running = stack.start();
    let pids = pids(&running.until(&["kill -9"]));
    assert_eq!(pids.len(), 5, "{pids:?}");
    assert!(pids.values().all(|pid| runs(*pid)), "{pids:?}");

    let (code, text) = stack.refused();
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("EVP is already running"), "{text}");

    let processor = pids["processor"].to_string();
    assert!(
        Command::new("kill")
            .args(["-9", &processor])
            .status()
            .unwrap()
            .success()
    );
    running.until(&["processor ended with signal: 9", "started again"]);
    let admin = stack.ports["EVP_PROCESSOR_ADMIN_PORT"];
    eventually("the processor is back", || {
        TcpStream::connect(("127.0.0.1", admin)).is_ok()
    })
    .await;

    running.signal("-TERM");
    running.until(&["stopped; the data is kept"]);
    assert!(running.child.wait().unwrap().success());
    assert!(!pids.values().any(|pid| runs(*pid)), "{pids:?}");
    assert!(TcpStream::connect(("127.0.0.1", admin)).is_err());
    assert!(stack.path().join("data/redis/appendonlydir").is_dir());
}

#[tokio::test]
async fn everything_ends_with_a_devstack_that_was_killed_and_it_starts_again() {
    let stack = Stack::new(SERVICE);
    let mut running = stack.start();
    let pids = pids(&running.until(&["kill -9"]));
    running.signal("-KILL");
    eventually("all processes end", || !pids.values().any(|pid| runs(*pid))).await;
    // The first thread of a dying process can be gone before its sockets are.
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    eventually("all ports are free", || stack.ports.values().all(free)).await;
    let mut again = stack.start();
    again.until(&["kill -9"]);
    again.signal("-INT");
    assert!(again.child.wait().unwrap().success());
}

#[test]
fn a_taken_port_is_named_before_anything_is_started() {
    let mut stack = Stack::new(SERVICE);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    stack.ports.insert("EVP_AGGREGATOR_PORT", port);
    let (code, text) = stack.refused();
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains(&format!("{port} for the aggregator")),
        "{text}"
    );
    assert!(text.contains("EVP_AGGREGATOR_PORT=PORT"), "{text}");
    assert!(!stack.path().join("data/redis").exists());
}

#[test]
fn missing_services_are_named_with_the_command_that_builds_them() {
    let stack = Stack::new(SERVICE);
    let missing = ["evp-processor", "evp-aggregator"];
    for name in missing {
        fs::remove_file(stack.path().join(name)).unwrap();
    }
    let (code, text) = stack.refused();
    assert_eq!(code, Some(64), "{text}");
    for word in ["make services"].into_iter().chain(missing) {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_service_that_finds_its_configuration_wrong_ends_all() {
    let stack = Stack::new("#!/bin/sh\necho 'no such key' >&2\nexit 64\n");
    let output = stack.command().output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let (out, err) = (
        String::from_utf8(output.stdout),
        String::from_utf8(output.stderr),
    );
    assert!(out.unwrap().contains("| no such key"));
    assert!(err.unwrap().contains("its configuration is wrong"));
}

/// The lines with which a newcomer tries it.
fn curls(table: &[String]) -> Vec<&String> {
    let lines = table.iter();
    lines.filter(|line| line.starts_with("  curl ")).collect()
}

#[test]
fn nobody_is_asked_for_a_key_and_it_says_so_and_how_to_change_that() {
    let stack = Stack::new(SERVICE);
    let table = stack.start().until(&["kill -9"]);
    let open = table.iter().filter(|line| line.contains("AUTH=keys"));
    assert_eq!(open.count(), 1, "{table:#?}");
    assert!(curls(&table).iter().all(|line| !line.contains("evp_sec_")));
    assert!(!stack.path().join("data/keys").exists());

    let output = stack.command().env("AUTH", "key").output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

#[test]
fn with_keys_they_are_made_once_and_stand_in_the_lines_to_try() {
    let stack = Stack::new(SERVICE);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut command = stack.command();
        command.env("AUTH", "keys");
        let mut running = Running::of(command);
        let table = running.until(&["kill -9"]);
        let lines: Vec<String> = curls(&table).into_iter().cloned().collect();
        assert!(lines[0].contains("Bearer evp_sec_write"), "{lines:?}");
        assert!(lines[1].contains("Bearer evp_sec_admin"), "{lines:?}");
        let dashboard = table.iter().find(|line| line.contains("The dashboard"));
        assert!(dashboard.unwrap().contains("#sign-in="), "{table:#?}");
        seen.push(lines);
        running.signal("-TERM");
        assert!(running.child.wait().unwrap().success());
    }
    assert_eq!(seen[0], seen[1]);
    let file = stack.path().join("data/keys");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = fs::read_to_string(file).unwrap();
    assert!(kept.contains("EVP_OPERATOR_KEY=evp_sec_operator"), "{kept}");
}
