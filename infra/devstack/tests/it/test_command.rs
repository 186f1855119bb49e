use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_evp-devstack");

fn devstack(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

#[test]
fn a_command_gets_the_urls_of_servers_that_answer_and_its_code_is_ours() {
    let script = r#"
        set -e
        address=${EVP_TEST_REDIS_URL#redis://127.0.0.1:}
        python3 -c "
import socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
s.sendall(b'PING\r\n')
assert s.recv(7) == b'+PONG\r\n'" "$address"
        test -x "$REDIS_SERVER_BIN" && test -x "$MONGOD_BIN"
        case "$EVP_TEST_MONGO_URL" in mongodb://127.0.0.1:*/) exit 7;; esac
    "#;
    let output = devstack(&["test", "--", "/bin/sh", "-c", script]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

#[test]
fn a_command_that_was_killed_is_reported_as_a_shell_does() {
    let output = devstack(&["test", "--", "/bin/sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137), "{output:?}");
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for args in [
        &["no-such-command"][..],
        &["test"],
        &["run", "--no-such-option"],
    ] {
        assert_eq!(devstack(args).status.code(), Some(64), "{args:?}");
    }
    assert!(devstack(&["--help"]).status.success());
}

#[test]
fn a_variable_that_names_no_binary_is_explained() {
    let output = Command::new(BINARY)
        .args(["test", "--", "true"])
        .env("REDIS_SERVER_BIN", "/no/such/file")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("REDIS_SERVER_BIN is set to /no/such/file"),
        "{text}"
    );
}
